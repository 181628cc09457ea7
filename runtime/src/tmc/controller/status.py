# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""From task states to the `status` of the wire contract (docs/protocol.md). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tmc.controller.model import TERMINAL_PHASES, Queue, TaskState, Term

DONE: Final = frozenset({"Succeeded", "Failed"})
MESSAGE_LIMIT: Final = 1024  # characters; the CRD's limit of a task's message
_NAMED_FAILURES: Final = 5


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes: the cluster, the holder identity of its controller's Lease, and the term it works under."""

    cluster: str
    identity: str
    term: Term

    @property
    def name(self) -> str:
        """As `status.processingCluster` has it."""
        return f"{self.cluster}-controller"


@dataclass(frozen=True, slots=True)
class _Counts:
    total: int
    succeeded: int
    failed: int
    running: int
    touched: bool  # any attempt was made

    @property
    def phase(self) -> str:
        if self.succeeded + self.failed == self.total:
            return "Failed" if self.failed else "Completed"
        return "Running" if self.touched else "Pending"


def render_status(queue: Queue, states: Sequence[TaskState], author: Author, now: str) -> dict[str, Any]:
    """The whole status; fields that would be empty are left out."""
    counts = _count(states)
    phase = counts.phase
    status: dict[str, Any] = {
        "phase": phase,
        "totalTasks": counts.total,
        "completedTasks": counts.succeeded,
        "failedTasks": counts.failed,
        "progress": f"{counts.succeeded}/{counts.total}",
        "processingCluster": author.name,
        "processorIdentity": author.identity,
        "epoch": author.term.epoch,
        "observedSpecHash": queue.spec_hash,
        "observedGeneration": queue.generation,
        "message": _message(counts, states),
        "lastProcessed": now,
        "tasks": [_task_entry(state) for state in states],
        "conditions": _conditions(queue, counts, now),
    }
    start_time = _start_time(queue, counts, now)
    if start_time:
        status["startTime"] = start_time
    if phase in TERMINAL_PHASES:
        status["completionTime"] = now
    return status


def _count(states: Iterable[TaskState]) -> _Counts:
    names = [state.state for state in states]
    touched = any(state.attempts for state in states)
    return _Counts(len(names), names.count("Succeeded"), names.count("Failed"), names.count("Running"), touched)


def _start_time(queue: Queue, counts: _Counts, now: str) -> str:
    """When the first task of this spec was claimed."""
    status = queue.status
    if status is not None and status.spec_hash == queue.spec_hash and status.start_time:
        return status.start_time
    return now if counts.touched else ""


def _message(counts: _Counts, states: Iterable[TaskState]) -> str:
    if counts.phase == "Completed":
        return f"all {counts.total} tasks succeeded" if counts.total > 1 else "the task succeeded"
    if counts.phase == "Failed":
        failed = [state.name for state in states if state.state == "Failed"]
        more = f" and {len(failed) - _NAMED_FAILURES} more" if len(failed) > _NAMED_FAILURES else ""
        return f"{counts.failed} of {counts.total} tasks failed: {', '.join(failed[:_NAMED_FAILURES])}{more}"
    if not counts.running:
        return f"{counts.succeeded} of {counts.total} tasks done, waiting for a free worker"
    failures = f", {counts.failed} failed" if counts.failed else ""
    return f"{counts.succeeded} of {counts.total} tasks done, {counts.running} running{failures}"


def _task_entry(state: TaskState) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": state.name, "state": state.state, "attempts": state.attempts}
    optional = {
        "startTime": state.start_time,
        "finishTime": state.finish_time,
        "result": state.result,
        "message": state.message[:MESSAGE_LIMIT],
    }
    return entry | {key: value for key, value in optional.items() if value}


def _conditions(queue: Queue, counts: _Counts, now: str) -> list[dict[str, Any]]:
    phase = counts.phase
    finished = phase in TERMINAL_PHASES
    verdict = "AllTasksSucceeded" if phase == "Completed" else "TasksFailed" if finished else "TasksRemaining"
    progressing = "Finished" if finished else "TasksRunning" if counts.running else "WaitingForWorkers"
    message = f"{counts.succeeded} of {counts.total} tasks succeeded, {counts.failed} failed"
    wanted = (
        ("Progressing", not finished, progressing),
        ("Complete", phase == "Completed", verdict),
        ("Failed", phase == "Failed", verdict),
    )
    before = {condition.get("type"): condition for condition in (queue.status.conditions if queue.status else ())}
    return [
        {
            "type": kind,
            "status": "True" if holds else "False",
            "reason": reason,
            "message": message,
            "observedGeneration": queue.generation,
            "lastTransitionTime": _transition_time(before.get(kind), "True" if holds else "False", now),
        }
        for kind, holds, reason in wanted
    ]


def _transition_time(before: Mapping[str, Any] | None, value: str, now: str) -> str:
    if before is None or before.get("status") != value:
        return now
    return str(before.get("lastTransitionTime") or now)
