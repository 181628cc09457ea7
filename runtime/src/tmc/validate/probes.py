# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The probes: TaskQueues of ours, whose names and commands nobody can know beforehand."""

from __future__ import annotations

import json
import os
import secrets
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tmc.validate.contract import PROBE_LABEL
from tmc.validate.observations import Object, Probe

NAMESPACE = "default"
TASKS = 3
OWNER_ANNOTATION = "tmc.io/probe-owner"
_TASK_DURATION = "200ms"
_ABANDONED_AFTER = timedelta(minutes=10)


def new_probe(origin: str) -> Probe:
    """A probe to be created on `origin`."""
    nonce = secrets.token_hex(8)
    return Probe(nonce, origin, NAMESPACE, f"tmc-probe-{nonce}")


def manifest(probe: Probe) -> Object:
    """The TaskQueue of a probe: tasks one after the other, so that its progress has steps that can be watched."""
    tasks = [
        {"name": f"probe-{number}", "command": f"echo {probe.nonce}-{number}", "simulate": {"duration": _TASK_DURATION}}
        for number in range(1, TASKS + 1)
    ]
    owner = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat()})
    return {
        "apiVersion": "demo.tmc.io/v1",
        "kind": "TaskQueue",
        "metadata": {
            "name": probe.name,
            "namespace": probe.namespace,
            "labels": {PROBE_LABEL: probe.nonce},
            "annotations": {OWNER_ANNOTATION: owner},
        },
        "spec": {"region": probe.origin, "priority": "critical", "parallelism": 1, "tasks": tasks},
    }


def is_abandoned(obj: Object, now: datetime) -> bool:
    """Whether the validation that made this probe is over: its process is gone from this host, or it is too old.

    The process of another host cannot be looked at; a validation there is given ten minutes.
    """
    try:
        owner = json.loads((obj["metadata"].get("annotations") or {})[OWNER_ANNOTATION])
        host, pid, since = str(owner["host"]), int(owner["pid"]), datetime.fromisoformat(owner["since"])
        if now - since > _ABANDONED_AFTER:
            return True
    except (KeyError, TypeError, ValueError):
        return True  # not something that a validation wrote whole: nobody waits for it
    return host == socket.gethostname() and not _is_running(pid)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's process: it is there
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return True  # no such file on this system: the answer above stands
    return state not in ("Z", "X")  # dead, and only not yet collected by its parent
