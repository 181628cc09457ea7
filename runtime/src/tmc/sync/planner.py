# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner: what is on the member, on the hub, and known of the fabric -> what to do next.

Pure and total: no I/O, no clock, no memory; the same input gives the same answer, and an answer that is carried out
leads to an input whose answer is empty. The shell around it looks again after every change, so a plan is the next
step, not the whole way.

Who is who, for the object of one name:

| member has      | hub has             | step                                                                   |
|-----------------|---------------------|------------------------------------------------------------------------|
| own             | nothing             | finalizer on the own object, then the hub copy (write ahead)           |
| own             | its hub copy        | spec and metadata up; status down, or up when this is the processor    |
| own             | hub copy, older uid | delete that hub copy: its origin is gone, this object has its name     |
| own             | somebody else's     | NameConflict: off with our finalizer, tell the user, touch nothing     |
| own, deleting   | its hub copy        | delete the hub copy; after the grace: tombstone, strip the finalizers  |
| own, deleting   | nothing             | release the own object (after a live read of the hub); first a         |
|                 |                     | tombstone for all members, unless the hub copy was seen going by itself |
| nothing         | another's           | own finalizer on the hub object, then the copy                         |
| copy            | its source          | restore or update the copy; status                                     |
| copy, older uid | another's           | delete the copy: the hub gave the name to another object               |
| copy            | source, deleting    | delete the copy (after a live read of the hub), wait for its finalizers |
| nothing         | source, deleting    | own finalizer off the hub object (after a live read of the member)     |
| copy            | nothing             | keep it, unless a tombstone names it or it ended here: absence never   |
|                 |                     | deletes                                                                |
| nothing         | our hub copy        | keep it, unless its origin object ended here                           |
| nothing         | ours, deleting      | after the grace: tombstone, strip the finalizers                       |
| copy            | source, its kind or | keep the copy, own finalizer off the hub object: that the hub loses    |
|                 | namespace goes      | them all says nothing of any origin                                    |
| kept            | anything            | left alone: a copy that outlived its origin by `onOriginDeleted: Keep` |

Of what is nested too deep only the metadata is known: it is let go of like any other, and nothing else is done.

In quarantine, when the hub is not the one this member knows, only the first two rows hold, and only towards the hub:
own objects are announced and pushed, a processor's status goes up, and nothing else is done.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from tmc.sync import names
from tmc.sync.facts import Facts
from tmc.sync.held import hold_once, let_go, take_hold
from tmc.sync.image import Image, born, changes, image_of_copy, image_of_origin
from tmc.sync.objects import (
    Object,
    Origin,
    alike,
    annotations_of,
    finalizers_of,
    is_deleting,
    is_outline,
    marked_origin,
    metadata,
    origin_on,
    status_of,
    uid_of,
)
from tmc.sync.operations import Acknowledge, Bury, Create, Delete, Operation, Patch, Proof, Scope, Side, Tell
from tmc.sync.patches import PatchOps, guarded, pointer, with_annotation, with_finalizers
from tmc.sync.status import carried_status

STATUS_PENDING_PATH = f"/metadata/annotations/{pointer(names.STATUS_PENDING)}"


def plan(member: Object | None, hub: Object | None, facts: Facts) -> list[Operation]:
    """The next operations for the object of one name, to be carried out in order; empty: all is as it should be."""
    if facts.quarantined:
        return _in_quarantine(member, hub, facts)
    operations: list[Operation]
    if member is not None and _copied_from(member, facts) is None:
        operations = _kept(member, hub, facts) if _is_kept(member) else _own(member, hub, facts)
    elif hub is not None:
        operations = _guest(member, hub, facts)
    elif member is not None:
        operations = _orphan(member, facts)
    else:
        operations = []
    return operations + _acknowledged(member, facts)


