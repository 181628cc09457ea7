# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""TaskQueues and planner values for tests, with everything but what the test is about left at a default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tmc.controller.executor import receipt
from tmc.controller.model import Queue, Task, Term, parse_queue
from tmc.controller.plan import Decision, Outcome, Progress, Run, decide, settle
from tmc.controller.status import Author

T0, T1 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z"
ME = Author("west", "me", Term("west", 3))
SUCCESSOR = Author("west", "successor", Term("west", 3))


def queue_object(
    name: str = "q",
    tasks: Sequence[Any] = ("a", "b"),
    *,
    namespace: str = "default",
    status: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A TaskQueue as an API server returns it; a task is a name, or the mapping itself."""
    made: dict[str, Any] = {
        "apiVersion": "demo.tmc.io/v1",
        "kind": "TaskQueue",
        "metadata": {"name": name, "namespace": namespace} | dict(metadata or {}),
        "spec": {
            "region": "us-east-1",
            "tasks": [each if isinstance(each, dict) else {"name": each, "command": f"do {each}"} for each in tasks],
        }
        | spec,
    }
    return made | ({"status": dict(status)} if status else {})


def queue(name: str = "q", tasks: Sequence[Any] = ("a", "b"), **more: Any) -> Queue:
    system = {
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": "2025-12-31T00:00:00Z",
    }
    more["metadata"] = system | more.get("metadata", {})
    return parse_queue(queue_object(name, tasks, **more))


def settled(
    of: Queue, runs: Mapping[str, Run] | None = None, author: Author = ME, *, resumable: bool = False
) -> Progress:
    return settle(of, author, runs or {}, receipt, resumable=resumable)


def step(
    of: Queue,
    runs: Mapping[str, Run] | None = None,
    grants: int = 99,
    author: Author = ME,
    *,
    resumable: bool = False,
) -> Decision:
    """What is written when as many workers as it wants, at most `grants`, are free."""
    progress = settled(of, runs, author, resumable=resumable)
    return decide(progress, min(grants, progress.wanted), author, T1)


def running(decision: Decision) -> dict[str, Run]:
    """The runs of a decision whose write was acknowledged."""
    return {claim.task.name: Run(claim.task, claim.attempt) for claim in decision.claims}


def ended(runs: Mapping[str, Run], uid: str = "uid-q", **outcomes: Outcome) -> dict[str, Run]:
    """Those runs, ended: with the named outcome, else with success."""
    return {
        name: Run(run.task, run.attempt, outcomes.get(name, success(run.task, uid)), T1) for name, run in runs.items()
    }


def success(task: Task, uid: str = "uid-q") -> Outcome:
    return Outcome(True, result=receipt(uid, task))


def states(status: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """(state, attempts) by task name."""
    return {each["name"]: (each["state"], each["attempts"]) for each in status["tasks"]}
