# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The verdict for people, as plain lines (pure): what was asked, what was found where, how long it took."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

TITLES = {
    "clusters": "Clusters",
    "sync": "Objects cross: every probe reaches every other cluster, and goes when its origin goes",
    "status": "Status is the same everywhere, and never goes back",
    "controller": "The controller did the work, and nobody else can write its status",
}
_CHECK_NAMES = {
    "reachable": "answers",
    "declaration": "TaskQueues declared",
    "probe-created": "probe created",
    "registered": "registered on the hub",
    "probe-crossed": "probes arrive",
    "copy-writer": "copies are written by",
    "copy-guard": "copies are guarded",
    "probe-deleted": "probes go",
    "probe-status": "probes finish",
    "progress-forward": "progress",
    "existing-status": "all TaskQueues",
    "processed-by": "processed",
    "results": "results",
    "status-writer": "status is written by",
    "status-guard": "status is guarded",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the story. `seconds` 0: not timed."""

    ok: bool
    clusters: str
    title: str
    text: str
    seconds: float


def sections(report: dict[str, Any]) -> Iterator[tuple[str, list[Row]]]:
    """Heading and rows of each group: a check that ended alike on several clusters is one row."""
    for group, heading in TITLES.items():
        checks = [check for check in report["checks"] if check["group"] == group]
        together: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for check in checks:
            together.setdefault((check["name"], check["reason"]), []).append(check)
        order = list(dict.fromkeys(check["name"] for check in checks))
        rows = [_row(alike) for alike in sorted(together.values(), key=lambda alike: order.index(alike[0]["name"]))]
        if rows:
            yield heading, rows


def _row(alike: Sequence[dict[str, Any]]) -> Row:
    first = alike[0]
    clusters = " ".join(check["cluster"] for check in alike)
    seconds = max(check["seconds"] for check in alike)
    return Row(first["ok"], clusters, title(first), clean(first["reason"]), seconds if first["ok"] else 0.0)


def title(check: dict[str, Any]) -> str:
    """How a check is called in front of people."""
    name = str(check["name"])
    return f"Lease {name.rpartition('/')[2]}" if name.startswith("lease ") else _CHECK_NAMES.get(name, name)


def clean(text: str) -> str:
    """The text without control characters: messages come from clusters, and a terminal must not obey them."""
    return "".join(" " if unicodedata.category(char).startswith("C") else char for char in text)


def summary(report: dict[str, Any]) -> str:
    """The last line."""
    checks = report["checks"]
    failed = [check for check in checks if not check["ok"]]
    if not failed:
        return f"PASSED: {len(checks)} checks on {len(report['clusters'])} clusters"
    failed.sort(key=lambda check: not check["name"].startswith("lease "))  # who is not alive explains the rest
    return f"FAILED: {len(failed)} of {len(checks)} checks; {reason_line(failed[0])}"


def reason_line(check: dict[str, Any]) -> str:
    """A failed check in one line."""
    return clean(f"{check['cluster']}: {title(check)}: {check['reason']}")


def latency_line(report: dict[str, Any]) -> str:
    """The status crossing, or empty text when none was seen."""
    together = report["latency"].get("all")
    if not together:
        return ""
    return f"A status change crosses in {together['p50']:g} ms (p50), {together['p99']:g} ms (p99)"


def lines(report: dict[str, Any]) -> Iterator[str]:
    """The whole story, line by line, without any escape code."""
    story = list(sections(report))
    rows = [row for _, group in story for row in group]
    names, titles = (max((len(text) for text in texts), default=0) for texts in _columns(rows))
    for heading, group in story:
        yield heading
        for row in group:
            timed = f" ({row.seconds:.2f} s)" if row.seconds else ""
            yield f"  {'ok  ' if row.ok else 'FAIL'}  {row.clusters:<{names}}  {row.title:<{titles}}  {row.text}{timed}"
        yield ""
    if line := latency_line(report):
        yield line
    yield summary(report)


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    return [row.clusters for row in rows], [row.title for row in rows]
