# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draws a table of text."""

from __future__ import annotations

DOCUMENTATION = r"""
name: table
short_description: A table of text, as a list of lines
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Draws rows as a table with a border, for a debug message.
options:
  _input:
    description: One dictionary for each row, or one for each TaskQueue when O(taskqueues) is true.
    type: list
    elements: dict
    required: true
  title:
    description: A line above the table.
    type: str
    default: ""
  columns:
    description: Which columns to draw, and in which order; by default all keys of the first row.
    type: list
    elements: str
    default: []
  taskqueues:
    description: The rows are TaskQueue objects as the API server returns them; show what a person wants to know.
    type: bool
    default: false
  cluster:
    description: The cluster that the TaskQueues were read from. Says which of them were created there.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the TaskQueues
  ansible.builtin.debug:
    msg: "{{ seen.resources | tmc.cross_cluster.table(taskqueues=True, cluster='east', title='As seen on east') }}"
"""

RETURN = r"""
_value:
  description: The table's lines.
  type: list
  elements: str
"""

import typing as t


def table(
    rows: t.Sequence[t.Mapping[str, t.Any]],
    title: str = "",
    columns: t.Sequence[str] = (),
    taskqueues: bool = False,
    cluster: str = "",
) -> list[str]:
    """The rows drawn as a table."""
    if taskqueues:
        rows = [_row(queue, cluster) for queue in rows]
    head = [title] if title else []
    if not rows:
        return [*head, "  (nothing)"]
    columns = list(columns or rows[0])
    cells = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    body = [_line(line, widths) for line in cells]
    return [*head, _rule(widths, "┌┬┐"), body[0], _rule(widths, "├┼┤"), *body[1:], _rule(widths, "└┴┘")]


def _row(queue: t.Mapping[str, t.Any], cluster: str) -> dict[str, str]:
    meta, status = queue["metadata"], queue.get("status") or {}
    origin = (meta.get("labels") or {}).get("tmc.io/origin", "")
    return {
        "TaskQueue": meta["name"],
        "Status": status.get("phase", "-"),
        "Origin": f"[from {origin}]" if origin and origin != cluster else "[LOCAL]",
        "Tasks": status.get("progress", "-"),
        "Controller": status.get("processingCluster", "-"),
    }


def _line(cells: t.Sequence[str], widths: t.Sequence[int]) -> str:
    return "│ " + " │ ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " │"


def _rule(widths: t.Sequence[int], ends: str) -> str:
    left, middle, right = tuple(ends)
    return left + middle.join("─" * (width + 2) for width in widths) + right


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"table": table}
