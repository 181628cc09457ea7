# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner commutes: in whatever order and how late news reaches the syncers, the same deeds end in the same fabric.

Each name has one home. What is done to it is a script; when syncers look, in what order, at how old a view, and how
the scripts of the names are woven together is chance.
"""

from __future__ import annotations

import os
import random
from typing import Any

from runtime.tests.sync import figures
from runtime.tests.sync.rules import finalizers
from runtime.tests.sync.world import Cluster, Obj, World, new_object
from tmc.sync import names

SCRIPTS = int(os.environ.get("TMC_FUZZ_SCRIPTS", "150"))
FIRST = (int(os.environ.get("TMC_FUZZ_SEED", "1")) - 1) * 1_000_000
ORDERS = 4
Deed = tuple[str, int]


def _script(rng: random.Random) -> list[Deed]:
    deeds = ["edit", "edit", "label", "unlabel", "note", "extra", "less", "report", "again", "delete"]
    return [
        ("create", rng.randint(0, 9)),
        *((rng.choice(deeds), rng.randint(10, 99)) for _ in range(rng.randint(1, 6))),
    ]


def _do(world: World, home: Cluster, name: str, deed: Deed) -> None:
    what, value = deed
    obj = home.objects.get(name)
    lives = obj is not None and not obj["metadata"].get("deletionTimestamp")
    if what in ("create", "again"):
        if what == "again" and lives and obj is not None:
            home.delete(name, obj["metadata"]["uid"])
        if not lives or what == "again":
            world.settle((name,))  # a user who meets the old object waits until it is gone
            home.create(new_object(name, value))
    elif lives and obj is not None and what == "delete":
        home.delete(name, obj["metadata"]["uid"])
    elif lives and what != "report":
        home.write(name, lambda o: _change(o, what, value))


def _change(obj: Obj, what: str, value: int) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    match what:
        case "edit":
            obj["spec"]["value"] = value
        case "extra":
            obj["extra"] = {"value": value}
        case "less":
            obj.pop("extra", None)
        case "label":
            labels["team"] = str(value)
        case "unlabel":
            labels.pop("team", None)
        case "note":
            obj["metadata"].setdefault("annotations", {})["note/x~y"] = str(value)


def _play(scripts: dict[str, tuple[str, list[Deed]]], rng: random.Random, processor: str) -> World:
    world = World(rng, processor=processor)
    left = {name: list(script) for name, (_, script) in scripts.items()}
    while any(left.values()):
        if rng.random() < 0.6:
            world.step(rng.choice(list(world.members)), rng.choice(list(scripts)))
            continue
        name = rng.choice([n for n, deeds in left.items() if deeds])
        _do(world, world.cluster(scripts[name][0]), name, left[name].pop(0))
    world.settle(tuple(scripts))
    for name in scripts:
        world.cluster(processor).write(name, _report)
    world.settle(tuple(scripts))
    return world


def _report(obj: Obj) -> None:
    """What the controller says follows from what it sees, and from nothing else."""
    uid = (obj["metadata"].get("annotations") or {}).get(names.ORIGIN_UID, obj["metadata"]["uid"])
    obj["status"] = {"of": uid, "done": obj["spec"]["value"], "observedGeneration": obj["metadata"]["generation"]}


def _outcome(world: World) -> dict[str, Any]:
    """What a person sees: everything but what each API server counts for itself."""
    return {c.name: {name: _seen(obj) for name, obj in sorted(c.objects.items())} for c in world.clusters()}


def _seen(obj: Obj) -> Any:
    notes = obj["metadata"].get("annotations") or {}
    said = {k: v for k, v in notes.items() if k not in (names.ORIGIN_UID, names.ORIGIN_GENERATION)}
    rest = {k: v for k, v in obj.items() if k not in ("metadata", "status")}
    status = {k: v for k, v in (obj.get("status") or {}).items() if k == "done"}
    level = (obj.get("status") or {}).get("observedGeneration") == obj["metadata"]["generation"]
    return rest, obj["metadata"].get("labels"), said, sorted(finalizers(obj)), status, level


def test_the_order_of_news_decides_nothing() -> None:
    judged = 0
    for seed in range(FIRST, FIRST + SCRIPTS):
        rng = random.Random(seed)
        processor = rng.choice(["west", "kcp"])
        scripts = {name: (rng.choice(["kcp", "east", "west"]), _script(rng)) for name in ("a", "b", "c")}
        worlds = [_play(scripts, random.Random(f"{seed}/{order}"), processor) for order in range(ORDERS)]
        judged += sum(world.judged for world in worlds)
        outcomes = [_outcome(world) for world in worlds]
        assert all(outcome == outcomes[0] for outcome in outcomes), f"script {seed}: {scripts}\n{outcomes}"
    figures.JUDGED["in many orders"] += judged


def test_what_the_scripts_do_is_seen_at_the_end() -> None:
    """Else equal outcomes would say nothing."""
    script = [("create", 1), ("edit", 42), ("label", 7), ("extra", 5)]
    outcome = _outcome(_play({"a": ("east", script)}, random.Random(0), "west"))
    for cluster in ("kcp", "east", "west"):
        rest, labels, _, _, status, level = outcome[cluster]["a"]
        assert (rest["spec"], rest["extra"], status, level) == ({"value": 42}, {"value": 5}, {"done": 42}, True)
        assert labels["team"] == "7"
    gone = _play({"a": ("east", [("create", 1), ("delete", 0)])}, random.Random(0), "west")
    assert not any(cluster.objects for cluster in gone.clusters())
