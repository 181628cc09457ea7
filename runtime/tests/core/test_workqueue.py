# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The work queue: coalescing, one worker a key, retries."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from runtime.tests.waiting import eventually
from tmc.api.errors import TooManyRequests
from tmc.core import workqueue as module
from tmc.core.backoff import Backoff
from tmc.core.workqueue import RetryAfter, WorkQueue

Handler = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def running(queue: WorkQueue[str], handler: Handler, workers: int = 3) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(handler, workers=workers))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_additions_before_the_work_are_one() -> None:
    queue, handled = WorkQueue[str](), Counter[str]()

    async def handler(key: str) -> None:
        handled[key] += 1

    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert len(queue) == 2
    async with running(queue, handler):
        await eventually(lambda: not len(queue))
    assert handled == {"a": 1, "b": 1}


async def test_additions_during_the_work_are_one_more_and_never_beside_it() -> None:
    queue, handled, inside = WorkQueue[str](), Counter[str](), Counter[str]()
    go_on = asyncio.Event()

    async def handler(key: str) -> None:
        inside[key] += 1
        assert inside[key] == 1, "two workers have the key"
        if key == "a" and not handled["a"]:
            await go_on.wait()
        handled[key] += 1
        inside[key] -= 1

    async with running(queue, handler):
        queue.add("a")
        await eventually(lambda: inside["a"])
        for _ in range(5):
            queue.add("a")
        queue.add("other")
        await eventually(lambda: handled["other"] == 1, "a free worker")
        assert handled["a"] == 0
        go_on.set()
        await eventually(lambda: not len(queue))
    assert handled["a"] == 2


async def test_a_failure_is_logged_and_retried_until_it_works(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_LEAST", 0.001)
    monkeypatch.setattr(module, "RETRY_BASE", 0.001)
    queue, tries = WorkQueue[str]("demo"), Counter[str]()

    async def handler(key: str) -> None:
        tries[key] += 1
        if key == "bad" and tries[key] < 4:
            raise ValueError(f"try {tries[key]}")

    with caplog.at_level(logging.WARNING):
        async with running(queue, handler, workers=1):
            queue.add("bad")
            queue.add("good")
            await eventually(lambda: tries["bad"] == 4 and not len(queue))
    assert tries["good"] == 1
    assert [record.message.split(";")[0] for record in caplog.records] == [f"demo bad: try {n}" for n in (1, 2, 3)]
    assert all(record.exc_info for record in caplog.records), "an unexpected error has its traceback"


async def test_delays_of_failures_grow_and_are_forgotten_after_success(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, delays, fail = WorkQueue[str](), list[float](), True
    monkeypatch.setattr(queue, "add_after", lambda key, seconds: delays.append(seconds))

    async def handler(key: str) -> None:
        if fail:
            raise TooManyRequests(429, "TooManyRequests", "", retry_after=77.0 if len(delays) == 2 else None)

    for _ in range(8):
        await queue._handle(handler, "a")
    assert delays.pop(2) >= 77.0, "what the server asked for counts"
    assert all(0.2 <= delay <= 10.0 for delay in delays)
    assert queue._backoffs["a"].failures == 8
    fail = False
    await queue._handle(handler, "a")
    assert not queue._backoffs


async def test_a_handlers_wish_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    queue, tries = WorkQueue[str](), Counter[str]()

    async def handler(key: str) -> None:
        tries[key] += 1
        if tries[key] == 1:
            raise RetryAfter(0.01)

    async with running(queue, handler):
        queue.add("a")
        await eventually(lambda: tries["a"] == 2 and not len(queue))
    assert not caplog.records


async def test_the_soonest_wish_wins() -> None:
    queue, handled = WorkQueue[str](), Counter[str]()

    async def handler(key: str) -> None:
        handled[key] += 1

    queue.add_after("a", 3600)
    queue.add_after("a", 0.01)
    queue.add_after("a", 3600)
    async with running(queue, handler):
        await eventually(lambda: handled["a"] == 1)
        assert len(queue) == 0


async def test_what_was_interrupted_is_done_by_the_next_run() -> None:
    queue, started, done = WorkQueue[str](), Counter[str](), Counter[str]()

    async def stuck(key: str) -> None:
        started[key] += 1
        await asyncio.Event().wait()

    async def handler(key: str) -> None:
        done[key] += 1

    async with running(queue, stuck, workers=1):
        queue.add("a")
        queue.add("b")
        await eventually(lambda: started["a"])
    async with running(queue, handler):
        await eventually(lambda: done == {"a": 1, "b": 1})


def test_backoff_is_capped_full_jitter() -> None:
    backoff = Backoff(0.5, 8.0, least=0.1)
    delays = [[backoff.next() for _ in range(10)] for _ in range(200) if backoff.reset() is None]
    for attempt in range(10):
        column = [row[attempt] for row in delays]
        limit = min(8.0, 0.5 * 2**attempt)
        assert min(column) >= 0.1
        assert max(column) <= limit
        assert max(column) > limit / 2 > min(column), "spread over the whole range"


async def test_thousands_of_keys_with_nothing_to_do_do_not_hold_the_event_loop() -> None:
    queue, turn, handled = WorkQueue[str](), 0, Counter[int]()

    async def handler(_key: str) -> None:
        handled[turn] += 1

    for number in range(1000):
        queue.add(f"key-{number}")
    async with running(queue, handler, workers=3):
        while handled.total() < 1000:
            turn += 1
            await asyncio.sleep(0)
    assert max(handled.values()) <= 3, "one a worker, then others have their turn"
