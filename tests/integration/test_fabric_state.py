# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a real fabric says of itself on the hub, and what it keeps when the hub loses things as a whole."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration.deployed_fabric import Fabric
from tests.integration.taskqueues import TASK_QUEUES, eventually
from tests.integration.test_fabric import (
    Clients,
    clusters,
    completed_everywhere,
    create,
    delete,
    everywhere,
    fresh,
    gone_everywhere,
    queue,
)
from tmc.api.client import ApiClient
from tmc.api.errors import NotFound
from tmc.api.resource import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from tmc.sync.fabric import MEMBERS, SYNCED_RESOURCES

__all__ = ["clusters"]  # the fixture

Obj = dict[str, Any]
KIND = "taskqueues.demo.tmc.io"


async def condition(hub: ApiClient, obj: Obj, kind: str = "Ready") -> tuple[str, str]:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next(((c["status"], c["reason"]) for c in conditions if c["type"] == kind), ("", ""))


async def member_ready(hub: ApiClient, name: str) -> tuple[str, str]:
    return await condition(hub, await hub.get(MEMBERS, name))


async def kind_ready(hub: ApiClient) -> tuple[str, str]:
    return await condition(hub, await hub.get(SYNCED_RESOURCES, KIND))


async def entry(hub: ApiClient, member: str) -> Obj:
    entries = ((await hub.get(SYNCED_RESOURCES, KIND)).get("status") or {}).get("members") or []
    return next((e for e in entries if e["name"] == member), {})


async def all_is_well(hub: ApiClient) -> None:
    async def well() -> bool:
        members = [await member_ready(hub, name) for name in ("east", "west")]
        return await kind_ready(hub) == ("True", "Accepted") and members == [("True", "Syncing")] * 2

    await eventually(well, "every member is Ready and carries the kind")


async def test_every_member_is_ready_and_trusts_the_hub(clusters: Clients) -> None:
    hub = clusters["kcp"]
    await all_is_well(hub)
    for name in ("east", "west"):
        member = await hub.get(MEMBERS, name)
        assert await condition(hub, member, "HubAccepted") == ("True", "Accepted")
        assert await condition(hub, member, "DeletionBraked") == ("False", "WithinLimits")
        assert (await entry(hub, name))["state"] == "Accepted"


@pytest.mark.parametrize("member", ["east", "west"])
async def test_a_member_whose_syncer_died_is_said_to_be_silent(
    clusters: Clients,
    fabric: Fabric,
    member: str,
    record_property: pytest.RecordProperty,
) -> None:
    hub = clusters["kcp"]
    await all_is_well(hub)
    fabric.stop(f"syncer-{member}")
    began = time.monotonic()
    try:

        async def silent() -> bool:
            return await member_ready(hub, member) == ("False", "Silent")

        await eventually(silent, f"{member} is said to be silent")
        record_property("seconds_until_silent", round(time.monotonic() - began, 1))

        async def of_the_kind() -> bool:
            return (await entry(hub, member))["state"] == "Silent" and await kind_ready(hub) == ("False", "Silent")

        await eventually(of_the_kind, f"the kind says that {member} is silent")
    finally:
        fabric.start(f"syncer-{member}")
    await all_is_well(hub)


async def test_a_namespace_that_the_hub_loses_takes_no_origin_and_no_copy_with_it(clusters: Clients) -> None:
    hub, place, name = clusters["kcp"], fresh("space"), fresh("kept")
    await clusters["east"].create(
        NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}}, field_manager="test"
    )
    body = queue(name)
    body["metadata"]["namespace"] = place
    origin = await create(clusters["east"], body)

    async def uids() -> dict[str, str]:
        found = {}
        for cluster, client in clusters.items():
            try:
                found[cluster] = (await client.get(TASK_QUEUES, name, place))["metadata"]["uid"]
            except NotFound:
                found[cluster] = ""
        return found

    async def there() -> dict[str, str] | None:
        found = await uids()
        return found if all(found.values()) else None

    before = await eventually(there, f"{name} is everywhere")
    namespace = await hub.get(NAMESPACES, place)
    await hub.delete(NAMESPACES, place, uid=namespace["metadata"]["uid"])

    async def announced_again() -> dict[str, str] | None:
        found = await uids()
        return found if all(found.values()) and found["kcp"] != before["kcp"] else None

    after = await eventually(announced_again, f"{name} is on the hub again")
    assert after["east"] == before["east"] == origin["metadata"]["uid"]
    assert after["west"] == before["west"], "the copy was deleted and made anew"
    await clusters["east"].delete(TASK_QUEUES, name, place, uid=after["east"])

    async def gone() -> bool:
        return not any((await uids()).values())

    await eventually(gone, f"{name} is gone, now that its user deleted it")


