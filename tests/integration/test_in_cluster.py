# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Syncer and controller as pods run them, on real API servers: credentials, health, metrics, renewed tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from runtime.tests.core.scraping import scrape
from tests.integration.module_pair import Pair, queue
from tests.integration.pods import EVERY_SECOND, NEVER, Pod, Road, mount_secret, pod, road, token
from tests.integration.taskqueues import TASK_QUEUES, eventually
from tests.integration.throwaway_plane import Plane
from tmc.api.client import ApiClient
from tmc.api.errors import NotFound, Unauthorized
from tmc.api.kubeconfig import Connection, load_kubeconfig
from tmc.api.resource import NAMESPACES, SECRETS

SECRET = "kcp-syncer-hub"
WRITES = ("POST", "PATCH", "PUT", "DELETE", "APPLY")


@dataclass
class Lab:
    """A hub, a member that has joined it, and what pods on the member need."""

    hub: ApiClient
    member: ApiClient
    road: Road
    folder: Path
    stack: AsyncExitStack
    syncers: list[Pod] = field(default_factory=list)

    async def syncer(self, renew_at: str = NEVER, *, mounted_as: Pod | None = None) -> Pod:
        """One more replica; with `mounted_as` it has the Secret as the kubelet mounted it for that one."""
        folder = self.folder / f"syncer-{len(self.syncers)}"
        if mounted_as is None:
            await mount_secret(folder / "hub", self.member, "default", SECRET)
        else:
            shutil.copytree(mounted_as.folder / "hub", folder / "hub")
        own = await token(self.member, "default", "tmc-syncer")
        args = ("syncer", "--member=west", "--hub=kcp", "--sync-interval=1s")
        hub = (f"--hub-kubeconfig={folder}/hub/hub.kubeconfig", f"--hub-token-secret=default/{SECRET}")
        made = pod(folder, self.member, own, *args, *hub, renew_at=renew_at)
        self.syncers.append(await self.stack.enter_async_context(made))
        return self.syncers[-1]

    async def controller(self) -> Pod:
        folder = self.folder / "controller"
        own = await token(self.member, "default", "taskqueue-controller")
        args = ("controller", "--cluster=west", "--processing-delay=50ms")
        return await self.stack.enter_async_context(pod(folder, self.member, own, *args))

    async def create(self, name: str) -> None:
        await self.member.create(TASK_QUEUES, _in_default(queue(name)), field_manager="test")

    async def shown(self, name: str) -> dict[str, Any]:
        try:
            return await self.hub.get(TASK_QUEUES, name, "default")
        except NotFound:
            return {}

    async def kept_token(self) -> str:
        secret = await self.member.get(SECRETS, SECRET, "default")
        return base64.b64decode(secret["data"]["hub.token"]).decode().strip()


def _in_default(obj: dict[str, Any]) -> dict[str, Any]:
    obj["metadata"]["namespace"] = "default"
    return {"apiVersion": TASK_QUEUES.api_version, "kind": TASK_QUEUES.kind, **obj}


@pytest.fixture
def rights(repository: Path) -> str:
    """What a syncer needs more on its own cluster when it runs there."""
    return (repository / "manifests" / "syncer" / "rbac.yaml").read_text()


@pytest_asyncio.fixture
async def lab(pair: Pair, hub_plane: Plane, member_plane: Plane, rights: str, tmp_path: Path) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(ApiClient(load_kubeconfig(hub_plane.kubeconfig)))
        member = await stack.enter_async_context(ApiClient(load_kubeconfig(member_plane.kubeconfig)))
        way = await stack.enter_async_context(road(hub_plane.url))
        join = {"credentials_dir": None, "credentials_secret": f"default/{SECRET}", "hub_server": way.url}
        await asyncio.to_thread(partial(pair.run, "member", **pair.join(**join)))
        for role, kubeconfig in (("hub", pair.hub_file), ("member", pair.member_file)):
            name = "kcp" if role == "hub" else "west"
            declare = pair.declare(kubeconfig=kubeconfig, cluster_name=name, role=role)
            await asyncio.to_thread(partial(pair.run, "synced_resource", **declare))
        await apply(member, rights)
        yield Lab(hub, member, way, tmp_path, stack)


async def apply(client: ApiClient, manifest: str) -> None:
    for document in yaml.safe_load_all(manifest):
        group, metadata = document["apiVersion"], document["metadata"]
        path = f"/apis/{group}/namespaces/{metadata['namespace']}/{document['kind'].lower()}s/{metadata['name']}"
        params = {"fieldManager": "test", "force": "true"}
        await client.request("PATCH", path, params=params, body=document, content_type="application/apply-patch+yaml")


async def accepted_writes(client: ApiClient) -> float:
    """Of TaskQueues, as the API server counts them itself."""
    connection = client.connection
    headers = {"Authorization": f"Bearer {client.token()}"}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=connection.ssl_context())) as session,
        session.get(f"{connection.server}/metrics", headers=headers) as response,
    ):
        counted = scrape(await response.text())
    return sum(
        counted.value("apiserver_request_total", group="demo.tmc.io", resource="taskqueues", verb=verb, code=code)
        for verb in WRITES
        for code in ("200", "201")
    )


