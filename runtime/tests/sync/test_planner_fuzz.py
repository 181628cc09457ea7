# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner under random users, operators, lagging views and reordered syncers: the promises hold in every world."""

from __future__ import annotations

import os
import random

import pytest

from runtime.tests.sync import figures
from runtime.tests.sync.world import Cluster, Obj, World, new_object
from tmc.sync import names
from tmc.sync.image import image_of_copy, image_of_origin
from tmc.sync.objects import origin_on

NAMES = ("a", "b")
WORLDS = int(os.environ.get("TMC_FUZZ_WORLDS", "1500"))

FIRST = (int(os.environ.get("TMC_FUZZ_SEED", "1")) - 1) * 1_000_000


def _act(world: World, rng: random.Random) -> None:
    """Somebody does something somewhere."""
    cluster, name = rng.choice(world.clusters()), rng.choice(NAMES)
    obj = cluster.objects.get(name)
    native = obj is not None and names.ORIGIN not in (obj["metadata"].get("labels") or {})
    action = rng.choice(
        ["create", "edit", "label", "delete", "status", "operator", "drift", "recreate", "grace", "away"]
    )
    if action == "create" and obj is None:
        cluster.create(new_object(name, rng.randint(0, 9), {"team": "a"} if rng.random() < 0.5 else None))
    elif action == "edit" and native:
        cluster.write(name, lambda o: o["spec"].update(value=rng.randint(10, 99)))
    elif action == "label" and native:
        cluster.write(name, lambda o: _toggle_label(o, rng))
    elif action in ("delete", "recreate") and obj is not None and native:
        cluster.delete(name, obj["metadata"]["uid"])
        if action == "recreate" and name not in cluster.objects:
            cluster.create(new_object(name, rng.randint(100, 199)))
    elif action == "status":
        _process(world, name, rng)
    elif action == "operator":
        world.cluster(world.processor).write(name, lambda o: _toggle_finalizer(o, rng))
    elif action == "grace":
        world.grace_over = not world.grace_over
    elif action == "away":
        world.away = set() if world.away else {rng.choice(list(world.members))}
    elif action == "drift" and obj is not None and not native and not obj["metadata"].get("deletionTimestamp"):
        cluster.write(name, lambda o: o["spec"].update(value=-1))


def _toggle_label(obj: Obj, rng: random.Random) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels.pop("team", None) if "team" in labels else labels.update(team=rng.choice("abc"))


def _toggle_finalizer(obj: Obj, rng: random.Random) -> None:
    held = list(obj["metadata"].get("finalizers") or [])
    if "operator" in held:
        held.remove("operator")
    elif not obj["metadata"].get("deletionTimestamp"):
        held.append("operator")
        obj["metadata"].setdefault("annotations", {})["operator/last"] = str(rng.random())
    obj["metadata"]["finalizers"] = held


def _process(world: World, name: str, rng: random.Random) -> None:
    """The controller on the processor reports what it saw: whose spec, and how far it is."""

    def report(obj: Obj) -> None:
        if names.STATUS_PENDING in (obj["metadata"].get("annotations") or {}):
            return
        origin = (obj["metadata"].get("annotations") or {}).get(names.ORIGIN_UID, obj["metadata"]["uid"])
        done = (obj.get("status") or {}).get("done", 0) + 1
        obj["status"] = {"of": origin, "done": done, "observedGeneration": obj["metadata"]["generation"]}

    world.cluster(world.processor).write(name, report)


def _finish(world: World) -> None:
    """Everybody is back, the operator lets go and the controller reports once more; then all syncers run dry."""
    world.grace_over, world.away = False, set()
    for _ in range(2):
        world.settle(NAMES)
        for name in NAMES:
            world.cluster(world.processor).write(
                name,
                lambda o: o["metadata"].update(
                    finalizers=[f for f in o["metadata"].get("finalizers") or [] if f != "operator"]
                ),
            )
            _process(world, name, world.rng)
    world.settle(NAMES)


def _check(world: World) -> None:
    for name in NAMES:
        hub = world.hub.objects.get(name)
        for member in world.members.values():
            obj = member.objects.get(name)
            if hub is None:
                assert obj is None, f"{name} is on {member.name} only: {obj}"
                continue
            assert obj is not None, f"{name} is not on {member.name}"
            _check_pair(world, hub, member, obj)


def _check_pair(world: World, hub: Obj, member: Cluster, obj: Obj) -> None:
    winner, here = origin_on(hub, "kcp", "cluster-kcp"), origin_on(obj, member.name, member.uid)
    if here.uid != winner.uid:
        assert here.cluster == member.name, f"a stranger's copy is left on {member.name}"
        assert obj["metadata"]["annotations"][names.SYNC_STATE] == names.NAME_CONFLICT
        assert not obj["metadata"].get("finalizers"), "a loser is held"
        assert obj.get("status", {}).get("of", here.uid) == here.uid, "a loser got another object's status"
        return
    assert obj["spec"] == hub["spec"]
    image = image_of_origin if winner.cluster == "kcp" else image_of_copy
    carried = image_of_origin(obj, here) if here.cluster == member.name else image_of_copy(obj, here)
    if here.cluster != world.processor:  # there an operator's annotations are the origin's own
        assert carried.labels == image(hub, winner).labels
    worked_on = world.cluster(world.processor)
    if origin_on(worked_on.objects[hub["metadata"]["name"]], worked_on.name, worked_on.uid).uid != winner.uid:
        return  # the processor's own object lost the name: nobody there works on the winner
    for shown in (hub, obj):
        assert shown["status"]["of"] == winner.uid, "a status of another object of this name leaked"
        assert shown["status"]["observedGeneration"] == shown["metadata"]["generation"]
    assert obj["status"]["done"] == hub["status"]["done"]


@pytest.mark.parametrize("processor", ["west", "kcp"])
def test_every_world_converges_and_keeps_the_promises(processor: str) -> None:
    for seed in range(FIRST, FIRST + WORLDS):
        rng = random.Random(seed)
        world = World(rng, processor=processor)
        for _ in range(rng.randint(5, 60)):
            if rng.random() < 0.3:
                _act(world, rng)
            elif (member := rng.choice(list(world.members))) not in world.away:
                world.step(member, rng.choice(NAMES))
        try:
            _finish(world)
            _check(world)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, processor {processor}: {error}") from error
        figures.JUDGED["in random worlds"] += world.judged


def test_steady_state_costs_no_write() -> None:
    world = World(random.Random(1))
    world.members["east"].create(new_object("a", 1))
    world.settle(("a",))
    before = world.writes
    world.settle(("a",))
    assert world.writes == before
