# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A kind of many objects: neither listing nor comparing holds the event loop, and no more is kept than needed."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from runtime.tests.core.reflecting import WIDGETS, key, widget, world
from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.pages import SLICE, Identity, Listed, all_pages, identity_page, object_page
from tmc.core import reflector
from tmc.core.diff import Stamp, compare
from tmc.core.keys import ObjectKey
from tmc.core.reflector import TEMPO, any_tempo, next_beat
from tmc.core.store import Store, Version, encode

MANY = 6 * SLICE


class Turns:
    """Counts what is done between two turns of the event loop."""

    def __init__(self) -> None:
        self._turn = 0
        self.done: Counter[int] = Counter()

    def one(self, *_anything: object) -> None:
        self.done[self._turn] += 1

    @property
    def most(self) -> int:
        return max(self.done.values())

    async def count(self) -> None:
        while True:
            self._turn += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def turns() -> AsyncIterator[Turns]:
    counted = Turns()
    task = asyncio.create_task(counted.count())
    try:
        yield counted
    finally:
        task.cancel()


def listed_object(number: int, *, padding: int = 0) -> dict[str, Any]:
    managed = [{"manager": f"m{n}", "fieldsV1": {f"f:field-{n}": {}}} for n in range(padding)]
    version = {"uid": f"uid-{number}", "resourceVersion": str(number + 1), "managedFields": managed}
    return widget(f"w{number}", 1, **version)


def page(start: int, size: int, more: str, *, padding: int = 0, version: int = MANY) -> bytes:
    items = [listed_object(number, padding=padding) for number in range(start, start + size)]
    return orjson.dumps({"metadata": {"resourceVersion": str(version), "continue": more}, "items": items})


def pages_of(size: int, count: int, **options: Any) -> Callable[..., Awaitable[bytes]]:
    """An API server that has ``count`` pages and answers at once, without a turn of the event loop in between."""

    async def fetch(*, params: dict[str, str]) -> bytes:
        number = int(params.get("continue") or 0)
        return page(number * size, size, str(number + 1) if number + 1 < count else "", **options)

    return fetch


def stamps(numbers: range) -> list[Stamp]:
    return [(key(f"w{number}"), Version(f"uid-{number}", number + 1)) for number in numbers]


def filled(numbers: range) -> Store:
    store = Store()
    for number in numbers:
        store.observe(listed_object(number))
    return store


# -- the event loop


@pytest.mark.parametrize("read", [object_page, identity_page])
async def test_reading_a_list_gives_others_their_turn(read: Any) -> None:
    async with turns() as counted:
        listed = await all_pages(pages_of(MANY // 2, 2), read, counted.one, MANY)
    assert (len(listed.items), listed.resource_version) == (MANY, MANY)
    assert counted.most <= SLICE


@pytest.mark.parametrize("held", [range(MANY), range(MANY, 2 * MANY)], ids=["equal", "everything differs"])
async def test_comparing_gives_others_their_turn(held: range, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(held)
    async with turns() as counted:
        asked = Store.version
        monkeypatch.setattr(Store, "version", lambda self, at: (counted.one(), asked(self, at))[1])
        found = await compare(store, Listed(stamps(range(MANY)), 10 * MANY))
    assert len(found) == (0 if held.start == 0 else 2 * MANY)
    assert counted.most <= SLICE


async def test_taking_a_list_in_and_telling_of_it_give_others_their_turn(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MANY):
        api.put(WIDGETS, widget(f"w{number}"))
    async with turns() as taken, turns() as told:
        put = Store.replace
        monkeypatch.setattr(Store, "replace", lambda self, new: (taken.one(), put(self, new))[1])
        async with world(api, synced=False) as w:
            monkeypatch.setattr(w.reflector, "_on_change", told.one)
            await eventually(lambda: sum(told.done.values()) == MANY + 1)
    assert sum(taken.done.values()) == MANY + 1
    assert taken.most <= SLICE
    assert told.most <= SLICE


async def test_what_arrives_while_differences_are_dealt_with_is_not_dropped(api: FakeApi) -> None:
    async with world(api) as w:
        api.put(WIDGETS, widget("back"))
        await eventually(lambda: w.size("back") == 1)
        as_of = api.version
        api.put(WIDGETS, widget("back", 2))
        await eventually(lambda: w.size("back") == 2)
        assert w.reflector._drop([key("one"), key("back")], as_of) == [key("one")]
        assert (w.size("one"), w.size("back")) == (None, 2)


# -- memory


async def peak(read: Any, convert: Callable[[Any], object]) -> int:
    """Bytes at most while a list of 20 pages is read; the pages themselves count."""
    fetch = pages_of(100, 20, padding=30)
    tracemalloc.start()
    try:
        await all_pages(fetch, read, convert, 100)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_no_more_is_kept_of_a_page_than_is_needed() -> None:
    whole = await peak(object_page, lambda obj: obj)
    assert await peak(object_page, encode) < whole / 3
    assert await peak(identity_page, reflector._stamp) < whole / 3


def test_of_an_identity_nothing_else_is_kept() -> None:
    (identity,) = identity_page(page(3, 1, "", padding=3)).items
    assert identity == Identity("w3", "uid-3", "4", "a")
    assert reflector._stamp(identity) == (ObjectKey("a", "w3"), Version("uid-3", 4))


# -- when


def test_comparisons_are_evenly_spaced_and_never_more_than_a_floor_apart() -> None:
    for _ in range(1000):
        began, floor, phase = random.uniform(0, 1e6), random.uniform(0.1, 600), random.choice([0.0, 0.5])
        period = floor * any_tempo()
        now = began + random.uniform(0, 50 * floor)
        beat = next_beat(began, period, phase, now)
        assert now < beat <= now + floor * TEMPO[1] + 1e-6
        assert next_beat(began, period, phase, beat + period / 1000) == pytest.approx(beat + period)


def test_two_phases_are_half_a_period_apart() -> None:
    for now in (0.0, 4.0, 7.5, 93.0):
        one, other = (next_beat(100.0, 9.0, phase, 100.0 + now) for phase in (0.0, 0.5))
        assert abs(one - other) == pytest.approx(4.5)


async def test_a_reflector_keeps_to_its_beat(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, ...]] = []

    def noted(*moment: float) -> float:
        asked.append(moment)
        return next_beat(*moment)

    monkeypatch.setattr(reflector, "next_beat", noted)
    async with world(api, floor=0.1, tempo=0.95, phase=0.5) as w:
        await eventually(lambda: w.reflector.stats.comparisons >= 3)
    assert len({began for began, *_ in asked}) == 1, "what one comparison takes does not shift the next"
    assert {(period, phase) for _, period, phase, _ in asked} == {(0.1 * 0.95, 0.5)}
