# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A member that leaves takes along from the hub what would wait for it for ever, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    LEASE,
    MEMBER,
    SYNCED_RESOURCE,
    TASK_QUEUE,
    TOMBSTONE,
    Resource,
)
from tests.integration.admission_lab import EAST, WEST, Actor, eventually, refusal
from tests.integration.module_pair import Pair, queue, versions


@pytest.fixture
def joined(pair: Pair) -> Iterator[Pair]:
    pair.run("member", **pair.join())
    pair.run("synced_resource", **pair.declare(processor="kcp"))
    yield pair
    for obj in pair.hub.list(TASK_QUEUE):
        free(pair, obj)
    for obj in pair.hub.list(TOMBSTONE):
        pair.hub.delete(TOMBSTONE, obj["metadata"]["name"], uid=obj["metadata"]["uid"])
    pair.run("synced_resource", **pair.declare(state="absent"))
    pair.run("member", **pair.join(state="absent"))


def free(pair: Pair, obj: Object) -> None:
    """Removes an object by what may: its origin's syncer, without any finalizer."""
    name, uid = obj["metadata"]["name"], obj["metadata"]["uid"]
    origin = (obj["metadata"].get("labels") or {}).get("tmc.io/origin")
    owner = {"east": EAST, "west": WEST}.get(origin or "")
    client = actor(pair, owner) if owner else pair.hub
    client.patch(TASK_QUEUE, name, {"metadata": {"finalizers": None}}, "default")
    client.delete(TASK_QUEUE, name, "default", uid=uid)


def actor(pair: Pair, who: Actor) -> Client:
    return Client(replace(pair.hub.connection, impersonate_user=who.user, impersonate_groups=who.groups))


def place(pair: Pair, who: Actor | None, name: str, **metadata: Any) -> None:
    obj = queue(name)
    full = {"apiVersion": "demo.tmc.io/v1", "kind": "TaskQueue", **obj}
    full["metadata"] |= {"namespace": "default", **metadata}
    client = actor(pair, who) if who else pair.hub
    eventually(lambda: refusal(lambda: client.create(TASK_QUEUE, full)) is None, f"{name} is created")


def copy_of(origin: str, cluster_uid: str) -> dict[str, Any]:
    notes = {"tmc.io/origin-uid": f"uid-{origin}", "tmc.io/origin-cluster-uid": cluster_uid}
    return {"labels": {"tmc.io/origin": origin}, "annotations": notes}


def bury(pair: Pair, name: str, *pending: str) -> None:
    spec = {"group": "demo.tmc.io", "resource": "taskqueues", "namespace": "default", "name": "gone"}
    spec |= {"originCluster": "east", "originClusterUID": "e", "pending": list(pending)}
    metadata = {"name": name}
    pair.hub.create(
        TOMBSTONE, {"apiVersion": TOMBSTONE.api_version, "kind": "Tombstone", "metadata": metadata, "spec": spec}
    )


def finalizers(pair: Pair, name: str) -> list[str]:
    found = pair.hub.get(TASK_QUEUE, name, "default")
    assert found, f"{name} is gone"
    return found["metadata"].get("finalizers") or []


def names(pair: Pair, resource: Resource) -> set[str]:
    return {obj["metadata"]["name"] for obj in pair.hub.list(resource)}


