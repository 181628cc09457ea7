# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole controller: Lease, SyncedResource, TaskQueues, and the command line around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from runtime.tests.controller.builders import queue_object
from runtime.tests.controller.stations import STATUS_WRITES, Ledger
from runtime.tests.controller.test_coordinator import phase, status
from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import EVENTS, LEASES
from tmc.controller import service
from tmc.controller.resources import SYNCED_RESOURCES, TASK_QUEUES
from tmc.controller.service import Controller
from tmc.controller.settings import Settings


def synced(processor: str = "west", epoch: int = 1) -> dict[str, object]:
    return {"metadata": {"name": TASK_QUEUES.name}, "spec": {"processor": processor, "epoch": epoch}}


@asynccontextmanager
async def controller(api: FakeApi, delay: float = 0.0) -> AsyncIterator[tuple[Controller, ApiClient]]:
    """Leaving it is a clean stop (SIGTERM)."""
    settings = Settings("west", Path("unused"), "default", 5, delay, 10.0, "simulate")
    async with ApiClient(api.connection) as client:
        made = Controller(client, settings)
        running = asyncio.create_task(made.run())
        try:
            yield made, client
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def holder(api: FakeApi) -> str:
    lease = api.objects[LEASES.name].get(("default", "taskqueue-controller"), {})
    return str(lease.get("spec", {}).get("holderIdentity", ""))


async def test_it_works_under_the_lease_and_signs_with_its_identity(api: FakeApi) -> None:
    api.put(SYNCED_RESOURCES, synced(epoch=7))
    api.put(TASK_QUEUES, queue_object())
    async with controller(api) as (made, _):
        await eventually(lambda: phase(api) == "Completed")
        assert holder(api) == made.elector.identity == status(api)["processorIdentity"]
        assert (status(api)["epoch"], status(api)["processingCluster"]) == (7, "west-controller")
        patches = [call for call in api.calls if call.verb == "PATCH" and call.resource == TASK_QUEUES.name]
        assert {(call.subresource, call.request.query["fieldManager"]) for call in patches} == {
            ("status", "taskqueue-controller")
        }
    assert holder(api) == ""


async def test_without_a_synced_resource_it_says_so_and_waits(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    api.put(TASK_QUEUES, queue_object())
    async with controller(api) as (_, client):
        await eventually(lambda: "waiting: there is no SyncedResource 'taskqueues.demo.tmc.io'" in caplog.text)
        assert client.requests[STATUS_WRITES] == 0
        api.put(SYNCED_RESOURCES, synced())
        await eventually(lambda: phase(api) == "Completed")


async def test_without_the_crd_it_says_so_and_waits(
    api: FakeApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_PATIENCE_SECONDS", 0.05)
    missing = api.resources.pop(SYNCED_RESOURCES.name)
    api.put(TASK_QUEUES, queue_object())
    async with controller(api) as (_, client):
        await eventually(lambda: "syncedresources.fabric.tmc.io cannot be read on cluster 'west'" in caplog.text)
        assert client.requests[STATUS_WRITES] == 0
        api.resources[missing.name] = missing
        api.put(SYNCED_RESOURCES, synced())
        await eventually(lambda: phase(api) == "Completed")


async def test_the_other_clusters_turn_and_back(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    api.put(SYNCED_RESOURCES, synced("east", 2))
    api.put(TASK_QUEUES, queue_object())
    async with controller(api) as (_, client):
        await eventually(lambda: "the processor of taskqueues.demo.tmc.io is 'east', this is 'west'" in caplog.text)
        assert client.requests[STATUS_WRITES] == 0
        api.put(SYNCED_RESOURCES, synced("west", 3))
        await eventually(lambda: phase(api) == "Completed")
        assert status(api)["epoch"] == 3


async def test_only_the_leader_works_and_the_next_one_takes_over(api: FakeApi, ledger: Ledger) -> None:
    api.put(SYNCED_RESOURCES, synced())
    async with controller(api, delay=0.01) as (first, _):
        await eventually(lambda: holder(api) == first.elector.identity)
        async with controller(api, delay=0.01) as (second, client):
            api.put(TASK_QUEUES, queue_object(tasks="abcdef", parallelism=2))
            await eventually(lambda: phase(api) == "Completed")
            assert client.requests[STATUS_WRITES] == 0
            assert status(api)["processorIdentity"] == first.elector.identity != second.elector.identity
    async with controller(api) as (third, _):
        api.put(TASK_QUEUES, queue_object("next"))
        await eventually(lambda: phase(api, "next") == "Completed")
        assert status(api, "next")["processorIdentity"] == third.elector.identity
    ledger.assert_nothing_done_twice()


async def test_a_term_that_ran_out_stops_claims_before_the_elector_acts(api: FakeApi) -> None:
    api.put(SYNCED_RESOURCES, synced())
    async with controller(api) as (made, client):
        await eventually(lambda: made.elector.leading)
        made.elector._held_until = 0.0  # as after a long freeze
        api.put(TASK_QUEUES, queue_object())
        version = api.version
        await eventually(lambda: made._queues.resource_version >= version)
        await asyncio.sleep(0)
        assert client.requests[STATUS_WRITES] == 0
        assert phase(api) == ""


async def test_a_failed_queue_is_an_event_on_the_users_object(api: FakeApi) -> None:
    api.put(SYNCED_RESOURCES, synced())
    api.put(TASK_QUEUES, queue_object(tasks=[{"name": "a", "command": "c", "simulate": {"fail": True}}]))
    async with controller(api):
        await eventually(lambda: bool(api.objects[EVENTS.name]))
    (event,) = api.objects[EVENTS.name].values()
    assert (event["reason"], event["type"], event["involvedObject"]["name"]) == ("TasksFailed", "Warning", "q")
