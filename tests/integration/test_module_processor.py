# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The module processor against a real API server: a new term, conditionally, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import CONFIG_MAP, SYNCED_RESOURCE, Resource
from tests.integration.module_pair import Pair
from tests.integration.test_module_synced_resource import BOTH, KIND, fence, move_fence, withdraw


@pytest.fixture
def carried(pair: Pair) -> Iterator[Pair]:
    """TaskQueues are carried, west works on them; west is a member."""
    pair.run("synced_resource", **pair.declare(deletion_grace="7m", status_writers=["alice"], on_origin_deleted="Keep"))
    pair.run("member", **pair.join())
    yield pair
    pair.run("member", **pair.join(state="absent", force=True))  # it is the processor
    withdraw(pair, pair.hub)


def moving(pair: Pair, processor: str = "kcp", **changes: Any) -> dict[str, Any]:
    return {"kubeconfig": pair.hub_file, "hub_name": "kcp", "processor": processor, **changes}


def spec_of(client: Client) -> dict[str, Any]:
    return (client.get(SYNCED_RESOURCE, KIND) or {})["spec"]


def test_a_move_begins_a_term_and_leaves_the_rest(carried: Pair) -> None:
    before = spec_of(carried.hub)
    looked = carried.run("processor", **moving(carried), _ansible_check_mode=True)
    assert (looked["objects"], looked["epoch"], spec_of(carried.hub)) == (BOTH, 2, before)

    moved = carried.run("processor", **moving(carried))

    assert (moved["changed"], moved["previous"], moved["processor"], moved["epoch"]) == (True, "west", "kcp", 2)
    assert spec_of(carried.hub) == before | {"processor": "kcp", "epoch": 2}
    assert fence(carried.hub) == {"processor": "kcp", "epoch": "2", "statusWriters": "alice"}
    assert not carried.run("processor", **moving(carried))["changed"]
    assert carried.run("processor", **moving(carried, "west"))["epoch"] == 3


def test_an_interrupted_move_is_completed_under_its_own_epoch(carried: Pair) -> None:
    move_fence(carried.hub, "kcp", "2")
    completed = carried.run("processor", **moving(carried))
    assert (completed["epoch"], completed["objects"]) == (2, BOTH[1:])


def test_a_move_by_somebody_else_meanwhile_is_seen(carried: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, others = Client.patch, iter([("north", "2"), ("south", "3")])

    def overtaken(client: Client, resource: Resource, *arguments: Any, **options: Any) -> Any:
        other = next(others, None) if resource in (CONFIG_MAP, SYNCED_RESOURCE) else None
        if other:
            patch(client, CONFIG_MAP, KIND, {"data": {"processor": other[0], "epoch": other[1]}}, "tmc-system")
        return patch(client, resource, *arguments, **options)

    monkeypatch.setattr(Client, "patch", overtaken)
    assert carried.run("processor", **moving(carried))["epoch"] == 4
    assert fence(carried.hub)["processor"] == "kcp"


def test_a_cluster_that_is_none_of_the_fabric_is_refused(carried: Pair) -> None:
    assert "allowed: west, kcp" in carried.fail("processor", **moving(carried, "north"))["msg"]
    assert "hub_name" in carried.fail("processor", **moving(carried, "kcp", hub_name=None))["msg"]
    assert "processor" in carried.fail("processor", **moving(carried, "No Name"))["msg"]
    assert fence(carried.hub)["epoch"] == "1"


def test_a_kind_that_is_not_carried_is_named(carried: Pair) -> None:
    said = carried.fail("processor", **moving(carried, group="example.org", resource="widgets"))["msg"]
    assert "widgets.example.org is not carried" in said
    assert "synced_resource" in said
