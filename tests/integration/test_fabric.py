# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The fabric as its users see it, on three real control planes: what is done on one cluster shows on all."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.deployed_fabric import Fabric, processes_naming
from tests.integration.taskqueues import TASK_QUEUES, eventually
from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Forbidden, Invalid, NotFound, Unreachable
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import EVENTS

Obj = dict[str, Any]
Clients = dict[str, ApiClient]


@pytest.fixture
async def clusters(fabric: Fabric) -> AsyncIterator[Clients]:
    """An administrator's client of each cluster, by name."""
    clients = {name: ApiClient(load_kubeconfig(fabric.kubeconfig(name))) for name in fabric.names}
    for client in clients.values():
        await client.__aenter__()
    yield clients
    for client in clients.values():
        await client.__aexit__(None, None, None)


def queue(name: str, tasks: int = 3, **spec: Any) -> Obj:
    listed = [{"name": f"task-{i}", "command": f"work --on={name}/{i}"} for i in range(tasks)]
    return {
        "apiVersion": "demo.tmc.io/v1",
        "kind": "TaskQueue",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"region": "test", "tasks": listed, **spec},
    }


def fresh(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:8]}"


async def shown(client: ApiClient, name: str) -> Obj | None:
    try:
        return await client.get(TASK_QUEUES, name, "default")
    except NotFound:
        return None


async def everywhere(clusters: Clients, name: str) -> dict[str, Obj | None]:
    return {cluster: await shown(client, name) for cluster, client in clusters.items()}


async def completed_everywhere(clusters: Clients, name: str) -> dict[str, Obj]:
    async def complete() -> dict[str, Obj | None] | None:
        seen = await everywhere(clusters, name)
        return seen if all(o and o.get("status", {}).get("phase") == "Completed" for o in seen.values()) else None

    return await eventually(complete, f"{name} is Completed on every cluster")


async def gone_everywhere(clusters: Clients, name: str) -> None:
    async def gone() -> bool:
        return not any((await everywhere(clusters, name)).values())

    await eventually(gone, f"{name} is gone from every cluster")


async def create(client: ApiClient, obj: Obj) -> Obj:
    return await client.create(TASK_QUEUES, obj, field_manager="test")


async def delete(client: ApiClient, name: str) -> None:
    obj = await client.get(TASK_QUEUES, name, "default")
    await client.delete(TASK_QUEUES, name, "default", uid=obj["metadata"]["uid"])


@pytest.mark.parametrize("origin", ["east", "west", "kcp"])
async def test_a_taskqueue_of_any_cluster_runs_once_and_shows_everywhere(clusters: Clients, origin: str) -> None:
    name = fresh("life")
    created = await create(clusters[origin], queue(name))
    seen = await completed_everywhere(clusters, name)
    for cluster, obj in seen.items():
        assert obj["spec"] == created["spec"]
        assert obj["status"]["progress"] == "3/3"
        assert obj["status"]["processingCluster"] == "west-controller"
        assert obj["status"]["observedGeneration"] == obj["metadata"]["generation"]
        assert [t["attempts"] for t in obj["status"]["tasks"]] == [1, 1, 1]
        if cluster != origin:
            assert obj["metadata"]["labels"]["tmc.io/origin"] == origin
            assert obj["metadata"]["annotations"]["tmc.io/origin-uid"] == created["metadata"]["uid"]
    await delete(clusters[origin], name)
    await gone_everywhere(clusters, name)


async def test_a_changed_spec_and_label_travel(clusters: Clients) -> None:
    name = fresh("edit")
    await create(clusters["east"], queue(name))
    await completed_everywhere(clusters, name)
    patch = {"metadata": {"labels": {"team": "blue"}}, "spec": {"priority": "critical"}}
    await clusters["east"].patch(TASK_QUEUES, name, "default", patch, field_manager="test")

    async def followed() -> bool:
        seen = [o for o in (await everywhere(clusters, name)).values() if o]
        return all(o["spec"]["priority"] == "critical" and o["metadata"]["labels"].get("team") == "blue" for o in seen)

    await eventually(followed, "the change is on every cluster")
    await completed_everywhere(clusters, name)
    await delete(clusters["east"], name)
    await gone_everywhere(clusters, name)


