# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the planner sees of a TaskQueue: immutable values, read once from the JSON object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tmc.controller.durations import seconds_of
from tmc.core.keys import ObjectKey

Priority = Literal["low", "normal", "high", "critical"]
State = Literal["Pending", "Running", "Succeeded", "Failed"]

RANKS: Final[Mapping[str, int]] = {"critical": 0, "high": 1, "normal": 2, "low": 3}
TERMINAL_PHASES: Final = frozenset({"Completed", "Failed"})
ORIGIN_UID: Final = "tmc.io/origin-uid"
STATUS_PENDING: Final = "tmc.io/status-pending"


class Unreadable(Exception):
    """The object cannot be worked on; the message names the field. Only this one object is affected."""


@dataclass(frozen=True, slots=True)
class Term:
    """The processor's term as the fabric declares it: which cluster, under which fencing number."""

    processor: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Simulation:
    fail: bool = False
    failures: int = 0
    duration: float | None = None  # seconds


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    command: str
    timeout: float = 300.0  # seconds
    simulate: Simulation = Simulation()


@dataclass(frozen=True, slots=True)
class TaskState:
    """One entry of `status.tasks`; times are RFC 3339 text, empty when there is none."""

    name: str
    state: State = "Pending"
    attempts: int = 0
    start_time: str = ""
    finish_time: str = ""
    result: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    phase: str
    epoch: int
    identity: str
    processing_cluster: str
    spec_hash: str
    start_time: str
    tasks: Mapping[str, TaskState]
    conditions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Queue:
    key: ObjectKey
    uid: str
    origin_uid: str
    resource_version: str
    generation: int
    created: str
    rank: int
    parallelism: int
    tasks: tuple[Task, ...]
    spec_hash: str
    deleting: bool = False
    waiting: bool = False  # a lost copy was made anew; its status has yet to come back from the hub
    status: Status | None = field(default=None)

    @property
    def settled(self) -> bool:
        """Its status says, for exactly this spec, that there is nothing left to do."""
        status = self.status
        return status is not None and status.spec_hash == self.spec_hash and status.phase in TERMINAL_PHASES


def spec_hash(spec: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of the canonical JSON (ASCII, sorted keys, no spaces) of `spec`."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def parse_queue(obj: Mapping[str, Any]) -> Queue:
    """Raises Unreadable. Admission validates objects, but one may be older than the CRD that is installed now."""
    try:
        return _parse(obj)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise Unreadable(f"TaskQueue cannot be read: {type(problem).__name__}: {problem}") from problem


def _parse(obj: Mapping[str, Any]) -> Queue:
    metadata, spec = obj["metadata"], obj["spec"]
    priority = spec.get("priority", "normal")
    if priority not in RANKS:
        raise ValueError(f"spec.priority {priority!r} is not one of: {', '.join(RANKS)}")
    tasks = tuple(_task(item) for item in spec["tasks"])
    if len({task.name for task in tasks}) != len(tasks):
        raise ValueError("spec.tasks has a name twice; names are unique in a queue")
    return Queue(
        key=ObjectKey(metadata.get("namespace", ""), metadata["name"]),
        uid=metadata["uid"],
        origin_uid=(metadata.get("annotations") or {}).get(ORIGIN_UID) or metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=int(metadata.get("generation", 0)),
        created=metadata.get("creationTimestamp") or "",
        rank=RANKS[priority],
        parallelism=max(1, int(spec.get("parallelism", 5))),
        tasks=tasks,
        spec_hash=spec_hash(spec),
        deleting=bool(metadata.get("deletionTimestamp")),
        waiting=STATUS_PENDING in (metadata.get("annotations") or {}),
        status=_status(obj.get("status") or {}),
    )


def _task(item: Mapping[str, Any]) -> Task:
    simulate = item.get("simulate") or {}
    duration = simulate.get("duration")
    name = item["name"]
    return Task(
        name=name,
        command=str(item["command"]),
        timeout=seconds_of(item.get("timeout", "5m"), f"timeout of task {name}"),
        simulate=Simulation(
            fail=bool(simulate.get("fail", False)),
            failures=int(simulate.get("failures", 0)),
            duration=None if duration is None else seconds_of(duration, f"simulate.duration of task {name}"),
        ),
    )


def _status(status: Mapping[str, Any]) -> Status | None:
    if not status:
        return None
    return Status(
        phase=status.get("phase", ""),
        epoch=int(status.get("epoch", 0)),
        identity=status.get("processorIdentity", ""),
        processing_cluster=status.get("processingCluster", ""),
        spec_hash=status.get("observedSpecHash", ""),
        start_time=status.get("startTime", ""),
        tasks={item["name"]: _task_state(item) for item in status.get("tasks") or ()},
        conditions=tuple(dict(condition) for condition in status.get("conditions") or ()),
    )


def _task_state(item: Mapping[str, Any]) -> TaskState:
    return TaskState(
        name=item["name"],
        state=item["state"],
        attempts=int(item.get("attempts", 0)),
        start_time=item.get("startTime", ""),
        finish_time=item.get("finishTime", ""),
        result=item.get("result", ""),
        message=item.get("message", ""),
    )
