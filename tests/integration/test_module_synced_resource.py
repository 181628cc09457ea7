# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The module synced_resource against real API servers: the fence, moves, and what is left half-done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CONFIG_MAP,
    POLICY,
    SYNCED_RESOURCE,
    TASK_QUEUE,
    Resource,
)
from tests.integration.admission_lab import eventually, refusal
from tests.integration.module_pair import Pair, queue
from tmc.validate.judgement.check import BROKEN_POLICY


def test_declare_move_and_withdraw(pair: Pair) -> None:
    assert pair.run("synced_resource", **pair.declare(), _ansible_check_mode=True)["changed"]
    assert pair.hub.list(SYNCED_RESOURCE) == []

    declared = pair.run("synced_resource", **pair.declare())
    assert declared["changed"]
    assert (declared["epoch"], declared["kind"]["has_status"], declared["kind"]["namespaced"]) == (1, True, True)
    assert not pair.run("synced_resource", **pair.declare())["changed"]

    moved = pair.run("synced_resource", **pair.declare(processor="east"))
    assert (moved["changed"], moved["epoch"], moved["spec"]["processor"]) == (True, 2, "east")
    assert moved["objects"] == BOTH
    assert fence(pair.hub) == {"processor": "east", "epoch": "2", "statusWriters": ""}
    writers = pair.run("synced_resource", **pair.declare(processor="east", status_writers=["alice", "bob"]))
    assert (writers["changed"], writers["epoch"]) == (True, 2)
    assert fence(pair.hub) == {"processor": "east", "epoch": "2", "statusWriters": "alice,bob"}

    assert pair.run("synced_resource", **pair.declare(state="absent"))["changed"]
    assert not pair.run("synced_resource", **pair.declare(state="absent"))["changed"]
    assert [one for one in pair.hub.list(POLICY) if "taskqueues" in one["metadata"]["name"]] == []
    assert pair.hub.list(SYNCED_RESOURCE) == []

    # The status of its objects says epoch 2: a controller with a lower one would leave them alone.
    assert pair.run("synced_resource", **pair.declare(processor="east"))["epoch"] == 2
    pair.run("synced_resource", **pair.declare(state="absent"))
    assert pair.run("synced_resource", **pair.declare())["epoch"] == 3
    assert fence(pair.hub) == {"processor": "west", "epoch": "3", "statusWriters": ""}
    withdraw(pair, pair.hub)


KIND = "taskqueues.demo.tmc.io"
BOTH = [f"patch ConfigMap tmc-system/{KIND}", f"patch SyncedResource {KIND}"]


def fence(client: Client) -> dict[str, str]:
    return (client.get(CONFIG_MAP, KIND, "tmc-system") or {}).get("data", {})


def move_fence(client: Client, processor: str, epoch: str) -> None:
    client.patch(CONFIG_MAP, KIND, {"data": {"processor": processor, "epoch": epoch}}, "tmc-system")


@pytest.fixture
def declared(pair: Pair) -> Iterator[Pair]:
    """A hub on which west works on the kind, in its first term."""
    pair.run("synced_resource", **pair.declare())
    yield pair
    withdraw(pair, pair.hub)


def withdraw(pair: Pair, client: Client, **there: Any) -> None:
    """Until admission, which follows the API server's own watch a little late, has let go of the kind.

    The hub forgets its term, too: what comes next begins with the first.
    """
    pair.run("synced_resource", **pair.declare(**there, state="absent"))
    eventually(lambda: creation_refused(client) == "", "the kind is nobody's any more")
    for memory in [one for one in client.list(CONFIG_MAP, "tmc-system") if one["metadata"]["name"] == KIND]:
        client.delete(CONFIG_MAP, KIND, "tmc-system", uid=memory["metadata"]["uid"])


def creation_refused(client: Client, **metadata: Any) -> str:
    """What the API server says against a TaskQueue, in a dry run; empty when it would take it."""
    made = {"apiVersion": TASK_QUEUE.api_version, "kind": "TaskQueue", **queue("any")}
    made["metadata"] |= {"namespace": "default", **metadata}
    return str(refusal(lambda: client.create(TASK_QUEUE, made, dry_run=True)) or "")


def test_moving_is_predicted(declared: Pair) -> None:
    look = declared.run(
        "synced_resource", **declared.declare(processor="east"), _ansible_check_mode=True, _ansible_diff=True
    )
    assert look["objects"] == BOTH
    assert look["diff"]["after"][f"ConfigMap tmc-system/{KIND}"]["data"]["processor"] == "east"
    assert fence(declared.hub) == {"processor": "west", "epoch": "1", "statusWriters": ""}


def test_an_interrupted_move_is_completed_with_the_epoch_that_it_began(declared: Pair) -> None:
    move_fence(declared.hub, "east", "2")

    completed = declared.run("synced_resource", **declared.declare(processor="east"))

    assert (completed["epoch"], completed["objects"]) == (2, BOTH[1:])
    assert not declared.run("synced_resource", **declared.declare(processor="east"))["changed"]


def test_an_interrupted_move_that_is_taken_back_is_a_term_of_its_own(declared: Pair) -> None:
    move_fence(declared.hub, "east", "2")
    assert declared.run("synced_resource", **declared.declare())["epoch"] == 3
    assert fence(declared.hub)["epoch"] == "3"


