# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether one answer of the planner may be carried out at all, judged from what it was told and nothing else.

An answer is wrong when it touches what is not ours, destroys without evidence, claims a name before it is held, or
could not be carried out. The rules are those of docs/protocol.md, said a second time and in other words.
"""

from __future__ import annotations

import json
from typing import Any

from runtime.tests.sync.rules import finalizers, patched
from tmc.sync import names
from tmc.sync.facts import Facts
from tmc.sync.operations import Acknowledge, Bury, Create, Delete, Operation, Patch, Proof, Tell

Obj = dict[str, Any]
MARKS = {names.ORIGIN_UID, names.ORIGIN_CLUSTER_UID, names.ORIGIN_GENERATION, names.ORIGIN_KEYS, names.STATUS_PENDING}


class Wrong(AssertionError):
    """The planner asked for something that it never may."""


def need(holds: object, rule: str) -> None:
    if not holds:
        raise Wrong(rule)


def part(obj: Obj, name: str) -> dict[str, Any]:
    return obj["metadata"].get(name) or {}


def whose(obj: Obj, cluster: str) -> tuple[str, str]:
    """(cluster uid, uid) of the origin of an object that stands on the cluster with this uid."""
    notes = part(obj, "annotations")
    there, uid = notes.get(names.ORIGIN_CLUSTER_UID), notes.get(names.ORIGIN_UID)
    if part(obj, "labels").get(names.ORIGIN) and uid and there and there != cluster:
        return there, uid
    return cluster, str(obj["metadata"].get("uid", ""))


def going(obj: Obj | None) -> bool:
    return obj is not None and bool(obj["metadata"].get("deletionTimestamp"))


def judge(member: Obj | None, hub: Obj | None, facts: Facts, operations: list[Operation]) -> None:
    """Raises Wrong."""
    now: dict[str, Obj | None] = {"member": member, "hub": hub}
    stripped, written = False, frozenset[str]()
    for operation in operations:
        match operation:
            case Create():
                _judge_create(now, facts, operation)
            case Delete():
                _judge_delete(now, facts, operation)
            case Patch():
                _judge_patch(now, facts, operation)
                _judge_release(now, facts, operation, written)
                paths = [str(op["path"]) for op in operation.patch]
                off = any(path.startswith("/metadata/finalizers") for path in paths)
                stripped = stripped or (operation.side == "hub" and off)
            case Bury():
                need(not stripped, "what may vanish is buried before")
                _judge_bury(now, facts, operation)
                written = frozenset(operation.pending)
            case Acknowledge():
                _judge_acknowledge(now, facts, operation)
            case Tell():
                need(now[operation.side] is not None, "an event needs an object that it is about")


def _judge_create(now: dict[str, Obj | None], facts: Facts, operation: Create) -> None:
    other = now["hub" if operation.side == "member" else "member"]
    body, standing = operation.body, facts.hub_uid if operation.side == "hub" else facts.member_uid
    need(now[operation.side] is None, "what exists is not created")
    need(other is not None and not going(other), "only what lives is copied")
    assert other is not None
    source = whose(other, facts.member_uid if operation.side == "hub" else facts.hub_uid)
    need(whose(body, standing) == source, "a copy names its origin")
    need("status" not in body and not body["metadata"].get("ownerReferences"), "status and owners are not created")
    if operation.side == "hub":
        need(source[0] == facts.member_uid, "only what was created here is announced")
        need(names.SYNC_FINALIZER in finalizers(other), "the origin object is held before its copy is made")
        wanted = sorted(names.finalizer_of(m) for m in facts.members if m != facts.member)
        need(sorted(finalizers(body)) == wanted, "every other member's finalizer is on the hub copy from the start")
    else:
        need(source[0] != facts.member_uid, "our own object is not made anew from the hub")
        need(names.finalizer_of(facts.member) in finalizers(other), "our finalizer is on the hub before the copy")
        need(not finalizers(body), "finalizers do not travel")


def _judge_delete(now: dict[str, Obj | None], facts: Facts, operation: Delete) -> None:
    target, hub, member = now[operation.side], now["hub"], now["member"]
    need(not facts.quarantined, "nothing is deleted for a hub that is not known")
    need(target is not None and operation.uid == target["metadata"]["uid"], "a deletion names the uid that was seen")
    assert target is not None
    if operation.side == "member":
        need(not facts.keeps, "where copies outlive their origin none is deleted")
        _judge_removal(target, hub, facts, operation)
        return
    need(whose(target, facts.hub_uid)[0] == facts.member_uid, "only our own object's hub copy is ours to delete")
    if member is None:
        need(whose(target, facts.hub_uid)[1] in facts.ended, "absence deletes nothing")
        need(operation.proof == Proof("member"), "what ended here is provably not here")
        return
    same = whose(target, facts.hub_uid)[1] == member["metadata"]["uid"]
    proven = operation.proof == Proof("member", member["metadata"]["uid"])
    need(going(member) if same else proven, "a hub copy goes when its origin goes, or provably is another")


def _judge_removal(copy: Obj, hub: Obj | None, facts: Facts, operation: Delete | Patch) -> None:
    """Of a copy: by deletion, or by making it nobody's."""
    origin = whose(copy, facts.member_uid)
    need(origin[0] != facts.member_uid, "an object is never deleted on its own origin")
    if hub is None:
        late = origin[1] in facts.ended and operation.proof == Proof("hub")
        need(origin[1] in facts.tombstones or late, "absence deletes nothing")
        return
    source = whose(hub, facts.hub_uid)
    if source[1] != origin[1]:
        proven = operation.proof == Proof("hub", hub["metadata"]["uid"])
        need(proven, "a copy of another object goes when that is proven")
        if isinstance(operation, Delete):
            need(operation.braked == (origin[1] not in facts.tombstones), "what has no evidence of its own is braked")
        return
    need(going(hub), "a copy goes when its hub object goes")
    need(operation.proof == Proof("hub", hub["metadata"]["uid"]), "that it is still the hub's object is proven")
    need(not facts.hub_kind_going, "a hub that loses the kind says nothing of the origin")
    theirs = source[0] != facts.hub_uid
    need(operation.alone == ("namespace" if theirs else "kind"), "that the hub loses nothing more is confirmed")
    need(
        not (theirs and facts.hub_namespace_going),
        "a hub that loses the namespace says nothing of another cluster's object",
    )


