# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Results as a Markdown table, as JSON, and for the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.figures import Row

HEAD = "| figure | value | N | target | |\n|---|---|---|---|---|"


def number(value: float) -> str:
    """Three digits that matter, thousands marked."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def markdown(rows: Sequence[Row], machine: dict[str, str], plot: str) -> str:
    """The whole page."""
    parts = [
        "# Benchmark results",
        "Written by `make bench`; timings say nothing about pass or fail.",
        f"![plot]({plot})",
    ]
    for section, members in groupby(rows, key=lambda row: row.section):
        parts.append(f"## {section}\n\n{HEAD}\n" + "\n".join(table_line(row) for row in members))
    parts.append(
        "## Machine and versions\n\n| | |\n|---|---|\n" + "\n".join(f"| {k} | {v} |" for k, v in machine.items())
    )
    return "\n\n".join(parts) + "\n"


def table_line(row: Row) -> str:
    target = "" if row.target is None else f"<= {number(row.target)}"
    verdict = f"**{row.verdict}**" if row.verdict == "missed" else row.verdict
    figure = f"{row.figure} ({row.note})" if row.note else row.figure
    cells = (figure, f"{number(row.value)} {row.unit}".strip(), "" if row.n is None else f"{row.n:,}", target, verdict)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def line(row: Row) -> str:
    """For the terminal."""
    count = "" if row.n is None else f"  N {row.n:,}"
    target = "" if row.target is None else f"  target <= {number(row.target)}: {row.verdict}"
    note = f"  ({row.note})" if row.note else ""
    return f"  {row.figure}: {number(row.value)} {row.unit}".rstrip() + count + target + note


def write(folder: Path, name: str, rows: Sequence[Row], machine: dict[str, str], raw: dict[str, Any], svg: str) -> Path:
    """`<name>.md`, `.json` and `.svg` into `folder`; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{name}.md"
    page.write_text(markdown(rows, machine, f"{name}.svg"))
    (folder / f"{name}.svg").write_text(svg)
    content = {"machine": machine, "rows": [row.as_dict() for row in rows], "raw": raw}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    return page
