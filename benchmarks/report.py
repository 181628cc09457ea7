# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Results as a Markdown table, as JSON, and for the terminal.

python -m benchmarks.report benchmarks/results/bench.json    draws the page and the plot of a run anew
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.figures import Row, number
from benchmarks.plot import svg

HEAD = "| figure | value | N | target | | |\n|---|---|---|---|---|---|"


def markdown(rows: Sequence[Row], machine: dict[str, str], plot: str) -> str:
    """The whole page."""
    parts = [
        "# Benchmark results",
        "Written by `make bench`; timings say nothing about pass or fail.",
        f"![plot]({plot})",
    ]
    order = list(dict.fromkeys(row.section for row in rows))
    together = sorted(rows, key=lambda row: order.index(row.section))
    for section, members in groupby(together, key=lambda row: row.section):
        parts.append(f"## {section}\n\n{HEAD}\n" + "\n".join(table_line(row) for row in members))
    parts.append(
        "## Machine and versions\n\n| | |\n|---|---|\n" + "\n".join(f"| {k} | {v} |" for k, v in machine.items())
    )
    return "\n\n".join(parts) + "\n"


def table_line(row: Row) -> str:
    target = "" if row.target is None else f"<= {number(row.target)}"
    verdict = f"**{row.verdict}**" if row.verdict == "missed" else row.verdict
    value, count = f"{number(row.value)} {row.unit}".strip(), "" if row.n is None else f"{row.n:,}"
    cells = (row.figure, value, count, target, verdict, row.note)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def line(row: Row) -> str:
    """For the terminal."""
    count = "" if row.n is None else f"  N {row.n:,}"
    target = "" if row.target is None else f"  target <= {number(row.target)}: {row.verdict}"
    note = f"  ({row.note})" if row.note else ""
    return f"  {row.figure}: {number(row.value)} {row.unit}".rstrip() + count + target + note


def write(file: Path, rows: Sequence[Row], machine: dict[str, str], delays: Mapping[str, Sequence[float]]) -> None:
    """All figures into `file` (JSON), and the page and the plot beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = {"latency seconds": {name: [round(seconds, 6) for seconds in each] for name, each in delays.items()}}
    figures = ",\n".join(json.dumps(row.as_dict()) for row in rows)  # a line each: runs can be compared
    about = json.dumps(machine, indent=1)
    file.write_text(f'{{"machine": {about},\n"rows": [\n{figures}\n],\n"raw": {json.dumps(raw)}}}\n')
    render(file)


def render(file: Path) -> Path:
    """Write the page and the plot of the figures in `file`; returns the page."""
    content = json.loads(file.read_text())
    rows = [Row(**{name: value for name, value in row.items() if name != "verdict"}) for row in content["rows"]]
    page, picture = file.with_suffix(".md"), file.with_suffix(".svg")
    page.write_text(markdown(rows, content["machine"], picture.name))
    picture.write_text(svg(content["raw"]["latency seconds"], rows))
    return page


if __name__ == "__main__":
    print(render(Path(sys.argv[1])))