async def test_the_second_of_two_equal_names_is_told_left_alone_and_syncs_later(clusters: Clients) -> None:
    name = fresh("clash")
    await create(clusters["west"], queue(name))
    await completed_everywhere(clusters, name)
    # East has a copy by now: the rival must exist before the copy does. So the winner goes, and both are created anew.
    await delete(clusters["west"], name)
    await gone_everywhere(clusters, name)
    winner, loser = await asyncio.gather(
        create(clusters["west"], queue(name, region="of-west")), create(clusters["east"], queue(name, region="of-east"))
    )
    on_hub = await eventually(lambda: shown(clusters["kcp"], name), "one of them is on the hub")
    if on_hub["metadata"]["labels"]["tmc.io/origin"] == "east":
        winner, loser = loser, winner
    first, second = ("west", "east") if winner["spec"]["region"] == "of-west" else ("east", "west")

    async def told() -> bool:
        obj = await shown(clusters[second], name)
        return bool(obj and obj["metadata"].get("annotations", {}).get("tmc.io/sync-state") == "NameConflict")

    await eventually(told, "the loser is told")
    left = await clusters[second].get(TASK_QUEUES, name, "default")
    assert left["metadata"]["uid"] == loser["metadata"]["uid"]
    assert left["spec"] == loser["spec"]
    assert not left["metadata"].get("finalizers")

    async def event() -> bool:
        events = (await clusters[second].list(EVENTS, "default")).items
        mine = [e for e in events if e["involvedObject"].get("uid") == left["metadata"]["uid"]]
        return any(e["reason"] == "NameConflict" and f"cluster {first}" in e["message"] for e in mine)

    await eventually(event, "an Event on the loser names the winner")
    await delete(clusters[first], name)

    async def healed() -> bool:
        obj = await shown(clusters[first], name)
        return bool(obj and obj["metadata"].get("labels", {}).get("tmc.io/origin") == second)

    await eventually(healed, "the loser syncs once the winner is gone")
    await completed_everywhere(clusters, name)
    await delete(clusters[second], name)
    await gone_everywhere(clusters, name)


async def test_copies_are_read_only_and_the_message_names_the_origin(clusters: Clients) -> None:
    name = fresh("guarded")
    await create(clusters["east"], queue(name))
    await completed_everywhere(clusters, name)
    for cluster in ("west", "kcp"):
        with pytest.raises((Forbidden, Invalid), match="east"):
            await clusters[cluster].patch(
                TASK_QUEUES, name, "default", {"spec": {"priority": "low"}}, field_manager="test"
            )
        with pytest.raises((Forbidden, Invalid), match="east"):
            await delete(clusters[cluster], name)
    for client in clusters.values():
        with pytest.raises((Forbidden, Invalid)):
            await client.patch(
                TASK_QUEUES, name, "default", {"status": {"message": "me"}}, field_manager="x", subresource="status"
            )
    await delete(clusters["east"], name)
    await gone_everywhere(clusters, name)


async def test_an_operators_finalizer_on_the_processor_holds_the_origin(clusters: Clients) -> None:
    name = fresh("held")
    await create(clusters["east"], queue(name))
    await completed_everywhere(clusters, name)
    held = {"metadata": {"finalizers": ["example.org/operator"]}}
    await clusters["west"].patch(TASK_QUEUES, name, "default", held, field_manager="operator")
    await delete(clusters["east"], name)

    async def asked() -> bool:
        obj = await shown(clusters["west"], name)
        return bool(obj and obj["metadata"].get("deletionTimestamp"))

    await eventually(asked, "the copy on the processor is being deleted")
    assert await shown(clusters["east"], name), "the origin was released before the operator was done"
    free = {"metadata": {"finalizers": None}}
    await clusters["west"].patch(TASK_QUEUES, name, "default", free, field_manager="operator")
    await gone_everywhere(clusters, name)


GUARDIANS = ["supervisord", "keeper"]
PROGRAMS = ["syncer-east", "syncer-west", "taskqueue-controller", "east-apiserver", "kcp-etcd", "west-apiserver"]