def _judge_patch(now: dict[str, Obj | None], facts: Facts, operation: Patch) -> None:
    before = now[operation.side]
    need(before is not None, "what is not there cannot be changed")
    assert before is not None
    _judge_guard(before, operation)
    after = patched(before, operation.patch, operation.subresource, has_status=facts.has_status)
    need(after is not before, "a patch that changes nothing is not sent")
    standing = facts.hub_uid if operation.side == "hub" else facts.member_uid
    over = going(before) and operation.ends == whose(before, standing)[1]
    need(not operation.ends or over, "only what is being deleted ends")
    left = after or {**before, "metadata": {k: v for k, v in before["metadata"].items() if k != "finalizers"}}
    _judge_status(now, facts, operation, before, left)
    if operation.side == "hub":
        _judge_hub(now, facts, operation, before, left)
    elif whose(before, facts.member_uid)[0] == facts.member_uid:
        _judge_own(now, facts, operation, before, left)
    else:
        _judge_copy(now, facts, operation, before, left)


def _judge_guard(before: Obj, operation: Patch) -> None:
    """What was seen of the object, or, for one finalizer on the hub, which object it is and what that rests on."""
    guard, *ops = operation.patch
    seen = before["metadata"]["resourceVersion"]
    if guard == {"op": "replace", "path": "/metadata/resourceVersion", "value": seen}:
        return
    wanted = {"op": "test", "path": "/metadata/uid", "value": before["metadata"]["uid"]}
    need(guard == wanted, "a patch is guarded by what was seen, or at least by the uid")
    *tests, change = ops
    need(all(op["op"] == "test" for op in tests), "what is not guarded by all that was seen changes one thing")
    known = {op["path"]: op["value"] for op in tests}
    path, entries = change["path"], "/metadata/finalizers"
    need(operation.side == "hub" and path.startswith(entries), "and that is a finalizer on the hub")
    if change["op"] == "remove":
        need(known.get(path) in finalizers(before), "an entry goes that is known by its value")
        return
    need(known.get("/metadata/deletionTimestamp", "unknown") is None, "only what lives is held")
    need(path == f"{entries}/-" or known.get(entries, "unknown") is None, "a list is made where there is none")


def _judge_status(now: dict[str, Obj | None], facts: Facts, operation: Patch, before: Obj, after: Obj) -> None:
    if (before.get("status") or {}) == (after.get("status") or {}):
        return
    member, hub = now["member"], now["hub"]
    need(member is not None and hub is not None, "a status has a source and a target")
    assert member is not None
    assert hub is not None
    same = whose(member, facts.member_uid) == whose(hub, facts.hub_uid)
    need(same, "a status never goes to another object of the same name")
    if operation.side == "hub":
        need(facts.processor == facts.member, "only the processor's syncer writes status on the hub")
    else:
        lost = not before.get("status")
        need(facts.processor != facts.member or lost, "the processor's status comes back only where it was lost")


