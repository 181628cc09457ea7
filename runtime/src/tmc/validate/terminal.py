# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The same story on a terminal, drawn by rich. Imported only when there is a terminal to draw on."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tmc.validate.story import TITLES, clean, latency_line, summary, title


def draw(report: dict[str, Any], console: Console | None = None) -> None:
    """One table a group, failures in red with their whole reason."""
    console = console or Console(highlight=False)
    for group, heading in TITLES.items():
        members = [check for check in report["checks"] if check["group"] == group]
        if members:
            console.print(Text(heading, style="bold"))
            console.print(_table(members))
    if line := latency_line(report):
        console.print(Text(line, style="dim"))
    console.print(Text(summary(report), style="bold green" if report["ok"] else "bold red"))


def _table(checks: list[dict[str, Any]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=True)
    for check in checks:
        style = "green" if check["ok"] else "red"
        timed = f"{check['seconds']:.2f} s" if check["seconds"] and check["ok"] else ""
        table.add_row(
            Text("✓" if check["ok"] else "✗", style=style),
            Text(check["cluster"], style="cyan"),
            Text(title(check)),
            Text(clean(check["reason"]), style="" if check["ok"] else "red"),
            Text(timed, style="dim"),
        )
    return table
