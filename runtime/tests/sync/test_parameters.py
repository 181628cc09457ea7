# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The member's mirror of a kind, and the ConfigMap that its admission policies read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest_asyncio

from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.sync.ends import Ends
from tmc.sync.fabric import MEMBERS, SYNCED_RESOURCES, TOMBSTONES, Fabric
from tmc.sync.parameters import CONFIG_MAPS, NAMESPACE

KIND = "taskqueues.demo.tmc.io"
WRITES = {"POST", "PATCH", "DELETE"}


def declared(processor: str = "west", epoch: int = 1, writers: tuple[str, ...] = ()) -> dict[str, Any]:
    spec = {"group": "demo.tmc.io", "version": "v1", "resource": "taskqueues", "deletionGrace": "5m"}
    spec |= {"processor": processor, "epoch": epoch, "statusWriters": list(writers)}  # type: ignore[dict-item]
    return {"metadata": {"name": KIND}, "spec": spec}


class Pair:
    """A hub and a member with a `Fabric` between them while `running` lasts."""

    def __init__(self, hub: FakeApi, member: FakeApi) -> None:
        self.hub, self.member = hub, member

    @asynccontextmanager
    async def running(self, hub_uid: str = "uid-of-kcp", floor: float = 60.0) -> AsyncIterator[Fabric]:
        async with ApiClient(self.hub.connection) as hub, ApiClient(self.member.connection) as member:
            ends = Ends({"hub": hub, "member": member}, "east", "uid-of-east", "kcp", hub_uid)
            fabric = Fabric(ends, floor=floor, on_change=lambda: None)
            task = asyncio.create_task(fabric.run())
            try:
                yield fabric
            finally:
                task.cancel()
                await asyncio.wait([task])

    @property
    def data(self) -> dict[str, str]:
        found = self.member.objects[CONFIG_MAPS.name].get((NAMESPACE, KIND), {})
        return found.get("data") or {}

    def writes(self) -> list[tuple[str, str]]:
        return [(call.verb, call.resource) for call in self.member.calls if call.verb in WRITES]

    def reads(self) -> int:
        return sum((call.verb, call.resource) == ("GET", CONFIG_MAPS.name) for call in self.member.calls)


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    fabric = (SYNCED_RESOURCES, MEMBERS, TOMBSTONES)
    async with FakeApi(*fabric, name="kcp") as hub, FakeApi(*fabric, CONFIG_MAPS, name="east") as member:
        hub.put(SYNCED_RESOURCES, declared())
        yield Pair(hub, member)


