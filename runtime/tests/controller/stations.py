# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Controllers under test, on any API server: coordinators with their own reflectors, and executors to steer."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tmc.api.client import ApiClient
from tmc.api.kubeconfig import Connection
from tmc.controller.coordinator import Coordinator
from tmc.controller.executor import Attempt, Executor, receipt
from tmc.controller.model import Task, Term
from tmc.controller.plan import Outcome
from tmc.controller.resources import TASK_QUEUES, Standing
from tmc.controller.service import _now
from tmc.controller.simulate import SimulateExecutor, simulated_outcome
from tmc.controller.writer import StatusWriter
from tmc.core.reflector import Reflector

STATUS_WRITES = ("PATCH", TASK_QUEUES.name)
FLOOR = 10.0


class GatedExecutor(Executor):
    """Attempts wait until they are let go. `order`: names as they began; `most`: how many ran at the same time."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.most = 0
        self.cancelled: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._open = False

    @property
    def waiting(self) -> list[str]:
        return list(self._gates)

    def release(self, *names: str) -> None:
        for name in names:
            self._gates[name].set()

    def release_all(self) -> None:
        """These, and all that will come."""
        self._open = True
        self.release(*self._gates)

    async def execute(self, attempt: Attempt) -> Outcome:
        task = attempt.task
        gate = self._gates[task.name] = asyncio.Event()
        self.order.append(task.name)
        self.most = max(self.most, len(self._gates))
        try:
            if not self._open:
                await gate.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(task.name)
            raise
        finally:
            if self._gates.get(task.name) is gate:
                del self._gates[task.name]
        return simulated_outcome(attempt.queue.origin_uid, task, attempt.number)

    def result_of(self, origin_uid: str, task: Task) -> str | None:
        return receipt(origin_uid, task)


@dataclass
class Station:
    """One controller that believes that it leads."""

    identity: str
    client: ApiClient
    coordinator: Coordinator
    reflector: Reflector
    standing: list[Standing]
    told: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def writes(self) -> int:
        return self.client.requests[STATUS_WRITES]

    def move(self, standing: Standing) -> None:
        self.standing[0] = standing
        self.coordinator.wake()


@asynccontextmanager
async def station(
    connection: Connection,
    identity: str = "me",
    *,
    executor: Executor | None = None,
    workers: int = 5,
    standing: Standing = Standing(Term("west", 1)),  # noqa: B008 - a frozen value
) -> AsyncIterator[Station]:
    """Runs while the context lasts; leaving it is a crash: nothing more is written."""
    told: list[tuple[str, str, str]] = []
    current = [standing]
    async with ApiClient(connection) as client:
        reflector = Reflector(client, TASK_QUEUES, on_change=lambda key: coordinator.changed(key), floor=FLOOR)
        coordinator = Coordinator(
            cluster="west",
            identity=identity,
            objects=reflector.store,
            writer=StatusWriter(client, reflector.store.remember, longest_wait=0.1),
            executor=executor or SimulateExecutor(0.0),
            workers=workers,
            standing=lambda: current[0],
            now=_now,
            tell=lambda obj, reason, message: told.append((obj["metadata"]["name"], reason, message)),
        )
        following = asyncio.create_task(reflector.run())
        await reflector.wait_synced()
        working = asyncio.create_task(coordinator.run())
        try:
            yield Station(identity, client, coordinator, reflector, current, told)
        finally:
            for task in (working, following):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@dataclass
class Ledger:
    """What `tmc.controller.ledger` said."""

    lines: list[logging.LogRecord] = field(default_factory=list)

    def attempts(self, event: str) -> Counter[tuple[Any, ...]]:
        """How often each attempt, as (queue uid, specHash, task, attempt), had that event."""
        return Counter(
            (line.uid, line.specHash, line.task, line.attempt)  # type: ignore[attr-defined]
            for line in self.lines
            if line.getMessage() == event
        )

    def successes(self) -> Counter[tuple[Any, ...]]:
        """How often each task, as (queue uid, specHash, task), was recorded Succeeded."""
        return Counter(
            (line.uid, line.specHash, line.task)  # type: ignore[attr-defined]
            for line in self.lines
            if line.getMessage() == "recorded" and line.state == "Succeeded"  # type: ignore[attr-defined]
        )

    def assert_nothing_done_twice(self) -> None:
        assert max(self.attempts("started").values(), default=0) <= 1
        assert max(self.successes().values(), default=0) <= 1


@contextmanager
def listening_to_the_ledger() -> Iterator[Ledger]:
    ledger = Ledger()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            ledger.lines.append(record)

    logger, handler = logging.getLogger("tmc.controller.ledger"), Handler()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield ledger
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
