# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A member's own finalizer on the hub's object: put there before a copy is made, taken off when no copy is left.

All members do either at about the same time. A patch under a resourceVersion would let one of them through and refuse
the others, so each changes its own entry of the list and tests nothing but what that rests on.
"""

from __future__ import annotations

from collections.abc import Collection

from tmc.sync import names
from tmc.sync.objects import Object, finalizers_of, metadata
from tmc.sync.operations import Patch, Proof
from tmc.sync.patches import PatchOps, for_uid


def take_hold(hub: Object, member: str, members: Collection[str]) -> Patch:
    """The first makes the list, to which the others then add, in whatever order they come."""
    mine, why = names.finalizer_of(member), "this member will hold a copy"
    living = {"op": "test", "path": "/metadata/deletionTimestamp", "value": None}
    if metadata(hub).get("finalizers") is not None:
        add: PatchOps = [{"op": "add", "path": "/metadata/finalizers/-", "value": mine}]
        return Patch("hub", for_uid([living, *add], hub), why)
    make: PatchOps = [
        {"op": "test", "path": "/metadata/finalizers", "value": None},
        {"op": "add", "path": "/metadata/finalizers", "value": [mine]},
    ]
    return Patch("hub", for_uid([living, *make], hub), why, turn=sum(other < member for other in members))


def hold_once(hub: Object, member: str) -> list[Patch]:
    """Nothing when its finalizer is there once; a request that came late, or from an old view, adds another one."""
    mine, held = names.finalizer_of(member), finalizers_of(hub)
    if held.count(mine) < 2:
        return []
    first, last = held.index(mine), len(held) - 1 - held[::-1].index(mine)
    tests: PatchOps = [
        {"op": "test", "path": f"/metadata/finalizers/{entry}", "value": mine} for entry in (first, last)
    ]
    ops = [*tests, {"op": "remove", "path": f"/metadata/finalizers/{last}"}]
    return [Patch("hub", for_uid(ops, hub), "held twice")]


def let_go(hub: Object, member: str, members: Collection[str], proof: Proof, *, ends: str = "") -> list[Patch]:
    """Nothing when this member's finalizer is not there. `ends`: as of `Patch`.

    An entry that goes moves those behind it, so whoever is behind goes first.
    """
    mine, held = names.finalizer_of(member), finalizers_of(hub)
    if mine not in held:
        return []
    at = len(held) - 1 - held[::-1].index(mine)
    entry = f"/metadata/finalizers/{at}"
    ops: PatchOps = [{"op": "test", "path": entry, "value": mine}, {"op": "remove", "path": entry}]
    behind = {names.finalizer_of(other) for other in members}.intersection(held[at + 1 :])
    return [Patch("hub", for_uid(ops, hub), "no copy here any more", proof=proof, turn=len(behind), ends=ends)]
