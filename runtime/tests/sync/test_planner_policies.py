# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the planner does where a kind's policy, the hub's identity or the loss of a whole kind speaks."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from runtime.tests.sync.world import World, new_object
from tmc.sync import names
from tmc.sync.facts import Facts
from tmc.sync.objects import marked_origin
from tmc.sync.operations import Create, Delete, Patch, Proof, Side
from tmc.sync.planner import plan


def world_with(on: str = "east", **policy: Any) -> World:
    """An object `a` that was created on `on` and is everywhere; `policy` are fields of every syncer's `Facts`."""
    world = World(random.Random(0))
    facts = world.facts
    world.facts = lambda member, name: replace(facts(member, name), **policy)  # type: ignore[method-assign]
    world.cluster(on).create(new_object("a", 1))
    world.settle(("a",))
    return world


def plan_of(world: World, member: str, **changes: Any) -> list[Any]:
    facts: Facts = replace(world.facts(member, "a"), **changes)
    return plan(world.members[member].objects.get("a"), world.hub.objects.get("a"), facts)


def sides(operations: list[Any]) -> set[Side]:
    return {op.side for op in operations}


# --- quarantine


def test_in_quarantine_nothing_comes_down() -> None:
    world = world_with()
    world.hub.write("a", lambda o: o["spec"].update(value=0))
    world.hub.write("a", lambda o: o.update(status={"done": 1}))
    assert plan_of(world, "west") != []
    assert plan_of(world, "west", quarantined=True) == []
    assert sides(plan_of(world, "east", quarantined=True)) == {"hub"}


def test_in_quarantine_no_copy_is_made() -> None:
    world = World(random.Random(0))
    world.away = {"west"}
    world.members["east"].create(new_object("a", 1))
    world.settle(("a",))
    assert any(isinstance(op, Create) for op in plan_of(world, "west"))
    assert plan_of(world, "west", quarantined=True) == []


def test_in_quarantine_the_processor_tells_what_it_has_done() -> None:
    world = world_with()
    world.members["west"].write("a", lambda o: o.update(status={"done": 3}))
    (told,) = plan_of(world, "west", quarantined=True)
    assert isinstance(told, Patch)
    assert (told.side, told.subresource) == ("hub", "status")


def test_in_quarantine_a_status_is_not_taken_for_another_objects() -> None:
    world = world_with()
    world.members["west"].write("a", lambda o: o.update(status={"done": 3}))
    world.hub.write("a", lambda o: o["metadata"]["annotations"].update({names.ORIGIN_UID: "older"}))
    assert plan_of(world, "west", quarantined=True) == []


# --- the hub loses the whole kind, or a namespace