def test_nothing_waits_for_it_any_more(joined: Pair) -> None:
    place(joined, EAST, "from-east", **copy_of("east", "e"), finalizers=["tmc.io/west", "tmc.io/north"])
    place(joined, None, "from-hub")
    held = {"metadata": {"finalizers": ["tmc.io/west"]}}
    actor(joined, WEST).patch(TASK_QUEUE, "from-hub", held, "default")
    bury(joined, "for-west", "west")
    bury(joined, "for-both", "north", "west")
    before = versions(joined.hub, TASK_QUEUE, TOMBSTONE, MEMBER, SYNCED_RESOURCE)

    looked = joined.run("member", **joined.join(state="absent"), _ansible_check_mode=True)
    assert versions(joined.hub, TASK_QUEUE, TOMBSTONE, MEMBER, SYNCED_RESOURCE) == before
    left = joined.run("member", **joined.join(state="absent"))
    assert left["objects"] == looked["objects"]
    assert {"hub: let go TaskQueue default/from-east", "hub: tell Tombstone for-both"} <= set(left["objects"])

    assert finalizers(joined, "from-east") == ["tmc.io/north"]
    assert finalizers(joined, "from-hub") == []
    assert names(joined, TOMBSTONE) == {"for-both"}
    assert joined.hub.get(TOMBSTONE, "for-both")["spec"]["pending"] == ["north"]
    assert not names(joined, MEMBER)
    assert not joined.run("member", **joined.join(state="absent"))["changed"]


def test_what_an_interrupted_run_left_is_taken_by_the_next(joined: Pair) -> None:
    joined.run("member", **joined.join(state="absent"))
    place(joined, EAST, "late", **copy_of("east", "e"), finalizers=["tmc.io/west"])
    assert joined.run("member", **joined.join(state="absent"))["changed"]
    assert finalizers(joined, "late") == []
    assert not [obj for obj in joined.hub.list(LEASE, "tmc-system") if obj["metadata"]["name"] == "syncer-west"]


@pytest.mark.parametrize(("objects", "stays"), [("keep", True), ("remove", False)])
def test_copies_of_its_objects_stay_or_go(joined: Pair, objects: str, stays: bool) -> None:
    uid = joined.hub.get(MEMBER, "west")["spec"]["clusterUID"]
    place(joined, WEST, "from-west", **copy_of("west", uid))
    place(joined, EAST, "from-east", **copy_of("east", "e"))
    joined.run("member", **joined.join(state="absent"), objects=objects)
    assert names(joined, TASK_QUEUE) == ({"from-west", "from-east"} if stays else {"from-east"})


def test_copies_of_one_that_left_already_go_although_its_cluster_is_gone(joined: Pair) -> None:
    uid = joined.hub.get(MEMBER, "west")["spec"]["clusterUID"]
    gone = joined.join(state="absent", kubeconfig=str(joined.folder / "gone"), force=True)
    place(joined, WEST, "from-west", **copy_of("west", uid))
    place(joined, EAST, "from-east", **copy_of("east", "e"))
    joined.run("member", **gone)
    assert names(joined, TASK_QUEUE) == {"from-west", "from-east"}

    looked = joined.run("member", **gone, objects="remove", _ansible_check_mode=True)
    assert looked["objects"] == ["hub: delete TaskQueue default/from-west"]
    assert joined.run("member", **gone, objects="remove")["objects"] == looked["objects"]
    assert names(joined, TASK_QUEUE) == {"from-east"}
    assert not joined.run("member", **gone, objects="remove")["changed"]


def test_copies_of_two_clusters_of_its_name_are_told_apart_by_nobody(joined: Pair) -> None:
    gone = joined.join(state="absent", kubeconfig=str(joined.folder / "gone"), force=True)
    joined.run("member", **gone)
    place(joined, WEST, "of-one", **copy_of("west", "w1"))
    place(joined, WEST, "of-other", **copy_of("west", "w2"))
    refused = joined.fail("member", **gone, objects="remove")
    assert "that came from 'west' name several clusters as their origin (w1, w2, annotation" in refused["msg"]
    assert names(joined, TASK_QUEUE) == {"of-one", "of-other"}


def test_a_processor_leaves_only_by_force(joined: Pair) -> None:
    joined.run("synced_resource", **joined.declare(processor="west"))
    refused = joined.fail("member", **joined.join(state="absent"))
    assert "'west' is the processor of taskqueues.demo.tmc.io: move that to another cluster first" in refused["msg"]
    assert names(joined, MEMBER) == {"west"}
    assert joined.run("member", **joined.join(state="absent"), force=True)["changed"]
