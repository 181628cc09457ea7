# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Carrying out one operation of a plan against the API servers.

Nothing is retried blindly. A refusal that means "your view is old" (409, a proof that fails, a patch's own `test` that
fails) reads the object afresh and asks for a new plan; a refusal that means "never like this" (403, any other 422, 413)
is told to the user and tried again rarely (`refusals.py`), and what does not rest on it goes on meanwhile; all else is
raised, and the work queue backs off.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import NoReturn

from tmc.api.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound, PayloadTooLarge
from tmc.api.resource import NAMESPACES, Resource
from tmc.core.events import EventRecorder
from tmc.core.keys import ObjectKey
from tmc.core.store import MOST_LEVELS, Store
from tmc.core.workqueue import RetryAfter
from tmc.sync import names
from tmc.sync.abreast import carries_over
from tmc.sync.ends import Ends
from tmc.sync.fabric import TOMBSTONES, tombstone_body
from tmc.sync.objects import (
    Object,
    annotations_of,
    finalizers_of,
    is_deleting,
    is_outline,
    labels_of,
    marked_origin,
    resource_version,
    uid_of,
)
from tmc.sync.operations import Acknowledge, Bury, Create, Delete, Operation, Patch, Proof, Side, Tell
from tmc.sync.patches import PatchOps, guarded, passes, pointer, seen_version
from tmc.sync.patience import Patience
from tmc.sync.refusals import Refusals
from tmc.sync.synced_kind import SyncedKind

log = logging.getLogger(__name__)

LAGGING_VIEW_SECONDS = 0.5
SECOND_OPINION_SECONDS = 2.0  # an API server that has just started may refuse what it will take a moment later
SLOW_LANE_SECONDS = 30.0
NAMESPACE_SECONDS = 5.0  # how often to look for a namespace that somebody else has to make
_FIGURES = re.compile(r"\S*(?:\d\S*){4}")  # words with four digits and more: times and numbers of requests
NAMESPACE_TERMINATING = "NamespaceTerminating"


class Outcome(Enum):
    """What follows an operation: go on with the plan, make a new plan, or wait for the watch to tell more.

    `UNCHANGED` is `DONE` where the server took a patch and nothing came of it: it prunes or defaults what is written.
    `REFUSED`: the server does not take what was to be carried over, now or a little while ago; go on with what does not
    rest on it.
    """

    DONE = auto()
    UNCHANGED = auto()
    REFUSED = auto()
    LOOK_AGAIN = auto()
    WAIT = auto()


