# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Single promises of the planner, each in the smallest world that shows it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from runtime.tests.sync.world import World, new_object
from tmc.sync import names
from tmc.sync.operations import Bury, Create, Delete, Patch, Proof, Tell
from tmc.sync.planner import plan
from tmc.sync.status import carried_status


def world_with(name: str = "a", on: str = "east", processor: str = "west") -> World:
    world = World(random.Random(0), processor=processor)
    world.cluster(on).create(new_object(name, 1))
    world.settle((name,))
    return world


def rivals() -> World:
    """West has the name in the fabric; east, which was away, has an object of its own by that name."""
    world = World(random.Random(0))
    world.away = {"east"}
    world.members["west"].create(new_object("a", 7))
    world.settle(("a",))
    world.members["east"].create(new_object("a", 8))
    world.away = set()
    return world


@pytest.mark.parametrize(("on", "writes"), [("east", 3), ("west", 3), ("kcp", 4)])
def test_a_new_object_costs_few_writes(on: str, writes: int) -> None:
    """Finalizer, hub copy, one member's copy; created on the hub: a finalizer and a copy for each of two members."""
    assert world_with(on=on).writes == writes


def test_absence_on_the_hub_deletes_nothing() -> None:
    world = world_with()
    del world.hub.objects["a"]
    world.hub.history.append(dict(world.hub.objects))
    uid = world.members["west"].objects["a"]["metadata"]["uid"]
    world.settle(("a",))
    assert world.members["west"].objects["a"]["metadata"]["uid"] == uid
    assert world.hub.objects["a"]["metadata"]["labels"][names.ORIGIN] == "east"


def test_a_stranger_of_the_same_name_is_left_as_it_is() -> None:
    world = rivals()
    before = dict(world.members["east"].objects["a"], metadata=None)
    world.settle(("a",))
    loser = world.members["east"].objects["a"]
    assert dict(loser, metadata=None) == before
    assert loser["metadata"]["annotations"] == {names.SYNC_STATE: names.NAME_CONFLICT}
    assert not loser["metadata"].get("finalizers")


def test_a_conflict_names_the_winner_once() -> None:
    world = rivals()
    own = world.members["east"].objects["a"]
    told = [op for op in plan(own, world.hub.objects["a"], world.facts("east", "a")) if isinstance(op, Tell)]
    assert [t.reason for t in told] == [names.NAME_CONFLICT]
    assert "cluster west" in told[0].message
    world.settle(("a",))
    assert plan(world.members["east"].objects["a"], world.hub.objects["a"], world.facts("east", "a")) == []


def test_a_held_object_loses_our_finalizer_only_to_a_name_that_is_taken_now() -> None:
    world = rivals()
    world.members["east"].write("a", lambda o: o["metadata"].update(finalizers=[names.SYNC_FINALIZER]))
    own, hub = world.members["east"].objects["a"], world.hub.objects["a"]
    let_go, _ = plan(own, hub, world.facts("east", "a"))
    assert isinstance(let_go, Patch)
    assert let_go.proof == Proof("hub", hub["metadata"]["uid"])


