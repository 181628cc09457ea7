# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The attempts that this process is carrying out, or whose outcome it has not recorded yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from tmc.controller import ledger
from tmc.controller.executor import Attempt, Executor, attempt_within_timeout
from tmc.controller.model import Queue, Task
from tmc.controller.plan import Claim, Outcome, Run
from tmc.controller.status import MESSAGE_LIMIT, Author
from tmc.core.keys import ObjectKey

_LOG = logging.getLogger(__name__)


class RunPool:
    """`on_news(key)` is called when an attempt of that queue ends or says something; `now()` gives RFC 3339 text."""

    def __init__(self, executor: Executor, on_news: Callable[[ObjectKey], None], now: Callable[[], str]) -> None:
        self._executor = executor
        self._on_news = on_news
        self._now = now
        self._runs: dict[ObjectKey, dict[str, Run]] = {}
        self._tasks: dict[tuple[ObjectKey, str], asyncio.Task[None]] = {}

    @property
    def resumable(self) -> bool:
        return self._executor.resumable

    @property
    def active(self) -> int:
        """How many attempts occupy a worker."""
        return len(self._tasks)

    def of(self, key: ObjectKey) -> Mapping[str, Run]:
        return self._runs.get(key, {})

    def result_of(self, origin_uid: str, task: Task) -> str | None:
        return self._executor.result_of(origin_uid, task)

    def start(self, queue: Queue, claims: Iterable[Claim], author: Author) -> None:
        """Begin attempts whose claims are acknowledged."""
        for claim in claims:
            slot = (queue.key, claim.task.name)
            self._runs.setdefault(queue.key, {})[claim.task.name] = Run(claim.task, claim.attempt)
            (ledger.resumed if claim.resumed else ledger.started)(queue, claim, author)
            self._tasks[slot] = asyncio.create_task(self._carry_out(queue, claim, author), name=str(queue.key))

    def acknowledged(self, queue: Queue, names: Iterable[str]) -> None:
        """The API server has the outcomes of these runs."""
        for name in names:
            run = self._runs.get(queue.key, {}).get(name)
            if run is not None:
                self._executor.discard(queue, run.task, run.attempt)
        self.forget(queue.key, names)

    def forget(self, key: ObjectKey, names: Iterable[str] | None = None) -> None:
        """Drop runs (all of the queue's when `names` is None); those that still last are cancelled."""
        runs = self._runs.get(key, {})
        for name in list(runs if names is None else names):
            runs.pop(name, None)
            task = self._tasks.pop((key, name), None)
            if task is not None:
                task.cancel()
        if not runs:
            self._runs.pop(key, None)

    def forget_all(self) -> None:
        for key in list(self._runs):
            self.forget(key)

    async def _carry_out(self, queue: Queue, claim: Claim, author: Author) -> None:
        say = partial(self._note, queue.key, claim)
        attempt = Attempt(queue, claim.task, claim.attempt, author.identity, say)
        try:
            outcome = await attempt_within_timeout(self._executor, attempt)
        except Exception as problem:  # noqa: BLE001 - whatever an executor does costs its task, not the others
            _LOG.exception("executor broke", extra={"queue": str(queue.key), "task": claim.task.name})
            outcome = Outcome(False, message=f"executor broke: {type(problem).__name__}: {problem}")
        ledger.finished(queue, claim, author, outcome)
        slot = (queue.key, claim.task.name)
        if self._tasks.get(slot) is asyncio.current_task():
            del self._tasks[slot]
            runs = self._runs[queue.key]
            runs[claim.task.name] = replace(runs[claim.task.name], outcome=outcome, finish_time=self._now())
            self._on_news(queue.key)

    def _note(self, key: ObjectKey, claim: Claim, text: str) -> None:
        """What an attempt that still lasts has to say."""
        run = self._runs.get(key, {}).get(claim.task.name)
        if run is not None and run.outcome is None and run.attempt == claim.attempt and run.note != text:
            self._runs[key][claim.task.name] = replace(run, note=text[:MESSAGE_LIMIT])
            self._on_news(key)
