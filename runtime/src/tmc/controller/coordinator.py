# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The loop of the leading controller: look at what changed, let the planner decide, write, start what was acknowledged.

One round looks at all queues at once, because workers are shared; a queue has at most one write under way, and what
happens to it meanwhile is in the next round. A round never waits: everything slow is a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol

from tmc.api.client import Object
from tmc.controller import ledger
from tmc.controller.board import Board
from tmc.controller.executor import Executor
from tmc.controller.model import Queue, Unreadable, parse_queue
from tmc.controller.plan import Decision, Progress, decide, settle
from tmc.controller.resources import Standing
from tmc.controller.runs import RunPool
from tmc.controller.status import Author
from tmc.controller.writer import Written
from tmc.core.backoff import Backoff
from tmc.core.keys import ObjectKey

# Attempts that end together are recorded together: one write instead of many.
COALESCE_SECONDS: Final = 0.03
# A queue that gets no worker for so long is told that it was seen. Few at a time: it is a courtesy, not progress.
COURTESY_SECONDS: Final = 3.0
COURTESY_BATCH: Final = 5
LONGEST_REST: Final = 10.0

_LOG = logging.getLogger(__name__)


class Objects(Protocol):
    """The part of `tmc.core.store.Store` that is used here."""

    def get(self, key: ObjectKey) -> Object | None: ...

    def keys(self) -> Iterator[ObjectKey]: ...


class Writer(Protocol):
    async def write(self, queue: Queue, status: Object) -> Written: ...