def _names(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    return {k for k in {*old, *new} if old.get(k) != new.get(k)}


def _fields(obj: Obj) -> Obj:
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}


def _judge_own(now: dict[str, Obj | None], facts: Facts, operation: Patch, before: Obj, after: Obj) -> None:
    need(_fields(before) == _fields(after), "the user's fields are not ours")
    need(part(before, "labels") == part(after, "labels"), "the user's labels are not ours")
    notes = _names(part(before, "annotations"), part(after, "annotations"))
    need(notes <= {names.SYNC_STATE}, "the user's annotations are not ours")
    removed, added = _moved(before, after)
    need(removed | added <= {names.SYNC_FINALIZER}, "others' finalizers are not ours")
    if removed and going(before):
        need(not facts.quarantined, "nothing is released for a hub that is not known")
        hub = now["hub"]
        need(operation.proof == Proof("hub", hub["metadata"]["uid"] if hub else ""), "a release is proven")
        need(hub is None or whose(hub, facts.hub_uid)[0] != facts.member_uid, "its hub copy is gone before it is")


def _judge_copy(now: dict[str, Obj | None], facts: Facts, operation: Patch, before: Obj, after: Obj) -> None:
    need(not facts.quarantined, "a hub that is not known is not followed")
    need(finalizers(before) == finalizers(after), "an operator's finalizers are not ours")
    hub = now["hub"]
    if whose(after, facts.member_uid)[0] == facts.member_uid:
        need(facts.keeps, "a copy becomes an object of its own only where copies outlive their origin")
        need(part(after, "annotations").get(names.SYNC_STATE) == names.KEPT, "what is kept is marked as kept")
        need({**before, "metadata": 0} == {**after, "metadata": 0}, "what is kept stays as it is")
        _judge_removal(before, hub, facts, operation)
        return
    need(whose(before, facts.member_uid) == whose(after, facts.member_uid), "a copy never becomes another object's")
    for place in ("labels", "annotations"):
        wanted = set(part(hub, place)) if hub else set()
        ours = _carried(before, place) | wanted | MARKS | {names.ORIGIN}
        need(_names(part(before, place), part(after, place)) <= ours, f"an operator's {place} are not ours")


def _carried(copy: Obj, place: str) -> set[str]:
    try:
        noted = json.loads(part(copy, "annotations").get(names.ORIGIN_KEYS, "{}"))
    except ValueError:
        return set()
    keys = noted.get(place) if isinstance(noted, dict) else None
    ours = {k for k in keys if isinstance(k, str)} if isinstance(keys, list) else set()
    return {k for k in ours if not k.startswith("tmc.io/") and k != names.LAST_APPLIED}


def _moved(before: Obj, after: Obj) -> tuple[set[str], set[str]]:
    old, new = set(finalizers(before)), set(finalizers(after))
    return old - new, new - old


def _judge_hub(now: dict[str, Obj | None], facts: Facts, operation: Patch, before: Obj, after: Obj) -> None:
    removed, added = _moved(before, after)
    need(whose(before, facts.hub_uid) == whose(after, facts.hub_uid), "a hub copy never becomes another object's")
    need(not removed or going(before), "no finalizer is taken off the hub from what lives")
    if removed:
        need(not facts.quarantined, "nothing is released on a hub that is not known")
    if whose(before, facts.hub_uid)[0] != facts.member_uid:
        need(removed | added <= {names.finalizer_of(facts.member)}, "others' finalizers are not ours")
        need({**before, "metadata": 0, "status": 0} == {**after, "metadata": 0, "status": 0}, "another's fields")
        for place in ("labels", "annotations"):
            need(part(before, place) == part(after, place), f"another's {place}")
        if removed:
            _judge_letting_go(now, facts, operation, before)
        return
    need(not added, "the origin holds its own object, not its hub copy")
    need(all(f.startswith(names.PREFIX) for f in removed), "others' finalizers are not ours")
    members = {names.finalizer_of(m) for m in facts.members if m != facts.member}
    given_up = {names.finalizer_of(m) for m in facts.given_up}
    need(not removed & members - given_up, "members are waited for unless they are away and the grace is over")
    member = now["member"]
    for place in ("labels", "annotations"):
        wanted = set(part(member, place)) if member else set()
        ours = _carried(before, place) | wanted | MARKS | {names.ORIGIN}
        need(_names(part(before, place), part(after, place)) <= ours, f"others' {place} are not ours")


