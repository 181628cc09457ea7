# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Failover by the module synced_resource against a real API server: on, moved, off, and gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    ROLE,
    ROLE_BINDING,
    SYNCED_RESOURCE,
)
from tests.integration.module_pair import Pair
from tests.integration.test_module_synced_resource import withdraw

KIND = "taskqueues.demo.tmc.io"
ON = {"failover_candidates": ["west", "east"], "failover_after": 45}
RIGHTS = ((ROLE, "tmc-system"), (ROLE_BINDING, "tmc-system"), (CLUSTER_ROLE, ""), (CLUSTER_ROLE_BINDING, ""))


@pytest.fixture
def hub(pair: Pair) -> Iterator[Pair]:
    pair.run("synced_resource", **pair.declare(**ON))
    yield pair
    withdraw(pair, pair.hub)
    assert rights(pair.hub) == []


def rights(hub: Client) -> list[Object]:
    found = [hub.get(resource, f"tmc-failover.{KIND}", where) for resource, where in RIGHTS]
    return [one for one in found if one]


def spec(hub: Client) -> Object:
    return dict((hub.get(SYNCED_RESOURCE, KIND) or {})["spec"])


def data(hub: Client) -> Object:
    return dict((hub.get(CONFIG_MAP, KIND, "tmc-system") or {})["data"])


def test_it_is_written_once_with_the_rights_of_the_candidates(hub: Pair) -> None:
    assert spec(hub.hub)["failover"] == {"candidates": ["west", "east"], "afterSeconds": 45}
    assert data(hub.hub)["failover"] == "west,east"
    subjects = [[one["name"] for one in each["subjects"]] for each in rights(hub.hub) if "subjects" in each]
    assert subjects == [["syncer-west", "syncer-east"]] * 2
    assert not hub.run("synced_resource", **hub.declare(**ON))["changed"]


def test_a_candidate_that_is_taken_out_loses_its_rights(hub: Pair) -> None:
    changed = hub.run("synced_resource", **hub.declare(**ON | {"failover_candidates": ["west"]}))
    assert (changed["epoch"], data(hub.hub)["failover"]) == (1, "west")
    subjects = [[one["name"] for one in each["subjects"]] for each in rights(hub.hub) if "subjects" in each]
    assert subjects == [["syncer-west"]] * 2


def test_it_outlives_a_move_by_a_person(hub: Pair) -> None:
    hub.run("processor", kubeconfig=hub.hub_file, processor="kcp", hub_name="kcp")
    assert (spec(hub.hub)["processor"], spec(hub.hub)["epoch"]) == ("kcp", 2)
    assert data(hub.hub) == {"processor": "kcp", "epoch": "2", "statusWriters": "", "failover": "west,east"}
    assert spec(hub.hub)["failover"]["candidates"] == ["west", "east"]


def test_off_leaves_nothing_of_it(hub: Pair) -> None:
    off = hub.run("synced_resource", **hub.declare())
    assert off["changed"]
    assert "failover" not in spec(hub.hub)
    assert data(hub.hub).get("failover", "") == ""
    assert rights(hub.hub) == []
    assert not hub.run("synced_resource", **hub.declare())["changed"]


def test_the_mirror_of_a_member_says_it_too_and_gives_no_rights(hub: Pair) -> None:
    there = {"kubeconfig": hub.member_file, "cluster_name": "west", "role": "member"}
    hub.run("synced_resource", **hub.declare(**there, **ON))
    assert spec(hub.member)["failover"]["afterSeconds"] == 45
    assert data(hub.member)["failover"] == "west,east"
    assert rights(hub.member) == []
    hub.run("synced_resource", **hub.declare(**there, state="absent"))
