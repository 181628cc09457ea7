# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A hub that was restored from an older snapshot is told from one that is slow, by the Lease that it gives back."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import LEASES
from tmc.core.lease import LeaderElector
from tmc.sync.hub_memory import NAME, NAMESPACE, RESTORES, UID, VERSION, HubMemory

HUB = "uid-hub"


@asynccontextmanager
async def member() -> AsyncIterator[tuple[FakeApi, ApiClient]]:
    async with FakeApi(LEASES, name="east") as api, ApiClient(api.connection) as client:
        yield api, client


def notes(api: FakeApi) -> dict[str, str]:
    found: dict[str, str] = api.get(LEASES, NAME, NAMESPACE)["metadata"]["annotations"]
    return found


async def remembered(client: ApiClient, uid: str, *versions: tuple[int, int]) -> HubMemory:
    """A term that saw these writes of the hub's Lease and kept what it knows."""
    memory = HubMemory(client)
    await memory.recall(uid)
    for replaced, written in versions:
        memory.witness(replaced, written)
    await kept(memory)
    return memory


async def kept(memory: HubMemory) -> None:
    task = asyncio.create_task(memory.keep())
    try:
        await eventually(lambda: memory._kept.version == memory._newest)
    finally:
        task.cancel()


async def test_a_hub_that_goes_on_is_trusted() -> None:
    async with member() as (api, client):
        memory = await remembered(client, HUB, (100, 100), (100, 130), (130, 150))
        assert not memory.restored
        assert notes(api) == {UID: HUB, VERSION: "150", RESTORES: "0"}


async def test_a_hub_that_gives_back_an_older_lease_was_restored() -> None:
    async with member() as (_, client):
        memory = await remembered(client, HUB, (100, 130), (130, 150))
        memory.witness(130, 900)  # also when its versions were raised since
        assert memory.restored
        assert (memory.held, memory.lost_since) == (130, 150)


async def test_a_lease_that_was_deleted_and_made_anew_is_no_restore() -> None:
    async with member() as (_, client):
        memory = await remembered(client, HUB, (100, 130))
        memory.witness(140, 140)
        assert not memory.restored


async def test_a_hub_whose_writes_come_before_what_it_listed_was_restored() -> None:
    """The snapshot is younger than the Lease in it: what others wrote since is lost."""
    async with member() as (_, client):
        memory = await remembered(client, HUB, (100, 130))
        memory.listed(170)
        memory.listed(160)  # a list that lags says less
        memory.witness(130, 171)
        memory.listed(200)
        memory.witness(171, 190)
        assert not memory.restored, "that write was begun before the list, and its answer came late"
        memory.witness(190, 195)
        assert memory.restored
        assert (memory.held, memory.lost_since) == (195, 200)
        await memory.forget()
        memory.witness(195, 197)
        memory.witness(197, 198)
        assert not memory.restored


@pytest.mark.parametrize(("replaced", "restored"), [(129, True), (130, False), (131, False)])
async def test_a_process_that_starts_knows_what_the_one_before_it_knew(replaced: int, restored: bool) -> None:
    async with member() as (_, client):
        await remembered(client, HUB, (100, 130))
        successor = HubMemory(client)
        successor.witness(replaced, 500)  # the Lease is won before anything is recalled
        successor.witness(500, 510)
        await successor.recall(HUB)
        assert successor.restored is restored


async def test_another_hub_is_not_measured_by_this_one() -> None:
    async with member() as (_, client):
        memory = await remembered(client, HUB, (1000, 1300))
        memory.rest()
        memory.witness(20, 30)
        await memory.recall("uid-other")
        assert not memory.restored


async def test_a_replica_that_noticed_tells_the_others() -> None:
    async with member() as (api, client):
        first = await remembered(client, HUB, (100, 1300))
        second = await remembered(client, HUB, (1300, 1400))
        second.witness(500, 600)
        await second.forget()
        assert not second.restored
        assert notes(api) == {UID: HUB, VERSION: "600", RESTORES: "1"}
        first.rest()
        first.witness(600, 700)
        await first.recall(HUB)
        assert not first.restored, "what it knew from its own earlier term is lost, and that has been said"


async def test_terms_of_two_replicas_that_alternate_are_no_restore() -> None:
    """Giving the Lease back is a write too; it says nothing of the hub when the other has led since."""
    async with member() as (_, client):
        first = await remembered(client, HUB, (100, 130))
        first.rest()
        first.witness(130, 140)  # gives the Lease back
        await remembered(client, HUB, (140, 300))
        first.witness(300, 310)
        first.witness(310, 320)
        await first.recall(HUB)
        assert not first.restored


async def test_a_member_that_may_not_read_its_lease_trusts_its_hub() -> None:
    async with member() as (api, client):
        api.fail("GET", 403, "Forbidden")
        memory = HubMemory(client)
        memory.witness(10, 20)
        await memory.recall(HUB)
        assert not memory.restored


async def test_an_annotation_that_makes_no_sense_is_not_known() -> None:
    async with member() as (api, client):
        where = {"name": NAME, "namespace": NAMESPACE, "annotations": {UID: HUB, VERSION: "-7", RESTORES: "x"}}
        api.put(LEASES, {"metadata": where})
        memory = HubMemory(client)
        memory.witness(10, 20)
        await memory.recall(HUB)
        assert not memory.restored


async def test_what_is_known_is_kept_about_once_a_minute() -> None:
    async with member() as (api, client):
        memory = await remembered(client, HUB, (100, 130))
        task = asyncio.create_task(memory.keep())
        for version in range(130, 200):
            memory.witness(version, version + 1)
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        task.cancel()
        writes = [call.verb for call in api.calls if call.verb in ("PATCH", "POST")]
        assert len(writes) <= 3


@dataclass
class Snapshot:
    """Of a hub, with its Lease as it was."""

    objects: dict[str, dict[Any, Any]]
    version: int

    @classmethod
    def of(cls, api: FakeApi) -> Snapshot:
        return cls(copy.deepcopy(api.objects), api.version)

    def restore(self, api: FakeApi) -> None:
        api.objects, api.version = copy.deepcopy(self.objects), self.version
        api.compacted = self.version
        api.end_watches()


async def test_the_elector_bears_witness_while_it_leads() -> None:
    async with member() as (_, client), FakeApi(LEASES, name="kcp") as hub, ApiClient(hub.connection) as remote:
        memory = HubMemory(client)
        await memory.recall(HUB)
        elector = LeaderElector(remote, "tmc-system", "syncer-east", duration=30, renew=0.05, witness=memory.witness)
        task = asyncio.create_task(elector.run(asyncio.Event().wait))  # type: ignore[arg-type]
        try:
            await eventually(lambda: memory._newest > 1002)
            before = Snapshot.of(hub)
            await eventually(lambda: memory._newest > before.version + 2)
            assert not memory.restored
            before.restore(hub)
            hub.version += 1000  # other writers were faster than we: only our own Lease tells
            await eventually(lambda: memory.restored)
        finally:
            task.cancel()
            await asyncio.wait([task])
