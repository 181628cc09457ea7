# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The plot, as plain SVG: latencies of the three systems, and bars of what was measured besides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.figures import Row, number

WIDTH, LEFT, PANEL, BAR = 860, 330, 240, 22
COLOURS = ("#1b6ca8", "#d1495b", "#66a182", "#8d6a9f")


def svg(delays: Mapping[str, Sequence[float]], rows: Sequence[Row]) -> str:
    """The whole picture; panels without figures are left out."""
    panels, top = [], 20
    if delays:
        panels.append(_shifted(curves("Status west to east: share of the changes seen within", delays), top))
        top += PANEL + 60
    for title, chosen in _bar_panels(rows):
        if chosen:
            panels.append(_shifted(bars(title, chosen), top))
            top += BAR * len(chosen) + 60
    style = "font-family='sans-serif' font-size='13' fill='#222'"
    size = f"width='{WIDTH}' height='{top}' viewBox='0 0 {WIDTH} {top}'"
    ground = f"<rect width='{WIDTH}' height='{top}' fill='white'/>"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' {size}>{ground}<g {style}>\n" + "\n".join(panels) + "\n</g></svg>\n"
    )


def _bar_panels(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    def having(*words: str) -> list[Row]:
        return [row for row in rows if all(word in f"{row.section}: {row.figure}" for word in words)]

    return [
        ("Ratios", [row for row in rows if row.figure.startswith("fabric /")]),
        ("Writes / (clusters x states)", having("writes / (")),
        ("Many objects: seconds", [row for row in having("Many objects") if row.unit == "s"]),
        ("Memory with all objects: MiB", _last_memory(having("Processes", "memory"))),
        ("Members: status latency, ms", having("Cost as members", "latency")),
        ("Members: memory, MiB", having("Cost as members", "memory")),
    ]


def _last_memory(rows: list[Row]) -> list[Row]:
    most = max((row.n or 0 for row in rows), default=0)
    return [row for row in rows if row.n == most]


def _shifted(content: str, top: float) -> str:
    return f"<g transform='translate(0 {top})'>{content}</g>"


def bars(title: str, rows: Sequence[Row]) -> str:
    """Horizontal bars; a target is a line across its bar."""
    most = max([row.value for row in rows] + [row.target or 0 for row in rows]) or 1
    scale = (WIDTH - LEFT - 90) / most
    parts = [f"<text x='10' y='14' font-weight='bold'>{escape(title)}</text>"]
    for place, row in enumerate(rows):
        y = 26 + place * BAR
        colour = COLOURS[1] if row.verdict == "missed" else COLOURS[0]
        parts.append(f"<text x='{LEFT - 8}' y='{y + 13}' text-anchor='end' font-size='11'>{escape(row.figure)}</text>")
        parts.append(f"<rect x='{LEFT}' y='{y}' width='{row.value * scale:.1f}' height='{BAR - 6}' fill='{colour}'/>")
        parts.append(f"<text x='{LEFT + row.value * scale + 6:.1f}' y='{y + 13}'>{number(row.value)} {row.unit}</text>")
        if row.target is not None:
            x = LEFT + row.target * scale
            parts.append(
                f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{y - 2}' y2='{y + BAR - 4}' stroke='#222' stroke-width='2'/>"
            )
    return "".join(parts)


def curves(title: str, series: Mapping[str, Sequence[float]]) -> str:
    """Cumulative shares over seconds on a logarithmic axis, one line for each series."""
    values = [value for each in series.values() for value in each]
    low, high = math.log10(min(values)), math.log10(max(values))
    width = WIDTH - 80

    def x_of(seconds: float) -> float:
        return 50 + (math.log10(seconds) - low) / ((high - low) or 1) * width

    parts = [f"<text x='10' y='14' font-weight='bold'>{escape(title)}</text>"]
    for share in (0, 0.5, 0.99):
        y = 26 + (1 - share) * PANEL
        parts.append(f"<line x1='50' x2='{50 + width}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ccc'/>")
        parts.append(f"<text x='44' y='{y + 4:.1f}' text-anchor='end' font-size='11'>{share:.0%}</text>")
    for seconds in (base * 10.0**power for power in range(-3, 3) for base in (1, 2, 5)):
        if low <= math.log10(seconds) <= high:
            label = f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"
            parts.append(
                f"<text x='{x_of(seconds):.1f}' y='{PANEL + 42}' text-anchor='middle' font-size='11'>{label}</text>"
            )
    for place, (name, each) in enumerate(series.items()):
        ordered = sorted(each)
        points = " ".join(
            f"{x_of(value):.1f},{26 + (1 - (rank + 1) / len(ordered)) * PANEL:.1f}"
            for rank, value in enumerate(ordered)
        )
        parts.append(f"<polyline points='{points}' fill='none' stroke='{COLOURS[place % 4]}' stroke-width='2'/>")
        parts.append(f"<text x='60' y='{44 + 18 * place}' fill='{COLOURS[place % 4]}'>{escape(name)}</text>")
    return "".join(parts)