async def test_it_is_made_and_follows_the_hub(pair: Pair) -> None:
    async with pair.running():
        await eventually(lambda: pair.data == {"processor": "west", "epoch": "1", "statusWriters": ""})
        pair.hub.put(SYNCED_RESOURCES, declared("kcp", 2, ("a", "b")))
        await eventually(lambda: pair.data == {"processor": "kcp", "epoch": "2", "statusWriters": "a,b"})
    made = pair.member.get(CONFIG_MAPS, KIND, NAMESPACE)
    assert made["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "tmc.cross_cluster"}


async def test_it_names_the_candidates_while_there_are_any(pair: Pair) -> None:
    async with pair.running():
        await eventually(lambda: pair.data != {})
        with_heirs = declared()
        with_heirs["spec"]["failover"] = {"candidates": ["east", "west"], "afterSeconds": 60}
        pair.hub.put(SYNCED_RESOURCES, with_heirs)
        await eventually(lambda: pair.data.get("failover") == "east,west")
        pair.hub.put(SYNCED_RESOURCES, declared())
        await eventually(lambda: pair.data == {"processor": "west", "epoch": "1", "statusWriters": ""})


async def test_a_new_processor_is_mirrored_when_its_copies_are_level(pair: Pair) -> None:
    async with pair.running() as fabric:
        await eventually(lambda: pair.data != {})
        pair.hub.put(SYNCED_RESOURCES, declared("east", 2))
        await eventually(lambda: fabric.takes_over(KIND))
        await eventually(lambda: len(fabric._mirror_queue) == 0)
        assert pair.data["processor"] == "west"
    async with pair.running() as fabric:  # what has still to be done survives the process
        await eventually(lambda: fabric.takes_over(KIND))
        fabric.levelled(KIND, 2)
        await eventually(lambda: pair.data == {"processor": "east", "epoch": "2", "statusWriters": ""})
        assert pair.member.get(SYNCED_RESOURCES, KIND)["spec"]["processor"] == "east"
        await eventually(lambda: not fabric.takes_over(KIND))
        pair.hub.put(SYNCED_RESOURCES, declared("west", 3))
        await eventually(lambda: pair.data["processor"] == "west")
        pair.hub.put(SYNCED_RESOURCES, declared("east", 4))
        await eventually(lambda: fabric.takes_over(KIND))
        await eventually(lambda: len(fabric._mirror_queue) == 0)
        assert pair.data["processor"] == "west", "each term is levelled anew"


async def test_who_is_the_processor_again_stands_by_until_its_copies_are_level(pair: Pair) -> None:
    """East's syncer was away while the processor moved to another cluster and back."""
    pair.hub.put(SYNCED_RESOURCES, declared("east", 2))
    pair.member.put(SYNCED_RESOURCES, declared("east", 1))
    async with pair.running() as fabric:
        await eventually(lambda: pair.data.get("epoch") == "2", "a term that only grew by one is east's own")
        assert not fabric.takes_over(KIND)
    pair.hub.put(SYNCED_RESOURCES, declared("east", 4))
    async with pair.running() as fabric:
        await eventually(lambda: fabric.takes_over(KIND))
        await eventually(lambda: len(fabric._mirror_queue) == 0)
        assert pair.data["epoch"] == "2", "what its mirror says is not of the hub's term"
        await fabric.stand_by(KIND)
        assert (pair.data["processor"], pair.data["epoch"]) == ("kcp", "3"), "admission lets nobody work meanwhile"
    async with pair.running() as fabric:  # what has still to be done survives the process
        await eventually(lambda: fabric.takes_over(KIND))
        assert pair.member.get(SYNCED_RESOURCES, KIND)["spec"]["processor"] == "kcp", "nor does its controller"
        await fabric.stand_by(KIND)
        fabric.levelled(KIND, 2)
        await eventually(lambda: len(fabric._mirror_queue) == 0)
        assert fabric.takes_over(KIND), "that was before another one had it"
        fabric.levelled(KIND, 4)
        await eventually(lambda: (pair.data["processor"], pair.data["epoch"]) == ("east", "4"))
        await eventually(lambda: not fabric.takes_over(KIND))


async def test_no_kind_is_level_with_a_hub_that_is_not_trusted(pair: Pair) -> None:
    async with pair.running():
        await eventually(lambda: pair.data != {})
    pair.hub.put(SYNCED_RESOURCES, declared("east", 2))
    async with pair.running(hub_uid="another") as fabric:
        await eventually(lambda: fabric.takes_over(KIND))
        await fabric.stand_by(KIND)
        fabric.levelled(KIND, 2)
        pair.member.put(SYNCED_RESOURCES, {**declared(), "metadata": {"name": KIND, "annotations": {}}})
        await eventually(lambda: not fabric.quarantined)
        await eventually(lambda: len(fabric._mirror_queue) == 0)
        assert pair.data["processor"] == "west", "its status has still to come down"
        fabric.levelled(KIND, 2)
        await eventually(lambda: pair.data["processor"] == "east")


async def test_a_hub_that_is_accepted_is_noticed_at_once(pair: Pair) -> None:
    async with pair.running():
        await eventually(lambda: pair.data != {})
    told: list[bool] = []
    async with pair.running(hub_uid="another") as fabric:
        await fabric.wait_synced()
        assert fabric.quarantined
        fabric._on_change = lambda: told.append(fabric.quarantined)
        pair.member.put(SYNCED_RESOURCES, {**declared(), "metadata": {"name": KIND, "annotations": {}}})
        await eventually(lambda: told and not told[-1], "whoever listens knows that nothing is held back any more")


async def test_what_is_as_it_should_be_is_read_and_not_written(pair: Pair) -> None:
    async with pair.running():
        await eventually(lambda: pair.data != {})
        await eventually(lambda: pair.reads() >= 2)  # the mirror's own birth is seen, too
    written, read = pair.writes(), pair.reads()
    async with pair.running():
        await eventually(lambda: pair.reads() > read)
    assert sorted(written) == [("POST", CONFIG_MAPS.name), ("POST", SYNCED_RESOURCES.name)]
    assert pair.writes() == written


async def test_what_somebody_else_wrote_is_put_right(pair: Pair) -> None:
    metadata = {"name": KIND, "namespace": NAMESPACE, "labels": {"theirs": "1"}}
    pair.member.put(CONFIG_MAPS, {"metadata": metadata, "data": {"processor": "east", "epoch": "9", "more": "x"}})
    async with pair.running():
        await eventually(lambda: pair.data == {"processor": "west", "epoch": "1", "statusWriters": ""})
    assert pair.member.get(CONFIG_MAPS, KIND, NAMESPACE)["metadata"]["labels"] == {"theirs": "1"}


async def test_a_write_that_lost_a_race_is_tried_again_from_a_fresh_read(pair: Pair) -> None:
    async def overtaken(_call: Any) -> None:
        pair.member.put(CONFIG_MAPS, {**old, "data": {"processor": "other", "epoch": "8"}})

    old = {"metadata": {"name": KIND, "namespace": NAMESPACE}, "data": {"processor": "east", "epoch": "9"}}
    pair.member.put(CONFIG_MAPS, old)
    pair.member.intercept(overtaken, "PATCH", CONFIG_MAPS.name)
    async with pair.running():
        await eventually(lambda: pair.data.get("processor") == "west")
    assert pair.writes().count(("PATCH", CONFIG_MAPS.name)) == 2


async def test_it_stays_when_the_mirror_refuses_to_go_back(pair: Pair) -> None:
    """A hub that lost its last terms: the CRD refuses the epoch, and admission must not go back alone."""
    data = {"processor": "east", "epoch": "9", "statusWriters": ""}
    pair.member.put(CONFIG_MAPS, {"metadata": {"name": KIND, "namespace": NAMESPACE}, "data": data})
    pair.member.put(SYNCED_RESOURCES, declared("east", 9))
    pair.member.fail("PATCH", 422, "Invalid", resource=SYNCED_RESOURCES.name, times=1000)
    async with pair.running():
        await eventually(lambda: pair.writes().count(("PATCH", SYNCED_RESOURCES.name)) >= 2)
    assert pair.data == data


async def test_another_hub_changes_nothing(pair: Pair) -> None:
    async with pair.running():
        await eventually(lambda: pair.data != {})
    pair.hub.put(SYNCED_RESOURCES, declared("east", 2))
    before = pair.writes()
    async with pair.running(hub_uid="another") as fabric:
        await fabric.wait_synced()
        await eventually(lambda: len(fabric._mirror_queue) == 0)
    assert pair.writes() == before


async def test_what_somebody_took_away_is_back_after_a_floor(pair: Pair) -> None:
    async with pair.running(floor=0.3):
        await eventually(lambda: pair.data != {})
        pair.member.remove(CONFIG_MAPS, KIND, NAMESPACE)
        await eventually(lambda: pair.data != {}, "without it admission denies everything")