def pid_of(fabric: Fabric, program: str) -> int:
    """A supervised program, or one of the two processes that guard them."""
    if program == "supervisord":
        return int(fabric.supervisors()[0].getPID())
    if program == "keeper":
        return int(processes_naming(str(fabric.state_dir / "supervisor" / "keeper.py"))[0].split()[0])
    return fabric.pid(program)


@pytest.mark.parametrize("program", [*PROGRAMS, *GUARDIANS])
async def test_killing_any_process_changes_nothing_in_the_end(fabric: Fabric, clusters: Clients, program: str) -> None:
    names = [fresh("killed") for _ in range(4)]
    for i, name in enumerate(names):
        await create(clusters[["east", "west", "kcp"][i % 3]], queue(name, tasks=4))
        if i == 1:
            os.kill(pid_of(fabric, program), signal.SIGKILL)
            await eventually(lambda: _answers(clusters), "every API server answers again")
    for name in names:
        seen = await completed_everywhere_despite(clusters, name)
        done = [[t["result"] for t in o["status"]["tasks"]] for o in seen.values()]
        assert done[0] == done[1] == done[2]
    for i, name in enumerate(names):
        await delete(clusters[["east", "west", "kcp"][i % 3]], name)
    for name in names:
        await gone_everywhere(clusters, name)


async def completed_everywhere_despite(clusters: Clients, name: str) -> dict[str, Obj]:
    await eventually(lambda: _answers(clusters), "every API server answers")
    return await completed_everywhere(clusters, name)


async def _answers(clusters: Clients) -> bool:
    try:
        for client in clusters.values():
            await client.list(TASK_QUEUES, "default")
    except (ApiError, Unreachable):
        return False
    return True


def _metrics(fabric: Fabric, cluster: str) -> str:
    kubectl = str(Path(fabric.environment["KUBEBUILDER_ASSETS"]) / "kubectl")
    command = [kubectl, "--kubeconfig", str(fabric.kubeconfig(cluster)), "get", "--raw", "/metrics"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _writes(fabric: Fabric) -> dict[tuple[str, str], int]:
    """Accepted and refused writes so far, as the API servers count them: (cluster, `verb resource`) -> number."""
    counted: dict[tuple[str, str], int] = {}
    for cluster in fabric.names:
        for line in _metrics(fabric, cluster).splitlines():
            if line.startswith("apiserver_request_total{"):
                labels = dict(part.split("=", 1) for part in line[24 : line.index("}")].split(",") if "=" in part)
                verb, resource = labels["verb"].strip('"'), labels["resource"].strip('"')
                if verb in ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"):
                    what = (cluster, f"{verb} {resource}")
                    counted[what] = counted.get(what, 0) + int(float(line.rsplit(" ", 1)[1]))
    return counted


async def test_an_idle_fabric_writes_nothing_but_leases(fabric: Fabric, clusters: Clients) -> None:
    name = fresh("idle")
    await create(clusters["east"], queue(name))
    await completed_everywhere(clusters, name)
    await asyncio.sleep(3)  # the last status writes settle; what is measured is the time after
    before = _writes(fabric)
    await asyncio.sleep(20)  # ten floors
    after = _writes(fabric)
    idle = {what: n - before.get(what, 0) for what, n in after.items() if n != before.get(what, 0)}
    assert {what for what in idle if "leases" not in what[1]} == set()
    assert any("leases" in what[1] for what in idle), "the counters do not count"
    await delete(clusters["east"], name)
    await gone_everywhere(clusters, name)


async def test_the_life_of_a_taskqueue_costs_few_writes(fabric: Fabric, clusters: Clients) -> None:
    before = _writes(fabric)
    name = fresh("cost")
    await create(clusters["east"], queue(name, tasks=5))
    await completed_everywhere(clusters, name)
    await delete(clusters["east"], name)
    await gone_everywhere(clusters, name)
    after = _writes(fabric)
    spent = {w: n - before.get(w, 0) for w, n in after.items() if "taskqueues" in w[1] and n != before.get(w, 0)}
    print(f"writes of one TaskQueue's life: {sum(spent.values())}: {spent}")
    # user: create, delete; finalizer on and off: 2; copies: 2; their deletion: 2, acknowledgement: 1; and status
    # changes (claim, completion, and at most one between), three clusters each.
    assert sum(spent.values()) <= 2 + 2 + 2 + 3 + 9