class Executor:
    """Carries out operations on the objects of one kind."""

    def __init__(
        self, ends: Ends, kind: SyncedKind, resources: Mapping[Side, Resource], stores: Mapping[Side, Store]
    ) -> None:
        self._ends = ends
        self.kind = kind  # may be replaced: another policy, processor or epoch
        self._resources = resources
        self._stores = stores
        self._recorders = {side: EventRecorder(client, "tmc-syncer") for side, client in ends.clients.items()}
        self._futile: defaultdict[ObjectKey, dict[tuple[Side, str], bytes]] = defaultdict(dict)
        self.refusals = Refusals()
        self.patience = Patience()
        self.writes: defaultdict[str, int] = defaultdict(int)
        self.troubles: dict[ObjectKey, str] = {}  # what is refused or waited for, in words, until it is settled

    async def carry_out(self, key: ObjectKey, operation: Operation) -> Outcome:
        """Do it.

        Raises:
            RetryAfter: it cannot be done now; look again after a while.
            ApiError, Unreachable: the API server did not do it.
        """
        if isinstance(operation, Patch) and carries_over(operation) and self._rests(key, operation):
            return Outcome.REFUSED
        proof = getattr(operation, "proof", None)
        if proof is not None and not await self._holds(key, proof):
            return Outcome.LOOK_AGAIN
        if not self._ends.leading():  # after a freeze timers fire late: before the elector has noticed, too
            raise RetryAfter(LAGGING_VIEW_SECONDS)
        try:
            outcome = await self._dispatch(key, operation)
        except (Conflict, AlreadyExists) as error:
            self._view_was_old(key, operation, error)
            await self._read_afresh(key, getattr(operation, "side", "hub"))
            return Outcome.LOOK_AGAIN
        except NotFound as error:
            return await self._not_found(key, operation, error)
        except Forbidden as error:
            if NAMESPACE_TERMINATING in error.causes:
                await self._wait_for_namespace(key, operation, "is being deleted")
            return await self._refused(key, operation, error)
        except (Invalid, PayloadTooLarge) as error:
            if isinstance(operation, Patch) and isinstance(error, Invalid) and await self._overtaken(key, operation):
                self._view_was_old(key, operation, error)
                return Outcome.LOOK_AGAIN
            return await self._refused(key, operation, error)
        self.refusals.done(key, operation)
        return outcome

    def _rests(self, key: ObjectKey, patch: Patch) -> bool:
        return self.refusals.rests(key, patch, lambda: self._fingerprint(key, patch))

    def _view_was_old(self, key: ObjectKey, operation: Operation, error: ApiError) -> None:
        self._ends.metrics.conflict(self.kind.name, getattr(operation, "side", "hub"))
        log.debug("view was old", extra={"key": str(key), "why": operation.why, "error": str(error)})

    async def _overtaken(self, key: ObjectKey, patch: Patch) -> bool:
        """Whether a `test` of a refused patch fails on the object as it is now: the answer alone does not tell.

        Raises RetryAfter when there is no such object any more.
        """
        if not any(op["op"] == "test" for op in patch.patch):
            return False
        found = await self._read_afresh(key, patch.side)
        if found is None:
            raise RetryAfter(LAGGING_VIEW_SECONDS)
        return not passes(patch.patch, found)

    @property
    def total_writes(self) -> int:
        """Writes that the API servers accepted so far, Events apart."""
        return sum(self.writes.values())

    def is_futile(self, key: ObjectKey, patch: Patch) -> bool:
        """Whether this very patch was taken before, to an object that looked the same, and changed nothing."""
        known = self._futile[key].get((patch.side, patch.why)) if key in self._futile else None
        return known is not None and known == self._fingerprint(key, patch)

    def _fingerprint(self, key: ObjectKey, patch: Patch) -> bytes:
        """Of the patch and of what it is applied to: once that is something else, the patch may be of use again."""
        target = self._stores[patch.side].get(key) or {}
        parts = {str(op["path"]).split("/")[1] for op in patch.patch[1:]}
        shown: Object = {part: target.get(part) for part in parts - {"metadata"}}
        if "metadata" in parts:
            shown["metadata"] = [labels_of(target), annotations_of(target), finalizers_of(target)]
        text = json.dumps([patch.subresource, patch.patch[1:], shown], sort_keys=True)
        return hashlib.sha256(text.encode()).digest()

    def settled(self, key: ObjectKey) -> None:
        """Nothing is left to do for this object: forget what was learnt on the way."""
        self._futile.pop(key, None)
        self.refusals.settled(key)
        self.patience.settled(key)
        self.troubles.pop(key, None)

    async def _dispatch(self, key: ObjectKey, operation: Operation) -> Outcome:
        match operation:
            case Create():
                return await self._create(operation)
            case Patch():
                return await self._patch(key, operation)
            case Delete():
                return await self._delete(key, operation)
            case Bury():
                return await self._bury(key, operation)
            case Acknowledge():
                return await self._acknowledge(operation)
            case Tell():
                return await self._tell(key, operation)

    async def _create(self, operation: Create) -> Outcome:
        side = operation.side
        created = await self._ends.clients[side].create(
            self._resources[side], operation.body, field_manager=names.FIELD_MANAGER
        )
        self._count(operation)
        self._stores[side].remember(created)
        return Outcome.DONE

    async def _patch(self, key: ObjectKey, operation: Patch) -> Outcome:
        patched = await self._ends.clients[operation.side].patch(
            self._resources[operation.side],
            key.name,
            key.namespace,
            operation.patch,
            field_manager=names.FIELD_MANAGER,
            subresource=operation.subresource,
        )
        self._count(operation)
        if is_deleting(patched) and not finalizers_of(patched):
            # That was the last one: the answer shows an object that is gone.
            self.patience.ended(key, operation, uid_of(patched))
            return Outcome.WAIT
        if resource_version(patched) == seen_version(operation.patch):
            # The server changed nothing (it prunes or defaults what we would write): do not ask it again and again.
            self._futile[key][(operation.side, operation.why)] = self._fingerprint(key, operation)
            return Outcome.UNCHANGED
        self._stores[operation.side].remember(patched)
        return Outcome.DONE

    async def _delete(self, key: ObjectKey, operation: Delete) -> Outcome:
        side = operation.side
        await self._ends.clients[side].delete(self._resources[side], key.name, key.namespace, uid=operation.uid)
        self._count(operation)
        self.patience.ended(key, operation, operation.uid)
        return Outcome.WAIT

    async def _bury(self, key: ObjectKey, operation: Bury) -> Outcome:
        origin = (self._ends.member, self._ends.member_uid, operation.origin_uid)
        body = tombstone_body(self.kind, key, origin, list(operation.pending))
        try:
            await self._ends.clients["hub"].create(TOMBSTONES, body, field_manager=names.FIELD_MANAGER)
        except AlreadyExists:
            return Outcome.DONE  # an earlier try got as far as this
        self._count(operation)
        return Outcome.DONE

    async def _acknowledge(self, operation: Acknowledge) -> Outcome:
        hub = self._ends.clients["hub"]
        try:
            tombstone = await hub.get(TOMBSTONES, operation.tombstone)
        except NotFound:
            return Outcome.WAIT
        pending = [m for m in tombstone["spec"]["pending"] if m != self._ends.member]
        if pending:
            ops = guarded([{"op": "replace", "path": "/spec/pending", "value": pending}], tombstone)
            await hub.patch(TOMBSTONES, operation.tombstone, "", ops, field_manager=names.FIELD_MANAGER)
        else:
            await hub.delete(TOMBSTONES, operation.tombstone, uid=uid_of(tombstone))
        self._count(operation)
        return Outcome.WAIT

    async def _tell(self, key: ObjectKey, operation: Tell) -> Outcome:
        obj = self._stores[operation.side].get(key)
        if obj is not None:
            resource = self._resources[operation.side]
            api_version = f"{resource.group}/{resource.version}" if resource.group else resource.version
            await self._recorders[operation.side].emit(
                obj, resource.kind, api_version, operation.reason, operation.message, warning=operation.warning
            )
        return Outcome.DONE

    def _count(self, operation: Operation, why: str = "") -> None:
        why = why or operation.why
        self.writes[why] += 1
        self._ends.metrics.written(self.kind.name, getattr(operation, "side", "hub"), why)

    async def _holds(self, key: ObjectKey, proof: Proof) -> bool:
        """Whether a live read confirms the proof; if not, the view has been brought up to date."""
        found = await self._read_afresh(key, proof.side)
        if found is None and proof.uid:
            raise RetryAfter(LAGGING_VIEW_SECONDS)
        return (uid_of(found) if found is not None else "") == proof.uid

    async def read_live(self, key: ObjectKey, side: Side) -> str:
        """The uid of the object as a consistent read shows it; the store remembers what that found.

        Raises:
            RetryAfter: there is none, which the watch has yet to tell.
            ApiError, Unreachable: the API server does not answer.
        """
        found = await self._read_afresh(key, side)
        if found is None:
            raise RetryAfter(LAGGING_VIEW_SECONDS)
        return uid_of(found)

    async def _read_afresh(self, key: ObjectKey, side: Side) -> Object | None:
        """A consistent read; the store remembers what it found. None: there is no such object."""
        try:
            found = await self._ends.clients[side].get(self._resources[side], key.name, key.namespace)
        except NotFound:
            return None
        self._stores[side].remember(found)
        return found

    async def _not_found(self, key: ObjectKey, operation: Operation, error: NotFound) -> Outcome:
        """A create misses its namespace; anything else acted on an object that is gone, which the watch will tell."""
        if not isinstance(operation, Create):
            raise RetryAfter(LAGGING_VIEW_SECONDS) from error
        if not key.namespace:
            raise error  # no namespace could be missing: the kind itself is
        try:
            await self._ends.clients[operation.side].get(NAMESPACES, key.namespace)
        except NotFound:
            if self.kind.namespaces == "Wait":
                await self._wait_for_namespace(key, operation, "does not exist")
            return await self._make_namespace(key, operation)
        raise error

    async def _make_namespace(self, key: ObjectKey, operation: Create) -> Outcome:
        if not self._ends.leading():
            raise RetryAfter(LAGGING_VIEW_SECONDS)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": key.namespace}}
        try:
            await self._ends.clients[operation.side].create(NAMESPACES, body, field_manager=names.FIELD_MANAGER)
        except AlreadyExists:
            return Outcome.LOOK_AGAIN
        except (Forbidden, Invalid) as error:
            return await self._refused(key, operation, error, f"its namespace {key.namespace}")
        self._count(operation, "namespace")
        return Outcome.LOOK_AGAIN

    async def _wait_for_namespace(self, key: ObjectKey, operation: Operation, why: str) -> NoReturn:
        cluster = self._cluster_of(operation)
        await self._note_trouble(
            key, names.WAITING, f"waits for namespace {key.namespace}, which {why} on cluster {cluster}"
        )
        raise RetryAfter(NAMESPACE_SECONDS)

    async def _refused(self, key: ObjectKey, operation: Operation, error: ApiError, what: str = "") -> Outcome:
        """Only a refusal that stays is told, on the object that stands on this member; `what` is refused, if not this.

        Raises RetryAfter where all that was planned behind it rests on it.
        """
        self._ends.metrics.refused(self.kind.name, getattr(operation, "side", "hub"))
        message, seconds = "", SECOND_OPINION_SECONDS
        if self.refusals.stays(key, operation):
            cluster, seconds = self._cluster_of(operation), SLOW_LANE_SECONDS
            message = f"cluster {cluster} refused this object ({what or operation.why}): {error.message}"
            await self._note_trouble(key, names.REJECTED, self.refusals.words(key, operation, message))
        made = self._fingerprint(key, operation) if isinstance(operation, Patch) else b""
        self.refusals.note(key, operation, made, seconds, message)
        if isinstance(operation, Create | Patch) and carries_over(operation):
            return Outcome.REFUSED
        raise RetryAfter(seconds) from error

    def _cluster_of(self, operation: Operation) -> str:
        return self._ends.member if getattr(operation, "side", "hub") == "member" else self._ends.hub

    async def too_deep(self, key: ObjectKey) -> RetryAfter:
        """Told like a refusal: of this object one of the two clusters shows what cannot be carried."""
        seen = {side: store.get(key) for side, store in self._stores.items()}
        cluster = self._ends.member if is_outline(seen["member"]) else self._ends.hub
        state = annotations_of(seen["member"] or {}).get(names.SYNC_STATE)
        if state != names.KEPT and not (state == names.NAME_CONFLICT and seen["hub"] is not None):
            await self._note_trouble(
                key,
                names.REJECTED,
                f"on cluster {cluster} this object is nested deeper than {MOST_LEVELS} levels: it is not carried "
                "until it is less deep; what other clusters have of it stays as it is",
            )
        return RetryAfter(SLOW_LANE_SECONDS)

    async def _note_trouble(self, key: ObjectKey, state: str, message: str) -> None:
        """Remember it, and tell the user where the object is his own; the same in other figures is no news."""
        known = self.troubles.get(key)
        if known is not None and _FIGURES.sub("", known) == _FIGURES.sub("", message):
            message = known
        if known != message:
            log.warning("not carried", extra={"key": str(key), "kind": self.kind.name, "state": state, "why": message})
            self.troubles[key] = message
        own = self._stores["member"].get(key)
        if own is None or is_deleting(own) or marked_origin(own) is not None:
            return
        if annotations_of(own).get(names.SYNC_STATE) != state:
            with suppress(Forbidden, Invalid, PayloadTooLarge):  # then the Event alone has to say it
                await self._mark(key, own, state)
        await self._tell(key, Tell("member", state, message))

    async def _mark(self, key: ObjectKey, own: Object, state: str) -> None:
        path = f"/metadata/annotations/{pointer(names.SYNC_STATE)}"
        ops: PatchOps = [{"op": "add", "path": path, "value": state}]
        if not annotations_of(own):
            ops = [{"op": "add", "path": "/metadata/annotations", "value": {names.SYNC_STATE: state}}]
        patched = await self._ends.clients["member"].patch(
            self._resources["member"], key.name, key.namespace, guarded(ops, own), field_manager=names.FIELD_MANAGER
        )
        self._ends.metrics.written(self.kind.name, "member", f"note {state}")
        self._stores["member"].remember(patched)
