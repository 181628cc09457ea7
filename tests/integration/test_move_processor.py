# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The processor moves while work goes on, and the old one, which was asleep, wakes up: on three real control planes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.deployed_fabric import Fabric
from tests.integration.taskqueues import TASK_QUEUES, eventually
from tests.integration.test_fabric import (
    Clients,
    Obj,
    clusters,
    completed_everywhere,
    create,
    delete,
    fresh,
    gone_everywhere,
    queue,
    shown,
)

__all__ = ["clusters"]
QUEUES, TASKS = 12, 4
OLD = ("taskqueue-controller-west", "kcp-syncer-west")


@pytest.fixture
def west_is_back(fabric: Fabric) -> Iterator[None]:
    """However the test ends: west's programs are awake, and west is the processor again."""
    yield
    for program in OLD:
        os.kill(fabric.pid(program), signal.SIGCONT)
    fabric.play_or_fail("move-processor", "-e", "tmc_processor=west")


class Observer:
    """Everything that one cluster ever shows of some TaskQueues, in its order."""

    def __init__(self, client: Any, names: list[str]) -> None:
        self.seen: dict[str, list[Obj]] = {name: [] for name in names}
        self._client = client

    async def watch(self) -> None:
        listed = await self._client.list(TASK_QUEUES, "default")
        stream = self._client.watch(
            TASK_QUEUES, listed.resource_version, "default", timeout_seconds=900, inactivity=300
        )
        async for event in stream:
            name = event.object["metadata"].get("name")
            if name in self.seen:
                self.seen[name].append(event.object.get("status") or {})


@pytest.fixture
async def observers(clusters: Clients) -> AsyncIterator[Any]:
    tasks: list[asyncio.Task[None]] = []

    def start(names: list[str]) -> dict[str, Observer]:
        made = {cluster: Observer(client, names) for cluster, client in clusters.items()}
        tasks.extend(asyncio.create_task(observer.watch()) for observer in made.values())
        return made

    yield start
    ended = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not ended, "an observer stopped watching before the end: its view is not whole"


async def test_an_old_processor_that_wakes_up_changes_nothing(
    fabric: Fabric,
    clusters: Clients,
    observers: Any,
    west_is_back: None,
) -> None:
    names = [fresh("move") for _ in range(QUEUES)]
    observed = observers(names)
    origins = {name: ("east", "west", "kcp")[i % 3] for i, name in enumerate(names)}
    for name, origin in origins.items():
        await create(clusters[origin], queue(name, tasks=TASKS, parallelism=1))
    await eventually(lambda: begun(clusters, names), "some work is done, and some is not")
    for program in OLD:
        os.kill(fabric.pid(program), signal.SIGSTOP)
    known = {name: done(await shown(clusters["kcp"], name)) for name in names}

    said = await asyncio.to_thread(
        fabric.play_or_fail, "move-processor", "-e", "tmc_processor=east", "--limit", "!west"
    )

    assert "east works on them, term" in said
    seen = {name: await eventually(lambda n=name: finished_by_east(clusters, n), f"{name} is done") for name in names}
    for program in OLD:
        os.kill(fabric.pid(program), signal.SIGCONT)
    for name in names:
        everywhere = await completed_everywhere(clusters, name)
        assert everywhere["kcp"]["status"] == seen[name], "west, which woke up, changed what the hub says"
    for cluster, observer in observed.items():
        for name, statuses in observer.seen.items():
            progress = [status.get("completedTasks", 0) for status in statuses]
            assert progress == sorted(progress), f"progress of {name} went back on {cluster}: {progress}"
    assert not done_again(fabric.state_dir / "logs", known)
    for name, origin in origins.items():
        await delete(clusters[origin], name)
        await gone_everywhere(clusters, name)


async def begun(clients: Clients, names: list[str]) -> bool:
    found = [await shown(clients["kcp"], name) for name in names]
    return 0 < sum(len(done(obj)) for obj in found) < QUEUES * TASKS


async def finished_by_east(clients: Clients, name: str) -> Obj | None:
    """The status on the hub, once nothing is left to do."""
    obj = await shown(clients["kcp"], name)
    status: Obj = (obj or {}).get("status") or {}
    return status if status.get("phase") == "Completed" else None


def recorded(logs: Path, queues: set[str]) -> Counter[tuple[str, str]]:
    """How often the success of each task was recorded, by all controllers together, as their ledgers say."""
    found: Counter[tuple[str, str]] = Counter()
    for log in logs.glob("taskqueue-controller-*"):
        for line in log.read_text(errors="replace").splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            name = str(entry.get("queue", "")).partition("/")[2]
            if name in queues and entry["msg"] == "recorded" and entry["state"] == "Succeeded":
                found[name, str(entry["task"])] += 1
    return found


def done(obj: Obj | None) -> dict[str, Obj]:
    """The tasks that succeeded, as a status shows them, by name."""
    tasks = ((obj or {}).get("status") or {}).get("tasks") or []
    return {task["name"]: task for task in tasks if task["state"] == "Succeeded"}


def done_again(logs: Path, known: dict[str, dict[str, Obj]]) -> dict[tuple[str, str], int]:
    """Tasks of which the hub knew that they were done, and which were recorded as done once more."""
    counts = recorded(logs, set(known))
    told = {(name, task) for name, tasks in known.items() for task in tasks}
    # Not all: who is stopped between the API server's answer and its own log line never says it.
    assert told & counts.keys(), "the logs do not show who did what"
    return {what: times for what, times in counts.items() if times > 1 and what[1] in known[what[0]]}