def test_the_loser_syncs_when_the_winner_goes() -> None:
    world = rivals()
    world.settle(("a",))
    world.members["west"].delete("a", world.members["west"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert world.members["west"].objects["a"]["spec"] == {"value": 8}
    assert names.SYNC_STATE not in world.members["east"].objects["a"]["metadata"]["annotations"]


def test_deletion_waits_for_the_operator_on_the_processor() -> None:
    world = world_with()
    world.members["west"].write("a", lambda o: o["metadata"].update(finalizers=["operator"]))
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert "a" in world.members["east"].objects, "the origin was released before the operator was done"
    world.members["west"].write("a", lambda o: o["metadata"].update(finalizers=[]))
    world.settle(("a",))
    assert all("a" not in cluster.objects for cluster in world.clusters())


def test_a_member_that_is_away_holds_a_deletion_only_for_the_grace() -> None:
    world = world_with()
    world.away = {"west"}
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert "a" in world.members["east"].objects
    world.grace_over = True
    world.settle(("a",))
    assert "a" not in world.members["east"].objects
    assert "a" in world.members["west"].objects
    assert [pending for _, pending in world.tombstones.values()] == [{"west"}]
    world.away, world.grace_over = set(), False
    world.settle(("a",))
    assert "a" not in world.members["west"].objects
    assert not world.tombstones


@pytest.mark.parametrize("losing", [True, False])
def test_where_members_may_have_kept_their_copies_the_tombstone_is_for_all_of_them(losing: bool) -> None:
    """It is written when the hub copy is gone, and not before for those alone that the hub copy still names."""
    world = World(random.Random(1), members=("east", "south", "west"))
    world.members["east"].create(new_object("a", 1))
    world.settle(("a",))
    east, hub = world.members["east"].objects, world.hub.objects
    for cluster in (world.members["east"], world.hub):
        cluster.delete("a", cluster.objects["a"]["metadata"]["uid"])
    facts = replace(world.facts("east", "a"), given_up=frozenset({"south", "west"}), hub_namespace_going=losing)
    assert [type(op) for op in plan(east["a"], hub["a"], facts)] == ([Patch] if losing else [Bury, Patch])
    bury, release = plan(east["a"], None, facts)
    assert isinstance(bury, Bury)
    assert bury.pending == ("south", "west")
    assert [op.why for op in plan(east["a"], None, replace(facts, told=True))] == ["no copy is left"]
    alone = replace(facts, members=frozenset({"east"}))
    assert plan(east["a"], None, alone) == [release]


def test_who_goes_away_after_the_tombstone_was_written_hears_of_the_deletion_as_well() -> None:
    world = World(random.Random(1), members=("east", "south", "west"))
    world.members["east"].create(new_object("a", 1))
    world.settle(("a",))
    world.away = {"west"}
    facts = replace(world.facts("east", "a"), given_up=frozenset({"west"}))
    for cluster in (world.members["east"], world.hub):
        cluster.delete("a", cluster.objects["a"]["metadata"]["uid"])
    bury, strip = plan(world.members["east"].objects["a"], world.hub.objects["a"], facts)
    assert isinstance(bury, Bury)
    assert bury.pending == ("south", "west")
    assert isinstance(strip, Patch)
    assert strip.patch[-1]["value"] == ["tmc.io/south"], "south is at work and is waited for"


def test_what_a_tombstone_names_is_not_held_back_by_the_brake() -> None:
    world = world_with()
    copy = world.members["west"].objects["a"]
    uid = world.members["east"].objects["a"]["metadata"]["uid"]
    facts, of_hub = world.facts("west", "a"), world.hub.objects["a"]["metadata"]
    marks = {**of_hub["annotations"], names.ORIGIN_UID: "another"}
    hub = {**world.hub.objects["a"], "metadata": {**of_hub, "annotations": marks}}
    for stones, braked in ((frozenset[str](), True), (frozenset({f"{uid}.east"}), False)):
        (removal,) = [op for op in plan(copy, hub, replace(facts, tombstones=stones)) if isinstance(op, Delete)]
        assert removal.braked is braked


def test_a_member_that_left_the_fabric_is_not_waited_for() -> None:
    world = world_with()
    del world.members["west"]
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert "a" not in world.hub.objects
    assert "a" not in world.members["east"].objects
    assert not world.tombstones


@pytest.mark.parametrize("returns", [False, True])
def test_a_torn_off_finalizer_does_not_leave_the_hub_copy_going_for_ever(returns: bool) -> None:
    world = world_with()
    world.away = {"west"}
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    world.members["east"].write("a", lambda o: o["metadata"].update(finalizers=[]))
    if returns:  # by the same name, and is deleted too while it waits for it
        world.members["east"].create(new_object("a", 2))
        world.members["east"].write("a", lambda o: o["metadata"].update(finalizers=[names.SYNC_FINALIZER]))
        world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert "a" in world.hub.objects, "west was not waited for"
    world.grace_over = True
    world.settle(("a",))
    assert "a" not in world.hub.objects
    assert "a" not in world.members["east"].objects
    world.away, world.grace_over = set(), False
    world.settle(("a",))
    assert "a" not in world.members["west"].objects
    assert not world.tombstones


def test_a_finalizer_that_is_merely_called_like_a_member_is_somebody_elses() -> None:
    world = world_with()
    world.away = {"west"}
    world.hub.write("a", lambda o: o["metadata"]["finalizers"].append("west"))
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.settle(("a",))
    assert world.hub.objects["a"]["metadata"]["finalizers"] == ["tmc.io/west", "west"]
    world.grace_over = True
    world.settle(("a",))
    assert world.hub.objects["a"]["metadata"]["finalizers"] == ["west"]


def test_a_name_that_is_used_again_is_a_new_object() -> None:
    world = world_with()
    world.away = {"west"}
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    world.grace_over = True
    world.settle(("a",))
    world.members["east"].create(new_object("a", 2))
    world.settle(("a",))  # the hub has given the name to the new object before west looks again
    world.members["west"].write("a", lambda o: o.update(status={"done": 5}))
    world.away, world.grace_over = set(), False
    world.settle(("a",))
    assert world.members["west"].objects["a"]["spec"] == {"value": 2}
    assert all(not cluster.objects["a"].get("status") for cluster in world.clusters())


def test_a_stranger_hub_gets_nothing_deleted_or_released() -> None:
    world = world_with()
    world.members["east"].delete("a", world.members["east"].objects["a"]["metadata"]["uid"])
    facts = replace(world.facts("east", "a"), quarantined=True, given_up=frozenset({"west"}))
    operations = plan(world.members["east"].objects["a"], world.hub.objects["a"], facts)
    assert not any(isinstance(op, Delete) for op in operations)
    assert plan(world.members["east"].objects["a"], None, facts) == []
    world.hub.delete("a", world.hub.objects["a"]["metadata"]["uid"])
    assert plan(world.members["east"].objects["a"], world.hub.objects["a"], facts) == []
    announced = plan(dict(world_with().members["east"].objects["a"]), None, facts)
    assert [type(op) for op in announced] == [Create]


def test_what_is_held_twice_is_held_once() -> None:
    world = world_with(on="kcp")
    world.hub.write("a", lambda o: o["metadata"]["finalizers"].append("tmc.io/west"))
    before = world.writes
    world.settle(("a",))
    assert sorted(world.hub.objects["a"]["metadata"]["finalizers"]) == ["tmc.io/east", "tmc.io/west"]
    assert world.writes == before + 1


def test_drift_is_undone_and_known_as_such() -> None:
    world = world_with()
    world.members["west"].write("a", lambda o: o["spec"].update(value=99, extra=1))
    operations = plan(world.members["west"].objects["a"], world.hub.objects["a"], world.facts("west", "a"))
    assert [op.drift for op in operations if isinstance(op, Patch) and op.copy_of == "east"] == [True]
    world.settle(("a",))
    assert world.members["west"].objects["a"]["spec"] == {"value": 1}


@pytest.mark.parametrize(("before", "after"), [(1, True), (False, 0), ([{"on": 0}], [{"on": False}])])
def test_a_number_and_a_truth_value_are_not_the_same(before: object, after: object) -> None:
    world = world_with()
    hub = world.hub.objects["a"] | {"spec": {"value": before}, "status": {"shown": before}}
    own = world.members["east"].objects["a"] | {"spec": {"value": after}}
    copy = world.members["west"].objects["a"] | {"spec": {"value": before}, "status": {"shown": after}}
    (push,) = plan(own, hub | {"status": {}}, world.facts("east", "a"))
    (raise_,) = plan(copy, hub, world.facts("west", "a"))
    assert isinstance(push, Patch)
    assert isinstance(raise_, Patch)
    assert json.dumps(push.patch[1:]) == json.dumps([{"op": "add", "path": "/spec", "value": {"value": after}}])
    assert json.dumps(raise_.patch[1:]) == json.dumps([{"op": "add", "path": "/status", "value": {"shown": after}}])


def test_foreign_metadata_stays_on_its_copy_and_does_not_travel() -> None:
    world = world_with()

    def operator(obj: dict) -> None:
        obj["metadata"]["labels"]["operator"] = "was-here"
        obj["metadata"]["annotations"]["operator/note"] = "1"

    world.members["west"].write("a", operator)
    world.members["east"].write("a", lambda o: o["metadata"]["labels"].update(team="x"))
    world.settle(("a",))
    west, hub = world.members["west"].objects["a"]["metadata"], world.hub.objects["a"]["metadata"]
    assert west["labels"]["operator"] == "was-here"
    assert west["annotations"]["operator/note"] == "1"
    assert west["labels"]["team"] == "x"
    assert "operator" not in hub["labels"]
    world.members["east"].write("a", lambda o: o["metadata"]["labels"].pop("team"))
    world.settle(("a",))
    assert "team" not in world.members["west"].objects["a"]["metadata"]["labels"]


def test_marks_that_a_user_typed_on_an_own_object_are_not_believed() -> None:
    world = World(random.Random(0))
    typed = new_object("a", 1, {names.ORIGIN: "east"})
    typed["metadata"]["annotations"] = {names.ORIGIN_UID: "forged", names.ORIGIN_CLUSTER_UID: "cluster-east"}
    own = world.members["east"].create(typed)
    world.settle(("a",))
    assert world.hub.objects["a"]["metadata"]["annotations"][names.ORIGIN_UID] == own["metadata"]["uid"]


def test_what_kubectl_noted_for_itself_does_not_travel() -> None:
    world = world_with()
    notes = {names.LAST_APPLIED: "{}", "team/owner": "x"}
    world.members["east"].write("a", lambda o: o["metadata"].update(annotations=notes))
    world.settle(("a",))
    travelled = world.hub.objects["a"]["metadata"]["annotations"]
    assert travelled["team/owner"] == "x"
    assert names.LAST_APPLIED not in travelled


def test_the_processor_that_lost_its_copy_gets_the_status_back_before_it_works() -> None:
    world = world_with()
    world.members["west"].write("a", lambda o: o.update(status={"done": 3}))
    world.settle(("a",))
    del world.members["west"].objects["a"]
    world.members["west"].history.append({})
    operations = plan(None, world.hub.objects["a"], world.facts("west", "a"))
    assert isinstance(operations[0], Create)
    assert operations[0].body["metadata"]["annotations"][names.STATUS_PENDING] == "true"
    world.settle(("a",))
    restored = world.members["west"].objects["a"]
    assert restored["status"] == {"done": 3}
    assert names.STATUS_PENDING not in restored["metadata"]["annotations"]


def test_a_hub_copy_that_has_no_status_yet_erases_nobody_elses() -> None:
    world = world_with()
    own = {**world.members["east"].objects["a"], "status": {"done": 3}}
    assert plan(own, world.hub.objects["a"], world.facts("east", "a")) == []


def test_an_acknowledgement_is_confirmed_by_a_live_read() -> None:
    world = world_with()
    world.hub.delete("a", world.hub.objects["a"]["metadata"]["uid"])
    (let_go,) = plan(None, world.hub.objects["a"], world.facts("west", "a"))
    assert isinstance(let_go, Patch)
    assert let_go.proof == Proof("member")


def _object(generation: int, origin_generation: int | None, observed: int | None = None) -> dict:
    meta: dict = {"generation": generation, "uid": "u"}
    if origin_generation is not None:
        meta |= {
            "labels": {names.ORIGIN: "east"},
            "annotations": {
                names.ORIGIN_UID: "o",
                names.ORIGIN_CLUSTER_UID: "c",
                names.ORIGIN_GENERATION: str(origin_generation),
            },
        }
    return {"metadata": meta} | ({} if observed is None else {"status": {"observedGeneration": observed}})


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (_object(3, 5, 3), _object(9, 5), 9),  # both carry the origin's generation 5, and it was processed
        (_object(3, 5, 3), _object(5, None), 5),  # the origin itself
        (_object(3, 5, 3), _object(6, None), 5),  # the origin has moved on: exactly what was processed is told
        (_object(3, 5, 2), _object(9, 5, 4), 4),  # behind: what the target shows stays
        (_object(3, 5, 2), _object(9, 5), 0),  # behind, and nothing known
        (_object(3, 4, 3), _object(9, 5, 9), 0),  # the target would claim more than was processed
    ],
)
def test_observed_generation_is_mapped_and_never_claims_too_much(source: dict, target: dict, expected: int) -> None:
    carried = carried_status(source, target)
    assert carried["observedGeneration"] == expected
    written = {**target, "status": carried}
    assert carried_status(source, written) == carried, "mapping again what was written must change nothing"


