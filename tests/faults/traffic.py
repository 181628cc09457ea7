# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What must hold of every write that our processes send, and of what the controller's ledger says. No I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.faults.calls import Entry
from tests.faults.rules import Violation

UNCONDITIONAL = frozenset({"leases", "events"})


def judge_traffic(journal: Iterable[Entry], hub: str, hub_writer: str) -> list[Violation]:
    """Conditional writes only, and one writer of status on the hub."""
    found = []
    for entry in journal:
        call = entry.call
        if call.verb == "DELETE" and not ((entry.body or {}).get("preconditions") or {}).get("uid"):
            found.append(Violation("unconditional delete", str(call), "has no uid precondition"))
        if call.verb == "PATCH" and call.resource not in UNCONDITIONAL and not conditional(entry.body):
            found.append(Violation("unconditional write", str(call), "names no resourceVersion or uid"))
        status = (call.cluster, call.resource, call.subresource) == (hub, "taskqueues", "status")
        if status and entry.status < 300 and call.process != hub_writer and entry.status:
            found.append(Violation("second status writer", str(call), f"answered {entry.status}"))
    return found


def conditional(body: Any) -> bool:
    if isinstance(body, dict):
        return bool((body.get("metadata") or {}).get("resourceVersion"))
    return any(op.get("path") in ("/metadata/resourceVersion", "/metadata/uid") for op in body or ())


class Ledger:
    """The controller's ledger, read from its log as it grows."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self.recorded = 0
        self._started: Counter[tuple[str, ...]] = Counter()
        self._done: dict[tuple[str, str], int] = {}

    def read_on(self) -> list[Violation]:
        """Take in what was added; what it breaks."""
        found: list[Violation] = []
        for entry in self._added():
            where = f"{entry['queue']} task {entry['task']} attempt {entry['attempt']}"
            task = (entry["uid"], entry["task"])
            if entry["msg"] == "started":
                attempt = (*task, entry["specHash"], str(entry["attempt"]))
                self._started[attempt] += 1
                if self._started[attempt] > 1:
                    found.append(Violation("started twice", where, f"by {entry['identity']}"))
                if task in self._done:
                    found.append(Violation("done twice", where, f"had succeeded in attempt {self._done[task]}"))
            if entry["msg"] == "recorded" and entry["state"] == "Succeeded":
                self.recorded += 1
                if task in self._done:
                    found.append(Violation("done twice", where, f"was recorded in attempt {self._done[task]}"))
                self._done[task] = entry["attempt"]
        return found

    def _added(self) -> Iterator[dict[str, Any]]:
        if not self._log.exists():
            return
        with self._log.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # half written
                self._read += len(line)
                if b'"tmc.controller.ledger"' in line and line.startswith(b"{"):
                    yield json.loads(line)


def complaints(log: Path, offset: int) -> tuple[list[str], int]:
    """Errors and tracebacks that a program logged after `offset`, and where its log ends now."""
    if not log.exists():
        return [], 0
    with log.open("rb") as file:
        file.seek(offset)
        added = file.read()
    lines = added.decode(errors="replace").splitlines()
    bad = [line for line in lines if '"level":"error"' in line or "Traceback" in line]
    return bad, offset + len(added)