def _in_quarantine(member: Object | None, hub: Object | None, facts: Facts) -> list[Operation]:
    """A hub that may be an older or another one is told what is true here, and believed in nothing."""
    if member is None or is_deleting(member):
        return []
    known = _copied_from(member, facts)
    if known is None and hub is None:
        return [] if _is_kept(member) else _announce(member, facts)
    if hub is None or is_deleting(hub) or _hub_origin(hub, facts).uid != (known.uid if known else uid_of(member)):
        return []
    pushed = _push(member, hub, facts) if known is None and not is_outline(member, hub) else []
    return [*pushed, *(op for op in _status(member, hub, facts) if isinstance(op, Patch) and op.side == "hub")]


def _copied_from(member: Object, facts: Facts) -> Origin | None:
    marked = marked_origin(member)
    return marked if marked is not None and marked.cluster_uid != facts.member_uid else None


# --- an object that was created on this member --------------------------------------------------------------


def _own(own: Object, hub: Object | None, facts: Facts) -> list[Operation]:
    if hub is None:
        return _announce(own, facts)
    if origin_on(hub, facts.hub, facts.hub_uid).cluster_uid != facts.member_uid:
        return _lost_the_name(own, hub, facts)
    if is_deleting(own):
        return _withdraw(own, hub, facts)
    if is_deleting(hub):
        return _give_up_waiting(hub, facts, bury=_hub_origin(hub, facts).uid != uid_of(own))
    if _hub_origin(hub, facts).uid != uid_of(own):
        return [Delete("hub", uid_of(hub), "its origin object is gone", Proof("member", uid_of(own)))]
    if is_outline(own, hub):
        return []
    status, spec = _status(own, hub, facts), _push(own, hub, facts)
    # A spec that is refused does not keep back the status of what is being worked on; and a note of trouble goes last:
    # were it first, an object that is refused again and again would be noted as often.
    steps = [*spec, *status] if facts.processor == facts.member else [*status, *spec]
    return [*_hold(own), *steps, *_untroubled(own)]


def _hub_origin(hub: Object, facts: Facts) -> Origin:
    return origin_on(hub, facts.hub, facts.hub_uid)


def _announce(own: Object, facts: Facts) -> list[Operation]:
    held = names.SYNC_FINALIZER in finalizers_of(own)
    if is_deleting(own):
        return _release(own, facts) if held else []
    if is_outline(own):
        return []
    if not held:
        return _hold(own, _without_trouble(own))
    image = _image_of_own(own, facts)
    others = [names.finalizer_of(m) for m in facts.members if m != facts.member]
    return [Create("hub", born(image, own, others, waits_for_status=False), "announce", _aim(image))]


def _release(own: Object, facts: Facts) -> list[Operation]:
    """The hub has no copy. If that says nothing of those on the members, a tombstone does."""
    if facts.told:
        return [replace(_unhold(own, "no copy is left", Proof("hub")), alone="namespace")]
    release = _unhold(own, "all are told", Proof("hub"))
    others = tuple(sorted(facts.members - {facts.member}))
    return [Bury(uid_of(own), others, Proof("hub"), "its hub copy is gone"), release] if others else [release]


def _hold(own: Object, more: PatchOps | None = None) -> list[Operation]:
    """Our finalizer on the origin object; `more` goes with it in one write."""
    if names.SYNC_FINALIZER in finalizers_of(own):
        return []
    ops = with_finalizers(own, [*finalizers_of(own), names.SYNC_FINALIZER])
    return [Patch("member", guarded([*ops, *(more or ())], own), "hold the origin object")]


def _untroubled(own: Object) -> list[Operation]:
    ops = _without_trouble(own)
    return [Patch("member", guarded(ops, own), "all is well again")] if ops else []


def _without_trouble(own: Object) -> PatchOps:
    if names.SYNC_STATE not in annotations_of(own):
        return []
    return [{"op": "remove", "path": f"/metadata/annotations/{pointer(names.SYNC_STATE)}"}]


def _unhold(own: Object, why: str, proof: Proof | None) -> Patch:
    left = [f for f in finalizers_of(own) if f != names.SYNC_FINALIZER]
    return Patch("member", guarded(with_finalizers(own, left), own), why, proof=proof, ends=uid_of(own))


