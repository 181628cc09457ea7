# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A level-triggered queue of keys: each waits once however often it is added, and one worker at a time has it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tmc.api.errors import ApiError, Unreachable
from tmc.core.backoff import Backoff
from tmc.core.vitals import current_vitals

log = logging.getLogger(__name__)

K = TypeVar("K")

HANGS_SECONDS = 1800.0  # every request has a deadline, so nothing takes so long
RETRY_LEAST, RETRY_BASE, RETRY_CAP = 0.2, 0.4, 10.0


class RetryAfter(Exception):
    """Raised by a handler to be called again in ``seconds``, without that being an error."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


@dataclass(slots=True)
class QueueStats:
    """Counters since the start, for metrics."""

    handled: int = 0
    failed: int = 0


class WorkQueue(Generic[K]):
    """Use from one event loop. Keys survive the end of ``run``: a later ``run`` goes on with them."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._vitals = current_vitals()
        self.stats = self._vitals.counters(("queue", name), QueueStats)
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._working: dict[K, float] = {}  # since when
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._backoffs: dict[K, Backoff] = {}

    def __len__(self) -> int:
        """Keys that wait for a worker or for their time, or are being worked on."""
        return len(self._waiting | self._working.keys() | self._timers.keys())

    @property
    def label(self) -> str:
        return f"queue {self.name}"

    def stuck(self) -> str:
        """A handler that hangs; one that fails again and again does not."""
        now = time.monotonic()
        hung = [str(key) for key, since in self._working.items() if now - since > HANGS_SECONDS]
        return f"at work for more than {HANGS_SECONDS:.0f} s: {', '.join(hung[:3])}" if hung else ""

    def unready(self) -> str:
        return ""

    def add(self, key: K) -> None:
        """Have the key handled soon; one that a worker has now is handled once more afterwards."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Have the key handled in ``seconds``, or sooner when something sooner was asked for."""
        loop = asyncio.get_running_loop()
        due, timer = loop.time() + seconds, self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def run(self, handler: Callable[[K], Awaitable[None]], *, workers: int) -> None:
        """Call ``handler`` for every key until cancelled. Its exceptions are logged and retried, 0.2-10 s later."""
        with self._vitals.at_work(self):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(workers):
                    tasks.create_task(self._work(handler))

    async def _work(self, handler: Callable[[K], Awaitable[None]]) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._working[key] = time.monotonic()
            try:
                await self._handle(handler, key)
            except asyncio.CancelledError:
                self._again.add(key)  # half done: the next run takes it up
                raise
            finally:
                self._working.pop(key, None)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)
            # Neither a queue with keys nor a handler with nothing to do suspends: thousands would be handled in one go.
            await asyncio.sleep(0)

    async def _handle(self, handler: Callable[[K], Awaitable[None]], key: K) -> None:
        self.stats.handled += 1
        try:
            await handler(key)
        except RetryAfter as wish:
            self._backoffs.pop(key, None)
            self.add_after(key, wish.seconds)
        except Exception as error:  # noqa: BLE001 - one bad object must not stop the others
            self.add_after(key, self._failed(key, error))
        else:
            self._backoffs.pop(key, None)

    def _failed(self, key: K, error: Exception) -> float:
        self.stats.failed += 1
        delay = self._backoffs.setdefault(key, Backoff(RETRY_BASE, RETRY_CAP, least=RETRY_LEAST)).next()
        if isinstance(error, ApiError):
            delay = max(delay, error.retry_after or 0.0)
        expected = isinstance(error, (ApiError, Unreachable))
        log.warning("%s %s: %s; again in %.1f s", self.name, key, error, delay, exc_info=None if expected else error)
        return delay
