# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The TaskQueue controller on a real API server, with the rights that its manifest gives it and no others."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest_asyncio

from runtime.tests.controller.stations import STATUS_WRITES, GatedExecutor, listening_to_the_ledger, station
from tests.integration.processor import controllers_kubeconfig, make_processor, process, queue, reached
from tests.integration.taskqueues import SYNCED_RESOURCES, TASK_QUEUES, create, eventually, refusal
from tests.integration.throwaway_plane import Plane
from tmc.api.client import ApiClient
from tmc.api.errors import Forbidden
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import LEASES, SERVICE_ACCOUNTS, Resource
from tmc.controller.service import Controller
from tmc.controller.settings import Settings
from tmc.controller.simulate import SimulateExecutor

SECRETS = Resource("", "v1", "secrets", "Secret", has_status=False)


@pytest_asyncio.fixture
async def admin(plane: Plane, repository: Path) -> AsyncIterator[ApiClient]:
    """An administrator; the kinds and the rights are installed, and west is the processor in term 1."""
    async with ApiClient(load_kubeconfig(plane.kubeconfig)) as client:
        await make_processor(client, repository / "manifests", "controller-rbac.yaml")
        yield client


@pytest_asyncio.fixture
async def kubeconfig(admin: ApiClient, plane: Plane, tmp_path: Path) -> Path:
    return await controllers_kubeconfig(admin, plane.kubeconfig, tmp_path)


@pytest_asyncio.fixture(autouse=True)
async def no_queues_left(admin: ApiClient) -> AsyncIterator[None]:
    yield
    for item in (await admin.list(TASK_QUEUES)).items:
        metadata = item["metadata"]
        await admin.delete(TASK_QUEUES, metadata["name"], metadata["namespace"], uid=metadata["uid"])
    for item in (await admin.list(LEASES, "default")).items:
        await admin.delete(LEASES, item["metadata"]["name"], "default", uid=item["metadata"]["uid"])


async def test_two_status_writes_for_five_tasks_with_the_manifests_rights(admin: ApiClient, kubeconfig: Path) -> None:
    async with running_controller(kubeconfig, delay=0.2) as client:
        await create(admin, queue("ctl-writes", 5, parallelism=5))
        status = await reached(admin, "ctl-writes")
        assert client.requests[STATUS_WRITES] == 2
    assert status["progress"] == "5/5"
    assert {each["attempts"] for each in status["tasks"]} == {1}


async def test_a_failed_queue_is_told_to_its_user(admin: ApiClient, kubeconfig: Path) -> None:
    made = queue("ctl-fails", 2)
    made["spec"]["tasks"][0]["simulate"] = {"fail": True}
    async with running_controller(kubeconfig):
        await create(admin, made)
        status = await reached(admin, "ctl-fails", "Failed")
        assert (status["completedTasks"], status["failedTasks"]) == (1, 1)
        events = Resource("", "v1", "events", "Event", has_status=False)

        async def told() -> bool:
            found = (await admin.list(events, "default")).items
            return any(each["involvedObject"].get("name") == "ctl-fails" for each in found)

        await eventually(told, "an Event on ctl-fails")


async def test_its_rights_end_there(admin: ApiClient, kubeconfig: Path) -> None:
    created = await create(admin, queue("ctl-rights", 1))
    async with ApiClient(load_kubeconfig(kubeconfig)) as client:
        change = [{"op": "replace", "path": "/spec/region", "value": "elsewhere"}]
        lease: dict[str, Any] = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {}}
        lease["metadata"] = {"name": "taskqueue-controller", "namespace": "kube-system"}
        for attempt in (
            client.patch(TASK_QUEUES, "ctl-rights", "default", change, field_manager="test"),
            client.delete(TASK_QUEUES, "ctl-rights", "default", uid=created["metadata"]["uid"]),
            client.list(SECRETS),
            client.patch(SYNCED_RESOURCES, TASK_QUEUES.name, "", change, field_manager="test"),
            client.create(LEASES, lease, field_manager="test"),
            client.list(LEASES, "default"),
            client.request("POST", SERVICE_ACCOUNTS.path("default", "default", "token"), body={}),
        ):
            assert isinstance(await refusal(attempt), Forbidden)