class Coordinator:
    """Shares `workers` among the queues of `objects`.

    `standing()` says whether, and under which term, this cluster's controller may work; `now()` gives RFC 3339 text;
    `tell(object, reason, message)` brings bad news to the object's owner.
    """

    def __init__(
        self,
        *,
        cluster: str,
        identity: str,
        objects: Objects,
        writer: Writer,
        executor: Executor,
        workers: int,
        standing: Callable[[], Standing],
        now: Callable[[], str],
        tell: Callable[[Object, str, str], None],
    ) -> None:
        self._cluster = cluster
        self._identity = identity
        self._objects = objects
        self._writer = writer
        self._workers = workers
        self._standing = standing
        self._now = now
        self._tell = tell
        self._pool = RunPool(executor, self._attempt_ended, now)
        self._author: Author | None = None
        self._idle_reason = ""
        self._wake = asyncio.Event()
        self._ended = False
        self._dirty: set[ObjectKey] = set()
        self._board = Board()
        self._writing: dict[ObjectKey, asyncio.Task[None]] = {}
        self._reserved: dict[ObjectKey, int] = {}
        self._failures: dict[ObjectKey, Backoff] = {}
        self._resting: set[ObjectKey] = set()
        self._unreadable: dict[ObjectKey, str] = {}

    def changed(self, key: ObjectKey) -> None:
        """Look at this queue again, now or when leading."""
        self._dirty.add(key)
        self._wake.set()

    def wake(self) -> None:
        """Something that concerns all queues changed, such as the processor's term."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then stop all attempts and leave their claims for a successor to find."""
        self._dirty.update(self._objects.keys())
        self._wake.set()
        ticker = asyncio.create_task(self._tick())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._ended:
                    await asyncio.sleep(COALESCE_SECONDS)
                    self._ended = False
                self._round()
        finally:
            ticker.cancel()
            self._stop()

    def _attempt_ended(self, key: ObjectKey) -> None:
        self._ended = True
        self.changed(key)

    def _round(self) -> None:
        self._take_standing()
        author = self._author
        if author is None:
            return
        busy = self._writing.keys() | self._resting
        for key in self._dirty - busy:
            self._isolated(key, partial(self._refresh, key, author))
        self._dirty.clear()  # whoever is busy is looked at again when that ends
        for key, grants in self._board.turns(self._free_workers()).items():
            self._isolated(key, partial(self._launch, key, grants, author))

    def _isolated(self, key: ObjectKey, action: Callable[[], None]) -> None:
        """Whatever is wrong with one queue costs that queue's turn, not the controller."""
        try:
            action()
        except Exception as problem:  # noqa: BLE001 - see above
            _LOG.exception("queue could not be handled", extra={"queue": str(key)})
            self._pool.forget(key)
            self._board.drop(key)
            self._rest(key, Written(False, f"{type(problem).__name__}: {problem}"))

    def _free_workers(self) -> int:
        return self._workers - self._pool.active - sum(self._reserved.values())

    def _take_standing(self) -> None:
        standing = self._standing()
        author = Author(self._cluster, self._identity, standing.term) if standing.term else None
        if author != self._author:
            self._author = author
            self._dirty.update(self._objects.keys())
            if author is not None:
                _LOG.info("working", extra={"cluster": self._cluster, "epoch": author.term.epoch})
        if author is None:
            self._board.clear()
            self._pool.forget_all()
            if standing.reason != self._idle_reason:
                _LOG.info(standing.reason)
        self._idle_reason = standing.reason

    def _refresh(self, key: ObjectKey, author: Author) -> None:
        """Bring one queue's progress up to date with its object and its attempts."""
        queue = self._read(key)
        progress = self._progress(queue, author) if queue else None
        if progress is None or progress.frozen:
            self._pool.forget(key)
            self._board.drop(key)
            return
        if progress.stale:
            _LOG.warning("claims lost", extra={"queue": str(key), "tasks": sorted(progress.stale)})
            self._pool.forget(key, progress.stale)
        self._board.put(progress, asyncio.get_running_loop().time())

    def _progress(self, queue: Queue, author: Author) -> Progress:
        pool = self._pool
        return settle(queue, author, pool.of(queue.key), pool.result_of, resumable=pool.resumable)

    def _read(self, key: ObjectKey) -> Queue | None:
        obj = self._objects.get(key)
        if obj is None:
            self._unreadable.pop(key, None)
            self._failures.pop(key, None)
            return None
        try:
            return parse_queue(obj)
        except Unreadable as problem:
            if self._unreadable.get(key) != str(problem):
                self._unreadable[key] = str(problem)
                _LOG.error("not processed", extra={"queue": str(key), "problem": str(problem)})
                self._tell(obj, "Unreadable", str(problem))
            return None

    def _launch(self, key: ObjectKey, grants: int, author: Author) -> None:
        progress = self._board.take(key)
        assert progress is not None
        decision = decide(progress, grants, author, self._now())
        self._reserved[key] = len(decision.claims)
        self._writing[key] = asyncio.create_task(self._write(progress, decision, author), name=f"write {key}")

    async def _write(self, progress: Progress, decision: Decision, author: Author) -> None:
        key = progress.queue.key
        try:
            written = await self._writer.write(progress.queue, decision.status)
        except Exception as problem:  # noqa: BLE001 - a defect costs this queue's turn, not the controller
            _LOG.exception("status write broke", extra={"queue": str(key)})
            written = Written(False, f"{type(problem).__name__}: {problem}")
        self._settle_write(progress, decision, author, written)
        del self._writing[key], self._reserved[key]
        self.changed(key)

    def _settle_write(self, progress: Progress, decision: Decision, author: Author, written: Written) -> None:
        queue = progress.queue
        if not written.acknowledged:
            if written.problem:
                self._rest(queue.key, written)
            return
        self._failures.pop(queue.key, None)
        self._pool.acknowledged(queue, progress.recorded)
        for state in progress.states:
            if state.name in progress.recorded:
                ledger.recorded(queue, state, author)
        # The term may have ended while the write was under way: then the claims are left for the next one to find.
        if self._standing().term is not None:
            self._pool.start(queue, decision.claims, author)
        if decision.status["phase"] == "Failed":
            obj = self._objects.get(queue.key)
            if obj is not None:
                self._tell(obj, "TasksFailed", decision.status["message"])

    def _rest(self, key: ObjectKey, written: Written) -> None:
        """Leave a queue whose write was refused alone for a while; the others go on."""
        backoff = self._failures.setdefault(key, Backoff(0.4, LONGEST_REST, least=0.2))
        seconds = max(backoff.next(), written.retry_after)
        _LOG.warning(
            "status not written", extra={"queue": str(key), "problem": written.problem, "retry_seconds": seconds}
        )
        self._resting.add(key)
        asyncio.get_running_loop().call_later(seconds, self._rested, key)

    def _rested(self, key: ObjectKey) -> None:
        self._resting.discard(key)
        self.changed(key)

    async def _tick(self) -> None:
        """Tell queues that wait long for a worker that they were seen: the next in line first."""
        while True:
            await asyncio.sleep(1.0)
            since = asyncio.get_running_loop().time() - COURTESY_SECONDS
            author = self._author
            if author is not None:
                for key in self._board.overlooked(since, COURTESY_BATCH):
                    self._isolated(key, partial(self._launch, key, 0, author))

    def _stop(self) -> None:
        self._pool.forget_all()
        for write in self._writing.values():
            write.cancel()
        self._writing.clear()
        self._reserved.clear()
        self._board.clear()
        self._author = None