def _lost_the_name(own: Object, hub: Object, facts: Facts) -> list[Operation]:
    """The hub gave this name to another cluster's object; ours stays as it is and syncs when that one is gone."""
    operations: list[Operation] = []
    if is_deleting(hub):
        operations += _let_go(hub, facts, instead=uid_of(own))
    held = names.SYNC_FINALIZER in finalizers_of(own)
    if is_deleting(own):
        return operations + ([_unhold(own, "the name is another's", Proof("hub", uid_of(hub)))] if held else [])
    ops: PatchOps = []
    if held:
        ops += with_finalizers(own, [f for f in finalizers_of(own) if f != names.SYNC_FINALIZER])
    if annotations_of(own).get(names.SYNC_STATE) != names.NAME_CONFLICT:
        ops += with_annotation(own, names.SYNC_STATE, names.NAME_CONFLICT)
    if ops:
        winner = _hub_origin(hub, facts).cluster
        message = (
            f"the name {metadata(own)['name']} is taken in the fabric by an object created on cluster {winner}; "
            f"this one stays on {facts.member} only. Delete that one or rename this one: it then syncs by itself"
        )
        # A living object loses our finalizer only when the name is really taken, not when an old view says so.
        proof = Proof("hub", uid_of(hub)) if held else None
        operations.append(Patch("member", guarded(ops, own), "NameConflict", proof=proof))
        operations.append(Tell("member", names.NAME_CONFLICT, message))
    return operations


def _withdraw(own: Object, hub: Object, facts: Facts) -> list[Operation]:
    same = _hub_origin(hub, facts).uid == uid_of(own)
    if not is_deleting(hub):
        # That an older object's hub copy is left may be the news of yesterday: then what is seen going is gone already.
        proof = None if same else Proof("member", uid_of(own))
        return [Delete("hub", uid_of(hub), "its origin object is being deleted", proof)]
    if not same:
        return _give_up_waiting(hub, facts, bury=True)
    # Where members let go and kept their copies, a tombstone for all of them comes before the release.
    bury = not _no_evidence(_hub_origin(hub, facts), facts)
    return [*_status(own, hub, facts), *_give_up_waiting(hub, facts, bury=bury)]


def _give_up_waiting(hub: Object, facts: Facts, *, bury: bool, proof: Proof | None = None) -> list[Operation]:
    """Members that are away are told by a tombstone, so that the name becomes free in bounded time.

    It names all that hold the hub copy: there is one for each object, and who is waited for now may be away next.
    Members that have left the fabric are not waited for. A hub copy that was deleted while its origin object lives is
    stripped without a tombstone: it will be made anew.
    """
    held = finalizers_of(hub)
    holders = {m for m in facts.members if names.finalizer_of(m) in held}
    waited_for = {names.finalizer_of(m) for m in holders - facts.given_up}
    left = [f for f in held if f in waited_for or not f.startswith(names.PREFIX)]
    if facts.quarantined or len(left) == len(held):
        return []
    strip = Patch("hub", guarded(with_finalizers(hub, left), hub), "not waited for", proof=proof)
    if not (bury and holders & facts.given_up):
        return [strip]
    return [Bury(_hub_origin(hub, facts).uid, tuple(sorted(holders)), proof), strip]


def _push(own: Object, hub: Object, facts: Facts) -> list[Operation]:
    image = _image_of_own(own, facts)
    ops = changes(image, hub)
    return [Patch("hub", guarded(ops, hub), "the origin changed", aim=_aim(image))] if ops else []


# --- a copy of an object that was created elsewhere ---------------------------------------------------------


