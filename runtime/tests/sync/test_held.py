# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Members put their finalizers on the hub's object, and take them off, all at once: nobody refuses anybody else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from runtime.tests.sync.rules import Ops, Overtaken, deleted, finalizers, patched
from tmc.sync.held import hold_once, let_go, take_hold
from tmc.sync.operations import Proof
from tmc.sync.patches import for_uid, passes

MEMBERS = ("east", "middle", "north", "west")
ALL = [f"tmc.io/{member}" for member in MEMBERS]
GONE = Proof("member")
Obj = dict[str, Any]


def hub_object(held: list[str] | None, *, uid: str = "u", going: bool = False) -> Obj:
    meta: Obj = {"name": "a", "uid": uid, "resourceVersion": "7", "generation": 1}
    obj = {"metadata": meta if held is None else {**meta, "finalizers": held}, "spec": {}}
    return (deleted(obj) or {}) if going else obj


def written(obj: Obj, patch: Ops) -> Obj | None:
    """As the API server stores it: under another resourceVersion each time."""
    after = patched(obj, patch, "")
    return after and {**after, "metadata": {**after["metadata"], "resourceVersion": f"{obj['metadata']}"}}


@pytest.mark.parametrize("foreign", [[], ["operator"]])
def test_whoever_goes_in_turn_overtakes_nobody(foreign: list[str]) -> None:
    """All have the same view, and write one after the other, the one that need not wait first."""
    seen = hub_object([*foreign, *ALL], going=True)
    plans = [patch for member in MEMBERS for patch in let_go(seen, member, MEMBERS, GONE)]
    assert sorted(patch.turn for patch in plans) == [0, 1, 2, 3]
    now: Obj | None = seen
    for patch in sorted(plans, key=lambda patch: patch.turn):
        assert now is not None
        now = written(now, patch.patch)
    assert (finalizers(now) if now else []) == foreign


@pytest.mark.parametrize("order", list(itertools.permutations(MEMBERS)))
def test_in_whatever_order_they_write_each_takes_off_its_own(order: tuple[str, ...]) -> None:
    """Who is behind one that has gone is refused, looks again, and finds its entry elsewhere."""
    now: Obj | None = hub_object(["operator", *ALL, "another"], going=True)
    views = dict.fromkeys(order, now)
    for member in order:
        assert now is not None
        before = finalizers(now)
        [late] = let_go(views[member] or {}, member, MEMBERS, GONE)
        try:
            now = written(now, late.patch)
        except Overtaken:
            assert not passes(late.patch, now), "and it can tell why"
            [again] = let_go(now, member, MEMBERS, GONE)
            now = written(now, again.patch)
        assert now is not None
        assert finalizers(now) == [f for f in before if f != f"tmc.io/{member}"]


def test_what_is_held_twice_is_held_once_and_never_not_at_all() -> None:
    """Both requests of one member arrived, the one that was given up after the other."""
    mine = "tmc.io/west"
    twice = hub_object(["tmc.io/east", mine, "operator", mine])
    assert hold_once(hub_object(ALL), "west") == hold_once(twice, "east") == hold_once(hub_object(None), "west") == []
    [patch] = hold_once(twice, "west")
    once = written(twice, patch.patch)
    assert once is not None
    assert finalizers(once) == ["tmc.io/east", mine, "operator"]
    for again in (once, hub_object([mine]), hub_object(["tmc.io/east", mine, mine]), hub_object(ALL, uid="another")):
        with pytest.raises(Overtaken):
            written(again, patch.patch)


def test_the_name_may_be_another_objects_by_now() -> None:
    [late] = let_go(hub_object(ALL, going=True), "west", MEMBERS, GONE)
    for again in (hub_object(ALL, uid="its successor"), hub_object(ALL, uid="its successor", going=True)):
        with pytest.raises(Overtaken):
            written(again, late.patch)


def test_only_members_are_waited_for() -> None:
    """Neither somebody else's finalizer nor that of a cluster that has left goes first."""
    hub = hub_object(["tmc.io/west", "operator", "tmc.io/gone", "tmc.io/north"], going=True)
    assert [patch.turn for patch in let_go(hub, "west", MEMBERS, GONE)] == [1]


def test_an_entry_that_is_there_twice_goes_twice() -> None:
    now: Obj | None = hub_object(["tmc.io/west", "operator", "tmc.io/west"], going=True)
    for left in (["tmc.io/west", "operator"], ["operator"]):
        [patch] = let_go(now or {}, "west", MEMBERS, GONE)
        now = written(now or {}, patch.patch)
        assert finalizers(now or {}) == left
    assert let_go(now or {}, "west", MEMBERS, GONE) == []


@pytest.mark.parametrize("nothing", [None, []])
def test_one_makes_the_list_and_all_others_add_to_it_at_once(nothing: list[str] | None) -> None:
    seen = hub_object(nothing)
    plans = [take_hold(seen, member, MEMBERS) for member in MEMBERS]
    assert len({patch.turn for patch in plans}) == (1 if nothing == [] else len(MEMBERS))
    now = written(seen, plans[0].patch)
    assert now is not None
    after = [take_hold(now, member, MEMBERS) for member in MEMBERS[1:]]
    assert not any(patch.turn for patch in after)
    for patch in reversed(after):
        now = written(now or {}, patch.patch)
    assert sorted(finalizers(now or {})) == ALL


@pytest.mark.parametrize("held", [None, ["operator"]])
def test_what_goes_is_held_by_nobody_new(held: list[str] | None) -> None:
    late = take_hold(hub_object(held), "west", MEMBERS)
    with pytest.raises(Overtaken):
        written(hub_object(["operator"], going=True), late.patch)
    with pytest.raises(Overtaken):
        written(hub_object(held, uid="its successor"), late.patch)


@pytest.mark.parametrize(
    ("path", "value", "holds"),
    [
        ("/metadata/uid", "u", True),
        ("/metadata/uid", "v", False),
        ("/metadata/finalizers/1", "tmc.io/middle", True),
        ("/metadata/finalizers/1", "tmc.io/east", False),
        ("/metadata/finalizers/4", "tmc.io/west", False),
        ("/metadata/finalizers/-", "tmc.io/west", False),
        ("/metadata/deletionTimestamp", None, True),
        ("/metadata/labels/a~1b", "c", True),
        ("/metadata/uid/0", "u", False),
    ],
)
def test_a_test_is_told_from_the_object(path: str, value: str | None, holds: bool) -> None:
    obj = hub_object(ALL)
    obj["metadata"]["labels"] = {"a/b": "c"}
    assert passes(for_uid([{"op": "test", "path": path, "value": value}], obj), obj) is holds