async def test_after_a_crash_a_successor_finishes_and_no_success_is_done_again(
    admin: ApiClient, kubeconfig: Path
) -> None:
    executor = GatedExecutor()
    connection = load_kubeconfig(kubeconfig)
    with listening_to_the_ledger() as ledger:
        async with station(connection, "first", executor=executor):
            await create(admin, queue("ctl-crash", 5, parallelism=3))
            await eventually(lambda: len(executor.waiting) == 3, "three tasks run")
            executor.release("t0", "t1")

            async def two_recorded() -> bool:
                status = (await admin.get(TASK_QUEUES, "ctl-crash", "default")).get("status") or {}
                return bool(status.get("completedTasks") == 2)

            await eventually(two_recorded, "two successes are recorded")
        async with station(connection, "second"):
            status = await reached(admin, "ctl-crash")
    ledger.assert_nothing_done_twice()
    attempts = {each["name"]: each["attempts"] for each in status["tasks"]}
    assert attempts == {"t0": 1, "t1": 1, "t2": 2, "t3": 2, "t4": 2}


async def test_two_at_once_never_run_the_same_claim(admin: ApiClient, kubeconfig: Path) -> None:
    connection = load_kubeconfig(kubeconfig)
    names = [f"ctl-two-{number}" for number in range(6)]
    with listening_to_the_ledger() as ledger:
        async with station(connection, "stays", executor=SimulateExecutor(0.02)):
            async with station(connection, "goes", executor=SimulateExecutor(0.02)):
                for name in names:
                    await create(admin, queue(name, 8, parallelism=4))
                await eventually(lambda: len(ledger.attempts("started")) > 20, "both are at it")
            for name in names:
                await reached(admin, name)
    ledger.assert_nothing_done_twice()


async def test_a_controller_that_was_stopped_and_woken_records_nothing(admin: ApiClient, kubeconfig: Path) -> None:
    """Two real processes; the first is frozen right after its claim, and wakes when the second has taken over."""
    async with process(kubeconfig) as sleeper:
        await create(admin, queue("ctl-frozen", 2, duration="3s"))
        await eventually(lambda: len(sleeper.lines("started")) == 2, "the first has started both tasks")
        os.kill(sleeper.pid, signal.SIGSTOP)
        try:
            async with process(kubeconfig) as successor:
                await eventually(lambda: len(successor.lines("started")) == 2, "the second has taken over")
                os.kill(sleeper.pid, signal.SIGCONT)
                status = await reached(admin, "ctl-frozen")
                await eventually(lambda: len(successor.lines("recorded")) == 2, "the second has recorded both")
                await eventually(lambda: "lost default/taskqueue-controller" in sleeper.log.read_text(), "it notices")
        finally:
            with suppress(ProcessLookupError):
                os.kill(sleeper.pid, signal.SIGCONT)
    assert sleeper.lines("recorded") == []
    assert [line["attempt"] for line in sleeper.lines("started")] == [1, 1]
    assert [line["attempt"] for line in successor.lines("started")] == [2, 2]
    assert {each["attempts"] for each in status["tasks"]} == {2}


@asynccontextmanager
async def running_controller(kubeconfig: Path, delay: float = 0.0) -> AsyncIterator[ApiClient]:
    """The whole controller in this process; gives its client, which counts requests."""
    settings = Settings("west", kubeconfig, "default", 5, delay, 10.0, "simulate")
    async with ApiClient(load_kubeconfig(kubeconfig)) as client:
        running = asyncio.create_task(Controller(client, settings).run())
        try:
            yield client
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