def test_a_namespace_that_the_hub_loses_deletes_no_copy() -> None:
    world = world_with(hub_namespace_going=True)
    world.members["west"].write("a", lambda o: o.update(status={"done": 3}))
    world.settle(("a",))
    before = {m: c.objects["a"]["metadata"]["uid"] for m, c in world.members.items()}
    world.hub.delete("a", world.hub.objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert {m: c.objects["a"]["metadata"]["uid"] for m, c in world.members.items()} == before
    assert world.hub.objects["a"]["status"] == {"done": 3}, "the hub has it again, and what was done"


def test_what_was_created_in_a_namespace_of_the_hub_goes_with_it() -> None:
    world = world_with(on="kcp", hub_namespace_going=True)
    world.hub.delete("a", world.hub.objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert not any(cluster.objects for cluster in world.clusters())


def test_a_kind_that_the_hub_loses_deletes_no_copy() -> None:
    world = world_with(on="kcp", hub_kind_going=True)
    world.hub.delete("a", world.hub.objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert world.hub.objects == {}, "nobody keeps the hub's objects from going"
    assert all("a" in cluster.objects for cluster in world.members.values())


# --- onOriginDeleted: Keep


def test_a_kept_copy_outlives_its_origin_and_is_nobodys() -> None:
    world = world_with(keeps=True)
    world.members["west"].write("a", lambda o: o.update(status={"done": 3}))
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert "a" not in world.members["east"].objects
    assert "a" not in world.hub.objects
    kept = world.members["west"].objects["a"]
    assert (kept["spec"], kept["status"]) == ({"value": 1}, {"done": 3})
    assert kept["metadata"]["annotations"] == {names.SYNC_STATE: names.KEPT}
    assert kept["metadata"]["labels"] == {}
    assert marked_origin(kept) is None


def test_a_kept_copy_holds_nobody_up_when_its_name_is_used_again() -> None:
    world = world_with(keeps=True)
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    world.members["east"].create(new_object("a", 2))
    world.settle(("a",))
    assert world.members["west"].objects["a"]["spec"] == {"value": 1}
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert "a" not in world.members["east"].objects
    assert world.members["west"].objects["a"]["spec"] == {"value": 1}


def test_a_copy_is_kept_by_its_tombstone_too() -> None:
    world = world_with(keeps=True)
    world.away = {"west"}
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.grace_over = True
    world.settle(("a",))
    world.away, world.grace_over = set(), False
    world.settle(("a",))
    assert world.members["west"].objects["a"]["metadata"]["annotations"] == {names.SYNC_STATE: names.KEPT}
    assert world.tombstones == {}


def test_to_type_kept_on_an_object_of_the_fabric_changes_nothing() -> None:
    world = world_with()
    world.members["east"].write("a", lambda o: o["metadata"].update(annotations={names.SYNC_STATE: names.KEPT}))
    world.settle(("a",))
    assert names.SYNC_STATE not in world.members["east"].objects["a"]["metadata"].get("annotations", {})
    assert "a" in world.members["west"].objects


def test_an_object_that_is_to_stay_at_home_is_not_announced() -> None:
    world = World(random.Random(0))
    own = new_object("a", 1)
    own["metadata"]["annotations"] = {names.SYNC_STATE: names.KEPT}
    world.members["east"].create(own)
    world.settle(("a",))
    assert not world.hub.objects


# --- kinds without the status subresource


def test_a_status_without_subresource_costs_a_write_a_cluster() -> None:
    world = World(random.Random(0))
    facts = world.facts
    world.facts = lambda member, name: replace(facts(member, name), has_status=False)  # type: ignore[method-assign]
    for cluster in world.clusters():
        cluster.has_status = False
    world.members["east"].create(new_object("a", 1))
    world.settle(("a",))
    for done in (1, 2, 3):
        before = world.writes
        world.members["west"].write("a", lambda o, d=done: o.update(status={"done": d}))  # type: ignore[misc]
        world.settle(("a",))
        assert world.writes - before == 2
        assert world.members["east"].objects["a"]["status"] == {"done": done}


# --- what a patch is to achieve


def test_the_aim_of_a_repair_is_the_same_as_long_as_the_origin_is() -> None:
    world = world_with()

    def repaired(value: int) -> str:
        world.members["west"].write("a", lambda o: o["metadata"]["labels"].update({names.ORIGIN: f"typed{value}"}))
        (repair,) = [op for op in plan_of(world, "west") if isinstance(op, Patch)]
        return repair.aim

    first = repaired(1)
    assert first
    assert repaired(2) == first
    world.members["east"].write("a", lambda o: o["metadata"]["labels"].update(team="x"))
    world.step("east", "a", fresh=True)
    assert repaired(3) != first


def test_deletes_have_no_part_in_keeping() -> None:
    world = world_with(keeps=True)
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.step("east", "a", fresh=True)
    assert not any(isinstance(op, Delete) for op in plan_of(world, "west"))


# --- one name, one object after the other


def test_the_status_of_a_deleted_object_does_not_reach_its_successor() -> None:
    """An operator's finalizer outlasts the grace: the old copy still stands, going, when the name is used again."""
    world = world_with()
    world.members["west"].write("a", lambda o: o["metadata"].update(finalizers=["operator"]))
    world.members["west"].write("a", lambda o: o.update(status={"was": "old"}))
    world.settle(("a",))
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.grace_over = True
    world.settle(("a",))
    world.grace_over = False
    assert "a" not in world.members["east"].objects, "the name is free"
    world.members["east"].create(new_object("a", 2))
    world.settle(("a",))
    assert world.members["west"].objects["a"]["status"] == {"was": "old"}, "the old copy is still held"
    assert not world.hub.objects["a"].get("status")
    assert not world.members["east"].objects["a"].get("status")
    world.members["west"].write("a", lambda o: o["metadata"].update(finalizers=[]))
    world.settle(("a",))
    assert world.members["west"].objects["a"]["spec"] == {"value": 2}


# --- a creation that is carried out after its object ended


def test_a_hub_copy_of_what_ended_here_is_deleted() -> None:
    world = world_with()
    late = world.hub.objects["a"]
    world.members["east"].write("a", lambda o: o["metadata"].update(finalizers=[]))
    own = world.members["east"].objects["a"]["metadata"]["uid"]
    world.members["east"].delete("a", own)
    assert plan_of(world, "east") == [], "absence alone is no evidence"
    assert plan_of(world, "east", ended=frozenset({"another"})) == []
    (removal,) = plan_of(world, "east", ended=frozenset({own}))
    assert isinstance(removal, Delete)
    assert (removal.side, removal.uid, removal.proof) == ("hub", late["metadata"]["uid"], Proof("member"))


def test_a_copy_of_what_ended_here_is_deleted() -> None:
    world = world_with()
    copy = world.members["west"].objects["a"]
    origin = marked_origin(copy)
    assert origin is not None
    world.hub.objects.pop("a")
    assert plan_of(world, "west") == [], "absence alone is no evidence"
    (removal,) = plan_of(world, "west", ended=frozenset({origin.uid}))
    assert isinstance(removal, Delete)
    assert (removal.side, removal.uid, removal.proof) == ("member", copy["metadata"]["uid"], Proof("hub"))


def test_what_ends_is_said_and_nothing_else_is() -> None:
    world = world_with()
    uid = world.members["east"].objects["a"]["metadata"]["uid"]
    said: dict[str, set[str]] = {"east": set(), "west": set()}
    world.members["east"].delete("a", uid)
    while world.hub.objects or world.members["east"].objects:
        for member, ends in said.items():
            ends |= {op.ends for op in plan_of(world, member) if isinstance(op, Patch)}
            world.step(member, "a", fresh=True)
    assert said == {"east": {uid}, "west": {uid}}