def test_a_lost_fence_is_made_again_in_the_same_term(declared: Pair) -> None:
    declared.run("synced_resource", **declared.declare(processor="east"))
    live = declared.hub.get(CONFIG_MAP, KIND, "tmc-system") or {}
    declared.hub.delete(CONFIG_MAP, KIND, "tmc-system", uid=live["metadata"]["uid"])

    again = declared.run("synced_resource", **declared.declare(processor="east"))

    assert (again["objects"], fence(declared.hub)["epoch"]) == ([f"create ConfigMap tmc-system/{KIND}"], "2")


def test_another_move_meanwhile_is_seen(declared: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, others = Client.patch, iter([("north", "2"), ("south", "3")])

    def overtaken(client: Client, resource: Resource, *arguments: Any, **options: Any) -> Any:
        other = next(others, None) if resource in (CONFIG_MAP, SYNCED_RESOURCE) else None
        if other:
            data = {"processor": other[0], "epoch": other[1]}
            patch(client, CONFIG_MAP, KIND, {"data": data}, "tmc-system")
        return patch(client, resource, *arguments, **options)

    monkeypatch.setattr(Client, "patch", overtaken)

    assert declared.run("synced_resource", **declared.declare(processor="east"))["epoch"] == 4
    assert fence(declared.hub)["processor"] == "east"


def test_a_kind_that_was_withdrawn_and_is_declared_anew_is_judged_by_its_new_parameters(declared: Pair) -> None:
    """The API server must not have stopped to watch ConfigMaps when the kind's policies went (parameters.yaml)."""
    forged = {"labels": {"tmc.io/origin": "east"}}
    eventually(lambda: "belong to the fabric" in creation_refused(declared.hub, **forged), "the policy is in force")
    withdraw(declared, declared.hub)

    declared.run("synced_resource", **declared.declare(processor="east"))

    eventually(lambda: "belong to the fabric" in creation_refused(declared.hub, **forged), "the policy judges again")
    assert creation_refused(declared.hub) == ""


def test_a_policy_without_its_parameter_is_broken_and_says_so(declared: Pair) -> None:
    """These are the words by which the validator tells a broken policy from one that judged.

    On the hub two policies miss it, and say so before they look who asks; the API server names only one, by chance.
    """
    live = declared.hub.get(CONFIG_MAP, KIND, "tmc-system") or {}
    declared.hub.delete(CONFIG_MAP, KIND, "tmc-system", uid=live["metadata"]["uid"])

    policies = [f"ValidatingAdmissionPolicy '{name}.{KIND}'" for name in ("tmc-copies", "tmc-syncers")]
    eventually(lambda: any(each in creation_refused(declared.hub) for each in policies), "the ConfigMap is missed")
    assert any(sign in creation_refused(declared.hub) for sign in BROKEN_POLICY), creation_refused(declared.hub)


def test_a_member_gets_the_first_mirror_and_the_syncer_the_rest(pair: Pair) -> None:
    there = {"kubeconfig": pair.member_file, "cluster_name": "west", "role": "member"}
    assert pair.run("synced_resource", **pair.declare(**there))["epoch"] == 1
    # What the syncer does when the hub says so: the module, which asks for west, leaves it alone.
    pair.member.patch(SYNCED_RESOURCE, "taskqueues.demo.tmc.io", {"spec": {"processor": "east", "epoch": 7}})

    again = pair.run("synced_resource", **pair.declare(**there))

    assert (again["changed"], again["epoch"], again["spec"]["processor"]) == (False, 7, "east")
    assert fence(pair.member) == {"processor": "west", "epoch": "1", "statusWriters": ""}
    move_fence(pair.member, "east", "7")
    assert not pair.run("synced_resource", **pair.declare(**there))["changed"]
    gone = pair.run("synced_resource", **pair.declare(**there, state="absent"))
    order = [one.split()[1] for one in gone["objects"]]
    assert order.index("ConfigMap") > max(n for n, kind in enumerate(order) if kind == POLICY.kind)
    assert fence(pair.member) == {}
    withdraw(pair, pair.member, **there)


def test_a_member_that_was_declared_without_a_config_map_gets_it_from_its_mirror(pair: Pair) -> None:
    there = {"kubeconfig": pair.member_file, "cluster_name": "west", "role": "member"}
    pair.run("synced_resource", **pair.declare(**there))
    pair.member.patch(SYNCED_RESOURCE, KIND, {"spec": {"processor": "east", "epoch": 7, "statusWriters": ["a", "b"]}})
    live = pair.member.get(CONFIG_MAP, KIND, "tmc-system") or {}
    pair.member.delete(CONFIG_MAP, KIND, "tmc-system", uid=live["metadata"]["uid"])

    pair.run("synced_resource", **pair.declare(**there))

    assert fence(pair.member) == {"processor": "east", "epoch": "7", "statusWriters": "a,b"}
    withdraw(pair, pair.member, **there)


def test_a_kind_without_a_crd_is_named(pair: Pair) -> None:
    missing = pair.declare(group="example.com", resource="things")
    assert (
        "CustomResourceDefinition things.example.com is not on 'throwaway'"
        in pair.fail("synced_resource", **missing)["msg"]
    )
    unserved = pair.fail("synced_resource", **pair.declare(version="v9"))["msg"]
    assert "version 'v9' of taskqueues.demo.tmc.io is not served on 'throwaway'; served: v1" in unserved
    assert pair.run("synced_resource", **missing, _ansible_check_mode=True)["changed"]
    assert pair.hub.list(SYNCED_RESOURCE) == []
