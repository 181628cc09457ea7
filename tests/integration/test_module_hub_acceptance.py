# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The module hub_acceptance against real API servers: what is written where, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _apply
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import CONFIG_MAP, SYNCED_RESOURCE
from tests.integration.module_pair import Pair, versions
from tests.integration.test_module_synced_resource import withdraw

KIND = "taskqueues.demo.tmc.io"
MEMBER_SIDE = {"cluster_name": "west", "role": "member"}


@pytest.fixture
def carried(pair: Pair) -> Iterator[Pair]:
    """The kind is declared on both, west works on it, and the mirror knows no hub yet."""
    on_member = {**MEMBER_SIDE, "kubeconfig": pair.member_file}
    pair.run("synced_resource", **pair.declare())
    pair.run("synced_resource", **pair.declare(**on_member))
    yield pair
    withdraw(pair, pair.hub)
    withdraw(pair, pair.member, **on_member)


def note(pair: Pair, **notes: str | None) -> None:
    annotations = {f"tmc.io/{key.replace('_', '-')}": value for key, value in notes.items()}
    pair.member.patch(SYNCED_RESOURCE, KIND, {"metadata": {"annotations": annotations}})


def notes(pair: Pair) -> dict[str, str]:
    mirror = pair.member.get(SYNCED_RESOURCE, KIND)
    assert mirror is not None
    found: dict[str, str] = mirror["metadata"].get("annotations") or {}
    return {key: value for key, value in found.items() if key.startswith("tmc.io/")}


def accept(pair: Pair, **changes: Any) -> dict[str, Any]:
    return pair.run("hub_acceptance", kubeconfig=pair.member_file, hub_kubeconfig=pair.hub_file, **changes)


def hub_uid(pair: Pair) -> str:
    return _apply.cluster_uid(pair.hub)


@pytest.mark.parametrize(
    ("known", "reason"), [("another-uid", "UnknownHub"), ("{hub}:4711", "HubRestored"), ("other:4711", "UnknownHub")]
)
def test_a_hub_that_is_not_trusted_is_accepted_once(carried: Pair, known: str, reason: str) -> None:
    note(carried, hub_uid=known.format(hub=hub_uid(carried)))
    before = versions(carried.member, SYNCED_RESOURCE)
    looked = accept(carried, _ansible_check_mode=True)
    assert (looked["changed"], looked["reason"], looked["kinds"]) == (True, reason, [KIND])
    assert versions(carried.member, SYNCED_RESOURCE) == before, "check mode writes nothing"
    accepted = accept(carried)
    assert accepted["objects"] == [f"member: patch SyncedResource {KIND}"]
    assert (accepted["reason"], accepted["hub_uid"]) == (reason, hub_uid(carried))
    assert notes(carried) == {"tmc.io/hub-uid": hub_uid(carried)}
    again = accept(carried)
    assert (again["changed"], again["reason"]) == (False, "")


def test_a_hub_that_is_trusted_needs_no_acceptance(carried: Pair) -> None:
    assert not accept(carried)["changed"], "at first contact nothing is known"
    note(carried, hub_uid=hub_uid(carried))
    assert not accept(carried)["changed"]


def test_a_hub_that_has_lost_a_term_gets_it_back(carried: Pair) -> None:
    """The mirror's epoch may not go back: without this the member could never follow that hub again."""
    note(carried, hub_uid=f"{hub_uid(carried)}:4711")
    carried.member.patch(SYNCED_RESOURCE, KIND, {"spec": {"processor": "east", "epoch": 5}})
    accepted = accept(carried)
    assert accepted["objects"] == [
        f"hub: patch ConfigMap tmc-system/{KIND}",
        f"hub: patch SyncedResource {KIND}",
        f"member: patch SyncedResource {KIND}",
    ]
    spec = (carried.hub.get(SYNCED_RESOURCE, KIND) or {})["spec"]
    data = (carried.hub.get(CONFIG_MAP, KIND, "tmc-system") or {})["data"]
    assert (spec["processor"], spec["epoch"]) == (data["processor"], int(data["epoch"])) == ("east", 5)
    assert not accept(carried)["changed"]


def test_a_hub_that_is_ahead_is_left_as_it_is(carried: Pair) -> None:
    carried.run("synced_resource", **carried.declare(processor="east"))
    note(carried, hub_uid="another-uid")
    assert accept(carried)["objects"] == [f"member: patch SyncedResource {KIND}"]


def test_deletions_are_let_through_only_when_that_is_said(carried: Pair) -> None:
    note(carried, hub_uid=hub_uid(carried), deletions_braked="7 of 20")
    assert not accept(carried)["changed"]
    assert accept(carried, deletions=True)["changed"]
    assert notes(carried) == {"tmc.io/hub-uid": hub_uid(carried)}


def test_two_kubeconfigs_of_one_cluster_are_refused(pair: Pair) -> None:
    refused = pair.fail("hub_acceptance", kubeconfig=pair.hub_file, hub_kubeconfig=pair.hub_file)
    assert "both are one cluster" in refused["msg"]
