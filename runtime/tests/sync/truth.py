# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What must hold in the small model, judged with the whole truth at hand, which no syncer ever has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.tests.sync.judge import going, need, whose
from runtime.tests.sync.rules import finalizers
from tmc.sync import names
from tmc.sync.operations import Create, Delete, Patch

if TYPE_CHECKING:
    from runtime.tests.sync.small_model import Model, State

Obj = dict[str, Any]
CLUSTERS = ("kcp", "east", "west")
HUB, MEMBERS = 0, (1, 2)


def origin_of(obj: Obj, cluster: int) -> str:
    return whose(obj, f"cluster-{CLUSTERS[cluster]}")[1]


def stands_on(uid: str) -> int:
    """The cluster that gave this uid."""
    return CLUSTERS.index(uid.rsplit("-", 1)[0])


def lives(model: Model, state: State, uid: str) -> bool:
    obj = model.on(state, stands_on(uid))
    return obj is not None and obj["metadata"]["uid"] == uid and not going(obj)


def judge_change(model: Model, before: State, after: State, member: int, op: Create | Delete | Patch) -> None:
    """One write of a syncer. Raises Wrong."""
    cluster = member if op.side == "member" else HUB
    old, new = model.on(before, cluster), model.on(after, cluster)
    if old is not None and (new is None or (going(new) and not going(old))):
        _judge_loss(model, after, cluster, old, new)
    if new is not None:
        _judge_status(old, new, cluster)
    judge_state(model, after)


def _judge_loss(model: Model, state: State, cluster: int, old: Obj, new: Obj | None) -> None:
    uid = origin_of(old, cluster)
    if stands_on(uid) != cluster:
        need(not lives(model, state, uid), "no copy goes while its origin lives")
        return
    need(going(old), "no syncer deletes an object on its own origin")
    if new is not None:
        return
    for other in (HUB, *MEMBERS):
        copy = model.on(state, other)
        left = other != cluster and copy is not None and origin_of(copy, other) == uid
        need(not left or (uid, other) in state.tombstones, "an origin is not released while a copy is left")


def _judge_status(old: Obj | None, new: Obj, cluster: int) -> None:
    was, now = ((obj or {}).get("status") or {} for obj in (old, new))
    if was == now or not now:
        return
    need(now["of"] == origin_of(new, cluster), "a status never goes to another object of the same name")
    need(was.get("of") != now["of"] or was["done"] <= now["done"], "progress never goes back")


def judge_state(model: Model, state: State) -> None:
    """What holds at every moment: whoever has, or is about to have, a copy holds what it is a copy of."""
    hub = model.on(state, HUB)
    if hub is None:
        return
    uid = origin_of(hub, HUB)
    for member in MEMBERS:
        obj = model.on(state, member)
        if obj is None or origin_of(obj, member) != uid or going(hub) or going(obj):
            continue
        if stands_on(uid) == member:
            need(names.SYNC_FINALIZER in finalizers(obj), "an origin object with a hub copy is held")
        else:
            mine = names.finalizer_of(CLUSTERS[member])
            need(mine in finalizers(hub), "a hub object that has a copy is held by that member")


def judge_rest(model: Model, state: State) -> None:
    """A state in which no syncer has anything to do: all agree. Raises Wrong."""
    objects = [model.on(state, cluster) for cluster in (HUB, *MEMBERS)]
    if any(obj is not None and "operator" in finalizers(obj) and going(obj) for obj in objects):
        return  # it waits for the operator
    need(not state.tombstones, "tombstones are acknowledged")
    need(not any(going(obj) for obj in objects), "what goes is gone in the end")
    hub = objects[HUB]
    if hub is None:
        need(not any(objects), "what lives is in the fabric")
        return
    for member in MEMBERS:
        obj = objects[member]
        need(obj is not None, "what lives has a copy everywhere")
        assert obj is not None
        if origin_of(obj, member) == origin_of(hub, HUB):
            need(obj["spec"] == hub["spec"], "all copies say the same")
            _judge_equal_status(obj.get("status"), hub.get("status"))
        else:
            need(origin_of(obj, member) == obj["metadata"]["uid"], "no copy of another object is left")
            told = (obj["metadata"].get("annotations") or {}).get(names.SYNC_STATE)
            need(told == names.NAME_CONFLICT, "a loser is told")
            need(names.SYNC_FINALIZER not in finalizers(obj), "a loser is not held")


def _judge_equal_status(one: Any, other: Any) -> None:
    bare = [{k: v for k, v in (status or {}).items() if k != "observedGeneration"} for status in (one, other)]
    need(bare[0] == bare[1], "all copies show the same status")
