# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a syncer counts is what happened on the API servers; times are of one process, and only of what it caused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from prometheus_client import CollectorRegistry

from runtime.tests.core.scraping import scrape
from runtime.tests.core.test_metrics import agrees
from runtime.tests.fakeapi import FakeApi
from runtime.tests.sync.trio import KIND, WIDGETS, Known
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import EVENTS, NAMESPACES
from tmc.core.keys import ObjectKey
from tmc.core.metrics import new_registry
from tmc.core.vitals import Vitals
from tmc.sync import executor, latency
from tmc.sync.ends import Ends
from tmc.sync.fabric import TOMBSTONES
from tmc.sync.kind import KindSyncer
from tmc.sync.latency import Waiting
from tmc.sync.metrics import SyncMetrics

KEY = ObjectKey("default", "w")


@dataclass
class One:
    """East's syncer, with the hub and nobody else."""

    hub: FakeApi
    member: FakeApi
    registry: CollectorRegistry

    def value(self, name: str, **labels: str) -> float:
        return scrape(self.registry).value(f"tmc_sync_{name}", **labels)

    def timed(self, direction: str, carried: str) -> float:
        return self.value("end_to_end_seconds_count", direction=direction, carried=carried)

    def writes(self) -> int:
        """Accepted by the API servers, Events apart."""
        return sum(
            call.verb in ("POST", "PATCH", "DELETE") and call.resource != EVENTS.name
            for api in (self.hub, self.member)
            for call in api.calls
        )


@asynccontextmanager
async def one(processor: str = "kcp") -> AsyncIterator[One]:
    kinds = (WIDGETS, EVENTS, NAMESPACES, TOMBSTONES)
    vitals = Vitals()
    async with (
        FakeApi(*kinds, name="kcp") as hub,
        FakeApi(*kinds, name="east") as member,
        ApiClient(hub.connection) as remote,
        ApiClient(member.connection) as local,
    ):
        registry = new_registry("syncer", vitals, [local, remote])
        with vitals.noting():
            metrics = SyncMetrics("east", registry)
            ends = Ends({"member": local, "hub": remote}, "east", "uid-east", "kcp", "uid-kcp", metrics)
            kind = replace(KIND, processor=processor)
            known = Known(members=frozenset({"east"}))
            syncer = KindSyncer(ends, kind, {"member": WIDGETS, "hub": WIDGETS}, known, floor=30)  # type: ignore[arg-type]
        task = asyncio.create_task(syncer.run())
        try:
            yield One(hub, member, registry)
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task])


def put(api: FakeApi, size: int = 1) -> None:
    api.put(WIDGETS, {"metadata": {"name": "w", "namespace": "default"}, "spec": {"size": size}})


def shown(api: FakeApi) -> dict[str, object]:
    return api.objects[WIDGETS.name].get(("default", "w"), {})


async def test_writes_are_those_that_the_api_servers_saw() -> None:
    async with one() as at:
        put(at.member)
        await eventually(lambda: shown(at.hub))
        await eventually(lambda: at.value("writes_total") == at.writes() == 2, "a finalizer and a copy")
        put_status(at.hub, {"done": 1})
        await eventually(lambda: shown(at.member).get("status") == {"done": 1})
        at.member.remove(WIDGETS, "w", "default")
        await eventually(lambda: not shown(at.hub) and not shown(at.member), "gone everywhere")
        await eventually(lambda: at.value("writes_total") == at.writes())
        assert at.value("writes_total", side="hub") == sum(
            call.verb in ("POST", "PATCH", "DELETE") for call in at.hub.calls
        )
        assert at.value("writes_total", side="member", why="status") == 1
        assert at.value("lag_seconds", member="east") == 0
        agrees(scrape(at.registry))


def put_status(api: FakeApi, status: dict[str, object]) -> None:
    api.put(WIDGETS, {**shown(api), "status": status})


async def test_each_direction_is_timed_when_it_carries_something() -> None:
    async with one(processor="east") as at:
        put(at.member)
        await eventually(lambda: at.timed("up", "object") == 1)
        put_status(at.member, {"done": 1})
        await eventually(lambda: at.timed("up", "status") == 1)
        assert (at.timed("down", "object"), at.timed("down", "status")) == (0, 0), "nothing came down"
    async with one() as at:
        put(at.hub)
        await eventually(lambda: at.timed("down", "object") == 1)
        put_status(at.hub, {"done": 1})
        await eventually(lambda: at.timed("down", "status") == 1)
        assert (at.timed("up", "object"), at.timed("up", "status")) == (0, 0), "nothing went up"


async def test_a_refused_object_waits_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "SECOND_OPINION_SECONDS", 0.02)
    monkeypatch.setattr(executor, "SLOW_LANE_SECONDS", 0.02)
    async with one() as at:
        at.hub.fail("POST", 422, "Invalid", resource=WIDGETS.name, times=10_000)
        put(at.member)
        await eventually(lambda: at.value("refused_total", side="hub") >= 3)
        assert at.value("lag_seconds", kind=KIND.name) > 0
        assert at.value("writes_total", side="hub") == 0
        assert at.timed("up", "object") == 0


async def test_a_conflict_is_counted() -> None:
    async with one() as at:
        at.member.fail("PATCH", 409, "Conflict", resource=WIDGETS.name)
        put(at.member)
        await eventually(lambda: shown(at.hub))
        assert at.value("conflicts_total", side="member") == 1


async def test_undone_drift_is_counted() -> None:
    async with one() as at:
        put(at.hub)
        await eventually(lambda: shown(at.member))
        assert at.value("drift_restored_total") == 0
        for size in (7, 8):
            at.member.put(WIDGETS, {**shown(at.member), "spec": {"size": size}})
            await eventually(lambda: shown(at.member)["spec"] == {"size": 1})
        await eventually(lambda: at.value("drift_restored_total", side="member") >= 1)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(latency.time, "monotonic", lambda: self.now)


def test_the_clock_of_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, observed = Clock(monkeypatch), list[tuple[str, str, float]]()
    waiting = Waiting("k", lambda side, carried, seconds: observed.append((side, carried, seconds)))
    waiting.noticed(KEY, "member")
    clock.now += 1
    waiting.noticed(KEY, "member")  # coalesced: the first one counts
    assert waiting.oldest() == 1
    with pytest.raises(ValueError, match="fails"), waiting.at_work(KEY):
        raise ValueError("fails")
    clock.now += 1
    assert waiting.oldest() == 2, "it goes on waiting"
    with waiting.at_work(KEY):
        waiting.written(KEY, "member", "object")  # nothing changed on the hub: not its consequence
        waiting.noticed(KEY, "hub")  # news while it is being dealt with
        clock.now += 1
        waiting.written(KEY, "hub", "object")
    assert observed == [("hub", "object", 3.0)]
    clock.now += 4
    assert waiting.oldest() == 5, "the news"
    with waiting.at_work(KEY):
        pass
    assert waiting.oldest() == 0


def test_news_while_an_object_fails_do_not_make_it_younger(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    waiting = Waiting("k", lambda *_: None)
    waiting.noticed(KEY, "hub")

    def fail() -> None:
        clock.now += 2
        waiting.noticed(KEY, "hub")
        raise ValueError("fails")

    with pytest.raises(ValueError, match="fails"), waiting.at_work(KEY):
        fail()
    assert waiting.oldest() == 2