def _guest(copy: Object | None, hub: Object, facts: Facts) -> list[Operation]:
    source = _hub_origin(hub, facts)
    if copy is not None and not is_deleting(copy):
        known = _copied_from(copy, facts)
        if known is not None and known.uid != source.uid:
            why = "the hub gave its name to another object"
            return [_remove(copy, why, facts, Proof("hub", uid_of(hub)), braked=not _is_buried(known, facts))]
        if is_deleting(hub) and _no_evidence(source, facts):
            return _let_go(hub, facts, instead=uid_of(copy))
        if is_deleting(hub):
            alone: Scope = "kind" if source.cluster_uid == facts.hub_uid else "namespace"
            return [_remove(copy, "deleted on its origin", facts, Proof("hub", uid_of(hub)), alone=alone)]
    if is_deleting(hub):
        if copy is not None:
            return _status(copy, hub, facts)
        if source.cluster_uid == facts.member_uid:  # our finalizer was torn off the origin object: nobody else waits
            return _give_up_waiting(hub, facts, bury=True, proof=Proof("member"))
        return _let_go(hub, facts, ends="" if _no_evidence(source, facts) else source.uid)
    if source.cluster_uid == facts.member_uid:  # without its origin object: that absence is no evidence
        late = copy is None and source.uid in facts.ended
        return [Delete("hub", uid_of(hub), "made of what has ended", Proof("member"))] if late else []
    return [] if is_outline(copy, hub) else _carry(copy, hub, source, facts)


def _carry(copy: Object | None, hub: Object, source: Origin, facts: Facts) -> list[Operation]:
    image = _image_on_hub(hub, source, facts)
    if names.finalizer_of(facts.member) not in finalizers_of(hub):
        return [take_hold(hub, facts.member, facts.members)]
    if doubles := hold_once(hub, facts.member):
        return [*doubles]
    if copy is None:
        waits = _restores(None, hub, facts)
        body = born(image, hub, (), waits_for_status=waits)
        return [Create("member", body, "copy", _aim(image), image.origin.cluster)]
    if is_deleting(copy):
        return _status(copy, hub, facts)
    return _maintain(copy, hub, image, facts)


def _no_evidence(source: Origin, facts: Facts) -> bool:
    """The hub's object goes with its whole kind or namespace, not because its origin was deleted."""
    return facts.hub_kind_going or (facts.hub_namespace_going and source.cluster_uid != facts.hub_uid)


def _remove(
    copy: Object, why: str, facts: Facts, proof: Proof | None = None, *, alone: Scope = "", braked: bool = False
) -> Operation:
    """What becomes of a copy whose origin was deleted: it goes as well, or it stays and is nobody's copy any more."""
    if not facts.keeps:
        return Delete("member", uid_of(copy), why, proof, alone, braked)
    ops: PatchOps = [{"op": "remove", "path": f"/metadata/labels/{pointer(names.ORIGIN)}"}]
    origin = (names.ORIGIN_UID, names.ORIGIN_CLUSTER_UID, names.ORIGIN_GENERATION, names.ORIGIN_KEYS)
    marks = [mark for mark in (*origin, names.STATUS_PENDING) if mark in annotations_of(copy)]
    ops += [{"op": "remove", "path": f"/metadata/annotations/{pointer(mark)}"} for mark in marks]
    ops += with_annotation(copy, names.SYNC_STATE, names.KEPT)
    return Patch("member", guarded(ops, copy), f"kept, although {why}", proof=proof, alone=alone)


def _is_kept(own: Object) -> bool:
    """It outlived its origin and belongs to no fabric. Our finalizer on it says otherwise: then somebody typed that."""
    return annotations_of(own).get(names.SYNC_STATE) == names.KEPT and names.SYNC_FINALIZER not in finalizers_of(own)


def _kept(own: Object, hub: Object | None, facts: Facts) -> list[Operation]:
    return _let_go(hub, facts, instead=uid_of(own)) if hub is not None and is_deleting(hub) else []


def _image_of_own(own: Object, facts: Facts) -> Image:
    return image_of_origin(own, _counted(origin_on(own, facts.member, facts.member_uid), facts))