def test_conditions_are_mapped_by_type() -> None:
    source = _object(3, 5, 3)
    source["status"]["conditions"] = [{"type": "Complete", "observedGeneration": 3}, {"type": "Other"}, "odd"]
    conditions = carried_status(source, _object(9, 5))["conditions"]
    assert conditions == [{"type": "Complete", "observedGeneration": 9}, {"type": "Other"}, "odd"]


def test_where_status_counts_as_a_generation_its_numbers_travel_as_they_are() -> None:
    """A kind without status subresource: a mapped observedGeneration would be old as soon as it is written."""
    world = world_with()
    facts = replace(world.facts("west", "a"), has_status=False)
    world.facts = lambda *_: facts  # type: ignore[method-assign]
    world.settle(("a",))
    world.members["west"].write("a", lambda o: o.update(status={"observedGeneration": 7}))
    west, hub = world.members["west"].objects["a"], world.hub.objects["a"]
    (patch,) = plan(west, hub, facts)
    assert isinstance(patch, Patch)
    assert (patch.subresource, patch.patch[-1]["value"]) == ("", {"observedGeneration": 7})
    hub = {**hub, "status": {"observedGeneration": 7}, "metadata": {**hub["metadata"], "generation": 2}}
    assert plan(west, hub, facts) == []
