# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The verdict for people, as plain lines (pure): what was asked, what was found where, how long it took."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

TITLES = {
    "clusters": "Clusters",
    "sync": "Objects cross: every probe reaches every other cluster, and goes when its origin goes",
    "status": "Status is the same everywhere, and never goes back",
    "controller": "The controller did the work, and nobody else can write its status",
}
_CHECK_NAMES = {
    "reachable": "answers",
    "declaration": "declared",
    "probe-created": "probe created",
    "registered": "registered",
    "probe-crossed": "probes arrive",
    "copy-writer": "written by",
    "copy-guard": "copies guarded",
    "probe-deleted": "probes go",
    "probe-status": "probes finish",
    "progress-forward": "only forward",
    "existing-status": "TaskQueues",
    "processed-by": "processed",
    "results": "results",
    "status-writer": "status by",
    "status-guard": "status guarded",
}


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
    return f"FAILED: {len(failed)} of {len(checks)} checks; first: {reason_line(failed[0])}"


def reason_line(check: dict[str, Any]) -> str:
    """A failed check in one line."""
    return clean(f"{check['cluster']}: {title(check)}: {check['reason']}")


def latency_line(report: dict[str, Any]) -> str:
    """The status crossing, or empty text when none was seen."""
    together = report["latency"].get("all")
    if not together:
        return ""
    counted = f"{together['count']} changes"
    return f"A status change crosses in {together['p50']:g} ms (p50), {together['p99']:g} ms (p99), of {counted}"


def lines(report: dict[str, Any]) -> Iterator[str]:
    """The whole story, line by line, without any escape code."""
    checks = report["checks"]
    width = max((len(name) for name in report["clusters"]), default=0)
    for group, heading in TITLES.items():
        members = [check for check in checks if check["group"] == group]
        if members:
            yield heading
        for check in members:
            timed = f" ({check['seconds']:.2f} s)" if check["seconds"] else ""
            mark = "ok  " if check["ok"] else "FAIL"
            text = clean(check["reason"])
            yield f"  {mark}  {check['cluster']:<{width}}  {title(check):<26}{text}{timed if check['ok'] else ''}"
        if members:
            yield ""
    if line := latency_line(report):
        yield line
    yield summary(report)
