# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The same story on a terminal, drawn by rich. Imported only when there is a terminal to draw on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tmc.validate.story import Row, latency_line, sections, summary


def draw(report: dict[str, Any], console: Console | None = None) -> None:
    """One table a group, failures in red with their whole reason."""
    console = console or Console(highlight=False)
    for heading, rows in sections(report):
        console.print(Text(heading, style="bold"))
        console.print(_table(rows))
        console.print()
    if line := latency_line(report):
        console.print(Text(line, style="dim"))
    console.print(Text(summary(report), style="bold green" if report["ok"] else "bold red"))


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=True)
    for row in rows:
        table.add_row(
            Text("✓" if row.ok else "✗", style="green" if row.ok else "red"),
            Text(row.clusters, style="cyan"),
            Text(row.title),
            Text(row.text, style="" if row.ok else "red"),
            Text(f"{row.seconds:.2f} s" if row.seconds else "", style="dim"),
        )
    return table
