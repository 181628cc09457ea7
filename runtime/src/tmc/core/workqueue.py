# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A level-triggered queue of keys: each waits once however often it is added, and one worker at a time has it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tmc.api.errors import ApiError, Unreachable
from tmc.core.backoff import Backoff

log = logging.getLogger(__name__)

K = TypeVar("K")

RETRY_LEAST, RETRY_BASE, RETRY_CAP = 0.2, 0.4, 10.0


class RetryAfter(Exception):
    """Raised by a handler to be called again in ``seconds``, without that being an error."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


class WorkQueue(Generic[K]):
    """Use from one event loop. Keys survive the end of ``run``: a later ``run`` goes on with them."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._backoffs: dict[K, Backoff] = {}

    def __len__(self) -> int:
        """Keys that wait for a worker or for their time, or are being worked on."""
        return len(self._waiting | self._working | self._timers.keys())

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
        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(self._work(handler))

    async def _work(self, handler: Callable[[K], Awaitable[None]]) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._working.add(key)
            try:
                await self._handle(handler, key)
            except asyncio.CancelledError:
                self._again.add(key)  # half done: the next run takes it up
                raise
            finally:
                self._working.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _handle(self, handler: Callable[[K], Awaitable[None]], key: K) -> None:
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
        delay = self._backoffs.setdefault(key, Backoff(RETRY_BASE, RETRY_CAP, least=RETRY_LEAST)).next()
        if isinstance(error, ApiError):
            delay = max(delay, error.retry_after or 0.0)
        expected = isinstance(error, (ApiError, Unreachable))
        log.warning("%s %s: %s; again in %.1f s", self.name, key, error, delay, exc_info=None if expected else error)
        return delay
