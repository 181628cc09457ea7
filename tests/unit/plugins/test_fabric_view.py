# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo's steps ask of a fabric, and what they say when it does not hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _fabric_view as fabric
from ansible_collections.tmc.cross_cluster.plugins.module_utils._fabric_view import View
from ansible_collections.tmc.cross_cluster.plugins.modules.fabric_info import carried, holder

KIND = "taskqueues.demo.tmc.io"
SERVED = {"version": "v1", "established": True, "schema": "abc", "processor": "west", "epoch": 1}


def good() -> dict[str, View]:
    both = frozenset({"east", "west"})
    return {
        "kcp": View("kcp", uid="1", syncers=both, ready={"east": "", "west": ""}, **SERVED),
        "east": View("east", uid="2", **SERVED),
        "west": View("west", uid="3", controller="vm_1", **SERVED),
    }


def changed(name: str, **values: object) -> dict[str, View]:
    views = good()
    return views | {name: replace(views[name], **values)}


def test_a_whole_fabric_has_no_problem() -> None:
    assert fabric.clusters_problems(good()) == []
    assert fabric.syncers_problems(good(), "kcp") == []
    assert fabric.members_problems(good(), "kcp") == []
    assert fabric.kind_problems(good(), "kcp", KIND) == []
    assert fabric.controller_problems(good(), "west") == []


def test_a_silent_cluster_and_one_cluster_under_two_names_are_named() -> None:
    assert fabric.clusters_problems(changed("east", error="no answer")) == ["cluster 'east' does not answer: no answer"]
    assert "'kcp' and 'east' are the same cluster" in fabric.clusters_problems(changed("east", uid="1"))[0]


def test_a_syncer_without_a_live_lease_is_named() -> None:
    (problem,) = fabric.syncers_problems(changed("kcp", syncers=frozenset({"west"})), "kcp")
    assert "member 'east'" in problem


def test_a_member_that_is_not_ready_or_never_joined_is_named_with_the_reason() -> None:
    problems = fabric.members_problems(changed("kcp", ready={"east": "not served"}), "kcp")
    assert problems == [
        "member 'east' is not connected with 'kcp': not served",
        "member 'west' is not connected with 'kcp': there is no Member 'west'",
    ]


def test_a_missing_kind_another_schema_and_a_stale_mirror_are_named() -> None:
    assert "'east' does not serve" in fabric.kind_problems(changed("east", established=False), "kcp", KIND)[0]
    assert "differs between the clusters" in fabric.kind_problems(changed("east", schema="x"), "kcp", KIND)[0]
    assert "'east' has not received" in fabric.kind_problems(changed("east", epoch=0), "kcp", KIND)[0]
    assert "no SyncedResource" in fabric.kind_problems(changed("kcp", processor=""), "kcp", KIND)[0]


def test_a_member_that_is_not_heard_of_is_named_although_its_last_word_was_ready() -> None:
    problems = fabric.members_problems(changed("kcp", syncers=frozenset({"west"})), "kcp")
    assert problems == ["member 'east' is not connected with 'kcp': its syncer has not renewed its Lease"]


def test_a_member_that_does_not_carry_the_kind_is_named_with_the_field() -> None:
    entries = [
        {"name": "east", "state": "Incompatible", "message": "dropped on east: spec.a"},
        {"name": "west", "state": "Accepted"},
        {"name": "north", "state": "Silent", "message": "its syncer is not heard of"},
    ]
    told = carried({"status": {"members": entries}})
    assert told == {"east": "Incompatible: dropped on east: spec.a", "west": ""}
    problems = fabric.kind_problems(changed("kcp", carried=told), "kcp", KIND)
    assert problems == [f"member 'east' does not carry {KIND}: Incompatible: dropped on east: spec.a"]
    assert carried({}) == {}


def test_no_controller_and_a_second_one_are_named() -> None:
    assert "no controller" in fabric.controller_problems(changed("west", controller=""), "west")[0]
    assert "on 'east' too: vm_2" in fabric.controller_problems(changed("east", controller="vm_2"), "west")[0]


def test_a_controller_of_a_candidate_may_stand_by_but_not_work() -> None:
    def views(of_east: dict[str, object], **of_west: object) -> dict[str, View]:
        found = changed("east", controller="vm_2", candidates=("west", "east"), **of_east)
        return found | {"west": replace(found["west"], **{"candidates": ("west", "east"), **of_west})}

    assert fabric.controller_problems(views({}), "west") == []
    assert fabric.rows(views({}), "kcp", "taskqueues")[1]["Controller"] == "vm_2 (stands by)"
    for at_work in ({"processor": "east"}, {"processor": ""}):
        assert "on 'east' too: vm_2" in fabric.controller_problems(views(at_work), "west")[0]
    assert "on 'east' too: vm_2" in fabric.controller_problems(views({}, candidates=("west",)), "west")[0]
    assert "no controller" in fabric.controller_problems(views({}, controller=""), "west")[0]


def test_a_lease_counts_only_while_it_is_renewed() -> None:
    def lease(age: float) -> dict[str, object]:
        renewed = (datetime.now(UTC) - timedelta(seconds=age)).isoformat().replace("+00:00", "Z")
        return {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 900, "renewTime": renewed}}

    assert holder(lease(0)) == "me"
    assert holder(lease(3600)) == ""
    assert holder(None) == ""
    assert holder({"spec": {"holderIdentity": ""}}) == ""