async def test_a_field_that_a_member_would_drop_stops_the_kind_there_alone(clusters: Clients) -> None:
    hub, east = clusters["kcp"], clusters["east"]
    await all_is_well(hub)
    full = await east.get(CUSTOM_RESOURCE_DEFINITIONS, KIND)
    schema = full["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    narrow = {name: value for name, value in schema.items() if name != "priority"}
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    try:
        await patch_crd(east, [{"op": "replace", "path": path, "value": narrow}])

        async def incompatible() -> bool:
            return (await entry(hub, "east")).get("state") == "Incompatible"

        await eventually(incompatible, "east says that it is incompatible")
        told = await entry(hub, "east")
        assert told["prunedFields"] == ["spec.priority"]
        assert told["message"] == "dropped on east: spec.priority"
        assert await kind_ready(hub) == ("False", "Incompatible")
        assert await member_ready(hub, "east") == ("False", "KindIncompatible")
        name = fresh("others")
        await create(clusters["west"], queue(name, priority="high"))

        async def on_hub() -> bool:
            return (await everywhere(clusters, name))["kcp"] is not None

        await eventually(on_hub, "the others go on")
        assert (await everywhere(clusters, name))["east"] is None
    finally:
        await patch_crd(east, [{"op": "replace", "path": path, "value": schema}])
    await all_is_well(hub)
    await completed_everywhere(clusters, name)
    await delete(clusters["west"], name)
    await gone_everywhere(clusters, name)


async def patch_crd(client: ApiClient, patch: list[Obj]) -> None:
    await client.patch(CUSTOM_RESOURCE_DEFINITIONS, KIND, "", patch, field_manager="test")


@pytest.mark.parametrize("loser", ["kcp", "east"])
async def test_a_kind_that_a_cluster_loses_is_lost_there_alone(clusters: Clients, loser: str) -> None:
    """`kubectl delete crd` deletes every object of the kind there; that says nothing of what others have."""
    await all_is_well(clusters["kcp"])
    names = {cluster: fresh(f"of-{cluster}") for cluster in ("east", "west")}
    for cluster, name in names.items():
        await create(clusters[cluster], queue(name))
    for name in names.values():
        await completed_everywhere(clusters, name)
    keepers = [cluster for cluster in clusters if cluster != loser]

    async def kept() -> dict[tuple[str, str], str]:
        found = {}
        for cluster in keepers:
            for name in names.values():
                obj = await clusters[cluster].get(TASK_QUEUES, name, "default")
                assert not obj["metadata"].get("deletionTimestamp"), f"{name} is being deleted on {cluster}"
                found[cluster, name] = obj["metadata"]["uid"]
        return found

    before = await kept()
    definition = await clusters[loser].get(CUSTOM_RESOURCE_DEFINITIONS, KIND)
    await clusters[loser].delete(CUSTOM_RESOURCE_DEFINITIONS, KIND, uid=definition["metadata"]["uid"])
    if loser == "east":  # what was created there waits with our finalizer, until somebody takes it off
        await eventually(lambda: stopped(clusters["kcp"], "east"), "east says that it is about to lose the kind")
        await release(clusters["east"], names["east"])
    await eventually(lambda: is_undefined(clusters[loser]), "the kind is gone")
    assert await kept() == before
    metadata = {"name": KIND, "labels": definition["metadata"].get("labels", {})}
    anew = {key: definition[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": metadata}
    await clusters[loser].create(CUSTOM_RESOURCE_DEFINITIONS, anew, field_manager="test")
    await all_is_well(clusters["kcp"])
    await back(clusters, names["west"])
    assert await kept() == before
    if (
        loser == "east"
    ):  # its origin object is gone, the copies stay: whoever wants them away makes it anew and deletes it
        await create(clusters["east"], queue(names["east"]))
    await back(clusters, names["east"])
    for cluster, name in names.items():
        await delete(clusters[cluster], name)
        await gone_everywhere(clusters, name)


async def is_undefined(cluster: ApiClient) -> bool:
    try:
        await cluster.get(CUSTOM_RESOURCE_DEFINITIONS, KIND)
    except NotFound:
        return True
    return False


async def stopped(hub: ApiClient, member: str) -> bool:
    told = await entry(hub, member)
    return told.get("state") == "Pending" and "is being deleted" in told["message"]


async def release(cluster: ApiClient, name: str) -> None:
    patch = {"metadata": {"finalizers": []}}
    await cluster.patch(TASK_QUEUES, name, "default", patch, field_manager="test")


async def back(clusters: Clients, name: str) -> None:
    async def there() -> bool:
        return all((await everywhere(clusters, name)).values())

    await eventually(there, f"{name} is everywhere again")
    await completed_everywhere(clusters, name)