async def test_pods_need_no_kubeconfig_and_count_what_the_api_server_counts(lab: Lab) -> None:
    before = await accepted_writes(lab.hub)
    first, second, controller = await lab.syncer(), await lab.syncer(), await lab.controller()
    for each in (first, second, controller):
        await eventually(each.ready, "leader, standby and controller are ready")
    assert [await each.leads() for each in (first, second)].count(True) == 1
    await lab.create("in-cluster")

    async def done() -> bool:
        return (await lab.shown("in-cluster")).get("status", {}).get("phase") == "Completed"

    await eventually(done, "worked on by the controller, and told to the hub")
    leader = first if await first.leads() else second

    async def equal() -> bool:
        counted = (await leader.metrics()).value("tmc_sync_writes_total", side="hub", kind=TASK_QUEUES.name)
        return counted == await accepted_writes(lab.hub) - before

    await eventually(equal, "syncer and API server agree on the number of writes")
    found = await leader.metrics()
    assert found.value("tmc_sync_writes_total", side="hub") > 1
    assert found.value("tmc_sync_end_to_end_seconds_count", direction="up", carried="object") >= 1
    assert found.value("tmc_sync_end_to_end_seconds_count", direction="up", carried="status") >= 1
    assert found.value("process_resident_memory_bytes") > 0
    worked = await controller.metrics()
    assert worked.value("tmc_taskqueue_tasks_recorded_total", state="Succeeded") == 1
    assert worked.value("tmc_taskqueue_queues", phase="Completed") == 1
    for each in (first, second, controller):
        lines = [json.loads(line) for line in each.log.splitlines()]
        assert lines
        assert all({"ts", "level", "logger", "msg"} < set(line) and {"member", "cluster"} & set(line) for line in lines)
        assert "eyJ" not in each.log, "a token is in the log"


async def test_a_hub_that_is_away_makes_nobody_be_restarted(lab: Lab) -> None:
    replicas = await lab.syncer(), await lab.syncer()
    for each in replicas:
        await eventually(each.ready, "leader and standby are ready")
    await lab.road.close()
    for each in replicas:

        async def unready(each: Pod = each) -> bool:
            status, body = await each.get("/readyz")
            return status == 503 and bool(json.loads(body)["checks"])

        await eventually(unready, "both say that they are not ready")
        assert (await each.get("/healthz"))[0] == 200
    await lab.road.open()
    for each in replicas:
        await eventually(each.ready, "leader and standby are ready again")
        assert each.process.returncode is None


async def test_the_hub_token_is_renewed_in_its_secret_and_used_at_once(lab: Lab) -> None:
    """The mounted token is taken back while the process that has renewed it works on, and its standby waits."""
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "life", "namespace": "tmc-system"}}
    life = await lab.hub.create(SECRETS, body, field_manager="test")
    mortal = await token(lab.hub, "tmc-system", "syncer-west", bound_to="life")
    data = {"data": {"hub.token": base64.b64encode(mortal.encode()).decode()}}
    await lab.member.patch(SECRETS, SECRET, "default", data, field_manager="test")

    leader = await lab.syncer(EVERY_SECOND)
    await eventually(leader.leads, "the first one leads")
    standby = await lab.syncer(EVERY_SECOND, mounted_as=leader)  # the first may have renewed the Secret's by now
    await eventually(standby.ready, "the second one stands by")

    async def renewed() -> bool:
        return await lab.kept_token() != mortal

    await eventually(renewed, "the token in the Secret is a new one")
    await lab.hub.delete(SECRETS, "life", "tmc-system", uid=life["metadata"]["uid"])
    await eventually(partial(is_refused, lab.hub.connection, mortal), "the old token is refused")
    await lab.create("renewed")
    await eventually(partial(lab.shown, "renewed"), "the leader uses the new token, although its file is old")
    assert (leader.folder / "hub" / "hub.token").read_text().strip() != await lab.kept_token()
    assert "was not renewed" not in leader.log
    assert "is kept in" not in standby.log, "only the leader renews"

    async def unready() -> bool:
        return not await standby.ready()

    await eventually(unready, "the standby has the old token")
    await mount_secret(standby.folder / "hub", lab.member, "default", SECRET)
    await eventually(standby.ready, "the kubelet has brought the new one")
    leader.process.kill()
    await leader.process.wait()
    await eventually(standby.leads, "the standby takes over")
    taken_over = await lab.kept_token()

    async def renewed_again() -> bool:
        return await lab.kept_token() != taken_over

    await eventually(renewed_again, "now it renews")


async def is_refused(hub: Connection, text: str) -> bool:
    async with ApiClient(Connection("old", hub.server, ca=hub.ca, token=text)) as client:
        try:
            await client.get(NAMESPACES, "kube-system")
        except Unauthorized:
            return True
        except Exception:  # noqa: BLE001 - forbidden is not refused
            return False
    return False