def _judge_release(now: dict[str, Obj | None], facts: Facts, operation: Patch, written: frozenset[str]) -> None:
    member, others = now["member"], facts.members - {facts.member}
    own = member is not None and whose(member, facts.member_uid)[0] == facts.member_uid
    if operation.side == "hub" or not own or not going(member) or now["hub"] is not None:
        return
    told = facts.told and operation.alone == "namespace"
    need(told or written >= others, "that the hub has no copy tells no member of a deletion")


def _judge_letting_go(now: dict[str, Obj | None], facts: Facts, operation: Patch, hub: Obj) -> None:
    member = now["member"]
    seen = Proof("member", member["metadata"]["uid"] if member else "")
    need(operation.proof == seen, "a member lets go of the hub object only when it provably has no copy")
    source = whose(hub, facts.hub_uid)
    copied = member is not None and whose(member, facts.member_uid) == source
    losing = facts.hub_kind_going or (facts.hub_namespace_going and source[0] != facts.hub_uid)
    need(not copied or losing, "a member that has a copy does not let go of the hub object")
    need(not (losing and operation.ends), "what the hub loses as a whole has not ended")


def _judge_bury(now: dict[str, Obj | None], facts: Facts, operation: Bury) -> None:
    hub, member = now["hub"], now["member"]
    need(not facts.quarantined, "nothing is buried on a hub that is not known")
    if hub is None:
        need(going(member) and member is not None, "only what goes is buried")
        assert member is not None
        need(whose(member, facts.member_uid) == (facts.member_uid, operation.origin_uid), "each buries its own")
        need(operation.pending and operation.proof == Proof("hub"), "a loss is proven")
        need(set(operation.pending) == facts.members - {facts.member}, "a loss may have reached every member")
        return
    need(operation.pending, "a tombstone is for somebody")
    need(set(operation.pending) & facts.given_up, "only for members that were waited for long enough is one written")
    need(hub is not None and going(hub), "only what goes is buried")
    assert hub is not None
    need(whose(hub, facts.hub_uid) == (facts.member_uid, operation.origin_uid), "each buries its own")
    alive = member is not None and member["metadata"]["uid"] == operation.origin_uid and not going(member)
    need(not alive, "the living are not buried")
    holders = {m for m in facts.members if names.finalizer_of(m) in finalizers(hub)}
    need(
        set(operation.pending) == holders, "whoever has let go needs no tombstone, and there is but one for the others"
    )
    need(member is not None or operation.proof == Proof("member"), "absence is proven before it buries")


def _judge_acknowledge(now: dict[str, Obj | None], facts: Facts, operation: Acknowledge) -> None:
    member = now["member"]
    need(not facts.quarantined, "nothing is acknowledged to a hub that is not known")
    need(operation.tombstone in facts.tombstones, "only what was asked is acknowledged")
    proven = Proof("member", member["metadata"]["uid"] if member else "")
    need(operation.proof == proven, "a member acknowledges only when it provably has no copy")
    copied = member is not None and whose(member, facts.member_uid)[0] != facts.member_uid
    holds = copied and member is not None and whose(member, facts.member_uid)[1] == operation.tombstone
    need(not holds, "a member that has the copy does not acknowledge")


def judge_rest(member: Obj | None, hub: Obj | None, facts: Facts) -> None:
    """When nothing is left to do, what lives is everywhere and says the same. Raises Wrong."""
    native = member is not None and whose(member, facts.member_uid)[0] == facts.member_uid
    kept = member is not None and part(member, "annotations").get(names.SYNC_STATE) == names.KEPT
    if facts.quarantined or going(member) or going(hub) or (native and kept):
        return
    if hub is None:
        need(not native, "what was created here is announced")
    elif member is None:
        need(whose(hub, facts.hub_uid)[0] == facts.member_uid, "what lives on the hub has a copy here")
    elif whose(member, facts.member_uid) == whose(hub, facts.hub_uid):
        _judge_equal(member, hub, facts)


def _judge_equal(member: Obj, hub: Obj, facts: Facts) -> None:
    native = whose(member, facts.member_uid)[0] == facts.member_uid
    origin, copy = (member, hub) if native else (hub, member)
    travelled = not native and whose(hub, facts.hub_uid)[0] != facts.hub_uid
    need(_fields(origin) == _fields(copy), "a copy has the fields of its origin, and no others")
    for place in ("labels", "annotations"):
        keys = _carried(origin, place) if travelled else {k for k in part(origin, place) if not k.startswith("tmc.io/")}
        wanted = {k: part(origin, place)[k] for k in keys - {names.LAST_APPLIED} if k in part(origin, place)}
        need(wanted.items() <= part(copy, place).items(), f"a copy has the {place} of its origin")
        need(_carried(copy, place) == set(wanted), f"a copy knows which {place} travelled")