def _image_on_hub(hub: Object, source: Origin, facts: Facts) -> Image:
    source = _counted(source, facts)
    return image_of_origin(hub, source) if source.cluster_uid == facts.hub_uid else image_of_copy(hub, source)


def _counted(origin: Origin, facts: Facts) -> Origin:
    """Without the status subresource every status write counts as a generation: that number says nothing here."""
    return origin if facts.has_status else replace(origin, generation=0)


def _aim(image: Image) -> str:
    """A short fingerprint of what a copy is to look like."""
    text = json.dumps([image.fields, image.marked_labels(), image.marked_annotations()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _maintain(copy: Object, hub: Object, image: Image, facts: Facts) -> list[Operation]:
    status = _status(copy, hub, facts)
    ops = changes(image, copy, waits_for_status=_restores(copy, hub, facts))
    if not ops:
        return status
    if all(op["path"] == STATUS_PENDING_PATH for op in ops):
        return [*status, Patch("member", guarded(ops, copy), "status is back")]
    known, cluster = _copied_from(copy, facts), image.origin.cluster
    same_origin = facts.has_status and known is not None and known.generation == image.origin.generation
    drift = same_origin and _fields_differ(ops)
    why, aim = "follow the origin", _aim(image)
    return [*status, Patch("member", guarded(ops, copy), why, aim=aim, copy_of=cluster, drift=drift)]


def _let_go(hub: Object, facts: Facts, *, instead: str = "", ends: str = "") -> list[Operation]:
    """Acknowledge the deletion: no copy is here (any more); `instead` is the uid of what has its name here.

    `ends` is the uid of the origin, unless the deletion says nothing of that.
    """
    return [*let_go(hub, facts.member, facts.members, Proof("member", instead), ends=ends)]


def _orphan(copy: Object, facts: Facts) -> list[Operation]:
    known = _copied_from(copy, facts)
    if known is None or is_deleting(copy):
        return []
    if _is_buried(known, facts):
        return [_remove(copy, "its tombstone says that it was deleted on its origin", facts)]
    if known.uid in facts.ended:
        return [_remove(copy, "made of what has ended", facts, Proof("hub"))]
    return []


def _is_buried(known: Origin, facts: Facts) -> bool:
    return known.uid in map(names.buried_uid, facts.tombstones)


def _acknowledged(member: Object | None, facts: Facts) -> list[Operation]:
    known = _copied_from(member, facts) if member is not None else None
    present = known.uid if known is not None else ""
    proof = Proof("member", uid_of(member) if member is not None else "")
    return [Acknowledge(name, proof) for name in sorted(facts.tombstones) if names.buried_uid(name) != present]


# --- status -------------------------------------------------------------------------------------------------


def _restores(copy: Object | None, hub: Object, facts: Facts) -> bool:
    """The processor's copy was lost and made anew: its status comes back from the hub before anybody works on it."""
    return facts.processor == facts.member and bool(status_of(hub)) and not (copy is not None and status_of(copy))


def _status(member: Object, hub: Object, facts: Facts) -> list[Operation]:
    if origin_on(member, facts.member, facts.member_uid).uid != _hub_origin(hub, facts).uid:
        return []  # the name went on to another object
    upwards = facts.processor == facts.member and not _restores(member, hub, facts)
    source, target = (member, hub) if upwards else (hub, member)
    if not status_of(source) or is_outline(member, hub):
        return []
    # Without the subresource a status write counts as a generation itself: a mapped number would never stand still.
    wanted = carried_status(source, target) if facts.has_status else status_of(source)
    if alike(wanted, status_of(target)):
        return []
    patch: PatchOps = guarded([{"op": "add", "path": "/status", "value": wanted}], target)
    side: Side = "hub" if upwards else "member"
    return [Patch(side, patch, "status", "status" if facts.has_status else "")]


# --- small patches ------------------------------------------------------------------------------------------


def _fields_differ(ops: PatchOps) -> bool:
    return any(not str(op["path"]).startswith("/metadata") for op in ops)
