# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""One synced resource between this member and the hub: two reflections, one queue, one worker per object."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from tmc.api.pages import slices
from tmc.api.resource import Resource
from tmc.core.keys import ObjectKey, key_of
from tmc.core.reflector import Reflector, any_tempo
from tmc.core.workqueue import RetryAfter, WorkQueue
from tmc.sync import names
from tmc.sync.abreast import OTHER, Abreast, carries_over
from tmc.sync.ended import Ended
from tmc.sync.ends import Ends
from tmc.sync.executor import Executor, Outcome
from tmc.sync.fabric import Fabric
from tmc.sync.facts import Facts
from tmc.sync.fights import Fights, news
from tmc.sync.objects import Object, finalizers_of, is_deleting, is_outline, marked_origin, metadata, uid_of
from tmc.sync.operations import Acknowledge, Bury, Create, Delete, Operation, Patch, Side, Tell
from tmc.sync.planner import STATUS_PENDING_PATH, plan
from tmc.sync.synced_kind import SyncedKind
from tmc.sync.takeover import TakeOver
from tmc.sync.told import Told

log = logging.getLogger(__name__)

WORKERS = 16
STEPS_AT_A_TIME = 12
STILL_THERE_SECONDS = 5.0  # how often to look who is away when a deletion takes longer than its grace
PHASES: dict[Side, float] = {"member": 0.0, "hub": 0.5}  # of a floor: when each side is compared


class KindSyncer:
    """Carries the objects of one kind. `kind` may be replaced at any time (another processor, epoch or grace)."""

    def __init__(
        self, ends: Ends, kind: SyncedKind, resources: Mapping[Side, Resource], fabric: Fabric, *, floor: float
    ) -> None:
        self._ends = ends
        self._kind = kind
        self._fabric = fabric
        self._resources = resources
        self._waiting = ends.metrics.waiting(kind.name)
        self._queue: WorkQueue[ObjectKey] = WorkQueue(kind.name)
        tempo = any_tempo()
        self._reflectors: dict[Side, Reflector] = {
            side: Reflector(
                ends.clients[side], resources[side], on_change=partial(self._noticed, side), floor=floor,
                on_deleted=partial(self._deleted, side),
                tempo=tempo, phase=phase,  # the two never compare at the same moment
            )
            for side, phase in PHASES.items()
        }  # fmt: skip
        stores = {side: reflector.store for side, reflector in self._reflectors.items()}
        self._stores = stores
        self._executor = Executor(ends, kind, resources, stores)
        self._take_over = TakeOver(kind.name, fabric, self._read_hub, self._queue.add)
        self._basis: object = None
        self._fights = Fights()
        self._ended = Ended()
        self._told = Told()
        self._abreast = Abreast()
        self._copies: set[ObjectKey] = set()  # the member's objects that stand for another cluster's

    async def run(self) -> None:
        """Sync until cancelled. Nothing is planned before both clusters were listed whole."""
        with self._ends.metrics.vitals.at_work(self._waiting):
            await self._run()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors.values():
                group.create_task(reflector.run())
            for reflector in self._reflectors.values():
                await reflector.wait_synced()
            log.info("in sync with both clusters", extra={"kind": self._kind.name})
            await self._count_copies()
            self._look_at_all()
            self._look_at_buried()
            self._take_over.notice()
            group.create_task(self._take_over.run())
            await self._queue.run(self._reconcile, workers=WORKERS)

    def _noticed(self, side: Side, key: ObjectKey) -> None:
        self._waiting.noticed(key, side)
        self._queue.add(key)

    def _deleted(self, side: Side, obj: Object) -> None:
        """An origin object that went at once, though we held it, has ended, and what was made of it meanwhile goes.

        An API server lets a DELETE overtake a finalizer that is being added (kubernetes/kubernetes issue 77988).
        """
        mine = names.SYNC_FINALIZER if side == "member" else names.finalizer_of(self._ends.member)
        origin = marked_origin(obj)
        here = self._ends.member_uid if side == "member" else self._ends.hub_uid
        is_origin = origin is None or origin.cluster_uid == here
        if is_origin and mine in finalizers_of(obj) and not is_deleting(obj):
            self._ended.add(uid_of(obj))

    def faults(self) -> frozenset[Side]:
        """The clusters on which the kind cannot be followed at present."""
        return frozenset(side for side, reflector in self._reflectors.items() if reflector.fault)

    def troubles(self) -> dict[ObjectKey, str]:
        """What is refused or waited for at present, in words, by object."""
        return dict(self._executor.troubles)

    def fabric_changed(self, kind: SyncedKind) -> None:
        """Something about the fabric changed; if every object's plan may depend on it, look at every object."""
        self._kind = self._executor.kind = kind
        basis = (
            kind,
            self._fabric.members,
            self._fabric.quarantined,
            self._fabric.takes_over(kind.name),
            self._fabric.hub_kind_terminating(kind.name),
            self._fabric.hub_namespaces_terminating,
            self._fabric.brake(kind.name).message,
        )
        if basis != self._basis:
            self._basis = basis
            self._executor.refusals.end_rests()
            self._take_over.notice()
            self._look_at_all()
        self._look_at_buried()

    def _look_at_all(self) -> None:
        for store in self._stores.values():
            keys = store.keys()
            for key in keys:
                self._queue.add(key)

    def _look_at_buried(self) -> None:
        for key in self._fabric.buried.keys(self._kind.name):
            self._queue.add(key)

    async def _count_copies(self) -> None:
        """Before the first is deleted: which share of them goes is what the brake asks."""
        store = self._stores["member"]
        for part in slices(list(store.keys())):
            for key in part:
                self._note_copy(key, store.get(key))
            await asyncio.sleep(0)  # others have their turn

    def _note_copy(self, key: ObjectKey, obj: Object | None) -> None:
        if obj is not None and self._is_from_elsewhere(obj):
            self._copies.add(key)
        else:
            self._copies.discard(key)

    def _is_from_elsewhere(self, obj: Object) -> bool:
        origin = marked_origin(obj)
        return origin is not None and origin.cluster_uid != self._ends.member_uid

    async def _read_hub(self) -> list[ObjectKey]:
        listed = await self._ends.clients["hub"].list(self._resources["hub"])
        for obj in listed.items:
            self._stores["hub"].remember(obj)
        return [key_of(obj) for obj in listed.items]

    async def _reconcile(self, key: ObjectKey) -> None:
        with self._waiting.at_work(key):
            await self._look_at(key)

    async def _look_at(self, key: ObjectKey) -> None:
        if not self._take_over.is_behind(key):
            return await self._bring_in_line(key)
        level = False
        try:
            await self._bring_in_line(key)
            level = True
        finally:
            self._take_over.looked_at(key, level=level)

    async def _bring_in_line(self, key: ObjectKey) -> None:
        for _ in range(STEPS_AT_A_TIME):
            seen = {side: store.get(key) for side, store in self._stores.items()}
            self._note_copy(key, seen["member"])
            self._note_carried(key, seen["hub"])
            operations = plan(seen["member"], seen["hub"], self._facts(key, seen))
            if not operations:
                if not any(seen.values()):
                    self._forget(key)
                self._remind(key, seen)
                if any(is_outline(obj) and not is_deleting(obj or {}) for obj in seen.values()):
                    raise await self._executor.too_deep(key)
                self._executor.settled(key)
                return
            if not await self._carry_out(key, operations):
                self._remind(key, seen)
                if rest := self._executor.refusals.rest(key):
                    raise RetryAfter(rest)
                return
        raise RetryAfter(1.0)

    async def _carry_out(self, key: ObjectKey, operations: list[Operation]) -> bool:
        """Whether another plan should be made at once."""
        touched: set[Side] = set()
        progress = in_vain = refused = False
        self._executor.refusals.among(key, operations)
        for operation in operations:
            if (isinstance(operation, Tell) and in_vain) or (refused and _notes_success(operation)):
                continue  # what it would tell of did not happen
            if isinstance(operation, Create | Patch):
                in_vain = self._has_to_wait(key, operation)
                if in_vain:
                    continue
                if operation.side in touched:
                    return True
            if (instead := await self._instead_of(key, operation)) is not None:
                return instead
            self._note_begun(key, operation)
            before, uid = self._executor.total_writes, self._uid_of_target(key, operation)
            outcome = await self._executor.carry_out(key, operation)
            in_vain = outcome in (Outcome.UNCHANGED, Outcome.REFUSED)
            refused = refused or outcome is Outcome.REFUSED
            if outcome in (Outcome.DONE, Outcome.WAIT):
                self._note_done(key, operation)
            if outcome not in (Outcome.DONE, Outcome.UNCHANGED, Outcome.REFUSED):
                return outcome is Outcome.LOOK_AGAIN
            if isinstance(operation, Create | Patch) and not in_vain:
                touched.add(operation.side)
                await self._note_written(key, operation, uid)
            progress = progress or (not in_vain and self._executor.total_writes > before)
        return progress

    async def _instead_of(self, key: ObjectKey, operation: Operation) -> bool | None:
        """None: carry it out. Otherwise the plan ends here; whether another one is made at once, or upon news."""
        if isinstance(operation, Delete | Patch) and self._awaits_news(key, operation):
            return False
        if isinstance(operation, Create | Patch) and await self._caught_up(key, operation):
            return True
        if isinstance(operation, Bury | Delete | Patch) and not await self._goes_alone(key, operation):
            return True
        if isinstance(operation, Delete) and operation.braked and not self._may_go(operation.uid):
            return False
        return None

    async def _caught_up(self, key: ObjectKey, operation: Create | Patch) -> bool:
        """Whether the source was read live now, because what it was seen as may be older than what the target has."""
        source = OTHER[operation.side]
        seen = self._stores[source].version(key)
        if not carries_over(operation) or seen is None or self._abreast.knows(key, source, seen.uid):
            return False
        self._abreast.learn(key, source, await self._executor.read_live(key, source))
        return True

    def _awaits_news(self, key: ObjectKey, operation: Delete | Patch) -> bool:
        """An object that our own write has ended is written to no more, though the watch has yet to tell of it."""
        seen = self._stores[operation.side].version(key)
        return seen is not None and self._comes_later(key, self._executor.patience.news(key, operation, seen.uid))

    def _has_to_wait(self, key: ObjectKey, operation: Create | Patch) -> bool:
        """Because it would come to nothing, others had better go first, or somebody keeps undoing it."""
        if self._comes_later(key, self._fights.wait(key, operation, self._uid_of_target(key, operation))):
            return True
        if isinstance(operation, Create):
            return False
        return self._executor.is_futile(key, operation) or self._comes_later(
            key, self._executor.patience.turn(key, operation)
        )

    def _uid_of_target(self, key: ObjectKey, operation: Operation) -> str:
        target = self._stores[operation.side].version(key) if isinstance(operation, Create | Patch) else None
        return target.uid if target is not None else ""

    def _comes_later(self, key: ObjectKey, seconds: float) -> bool:
        if seconds:
            self._queue.add_after(key, seconds)
        return seconds > 0

    async def _goes_alone(self, key: ObjectKey, operation: Bury | Delete | Patch) -> bool:
        """A deletion is evidence unless its cluster loses the whole kind, or the hub the namespace: then look again."""
        if isinstance(operation, Bury) or (isinstance(operation, Delete) and operation.side == "hub"):
            return await self._fabric.confirms_own_deletion(self._kind.name)
        if not operation.alone:
            return True
        namespace = key.namespace if operation.alone == "namespace" else ""
        if await self._fabric.confirms_deletion(self._kind.name, namespace):
            return True
        self._told.forget(key)
        return False

    def _may_go(self, uid: str) -> bool:
        """Asked when nothing but the hub's word that the name is another's now speaks for a deletion."""
        return self._fabric.brake(self._kind.name).allows(uid, len(self._copies))

    def _note_begun(self, key: ObjectKey, operation: Operation) -> None:
        """What has to be known also when the answer is lost."""
        if isinstance(operation, Patch | Acknowledge):
            self._ended.add(operation.ends)
        if isinstance(operation, Create) and operation.side == "hub":
            self._told.forget(key)

    def _note_done(self, key: ObjectKey, operation: Operation) -> None:
        if isinstance(operation, Create | Delete | Patch):
            self._waiting.written(key, operation.side, "status" if operation.why == "status" else "object")
        if isinstance(operation, Delete) and operation.side == "hub":
            self._told.withdrawn(key, self._stores["member"].get(key))

    async def _note_written(self, key: ObjectKey, done: Create | Patch, uid: str) -> None:
        """`uid` is what it was done to; empty: it was made."""
        written = self._stores[done.side].version(key)
        if written is not None:
            self._abreast.learn(key, done.side, written.uid)
        repairs = self._fights.made(key, done, uid)
        told = news(done, repairs)
        if repairs or told:
            self._ends.metrics.drift_restored(self._kind.name, done.side)
        for each in told:
            log.warning("%s", each.message, extra={"key": str(key), "reason": each.reason})
            await self._executor.carry_out(key, each)

    def _note_carried(self, key: ObjectKey, hub: Object | None) -> None:
        """What another cluster carries again, after its hub copy had been deleted and not itself, has not ended."""
        if hub is None or is_deleting(hub) or not self._abreast.knows(key, "hub", uid_of(hub)):
            return
        if self._is_from_elsewhere(hub):
            self._ended.discard(_origin_uid(hub))

    def _forget(self, key: ObjectKey) -> None:
        """Neither cluster has the object any more."""
        self._fights.forget(key)
        self._abreast.forget(key)

    def _facts(self, key: ObjectKey, seen: Mapping[Side, Object | None]) -> Facts:
        buried = (
            name
            for name, cluster_uid in self._fabric.buried.origins(self._kind.name, key).items()
            if not _is_of_another(name, cluster_uid, seen["member"])
        )
        waited = self._waited(seen)
        kind_going = self._fabric.hub_kind_terminating(self._kind.name)
        namespace_going = self._fabric.hub_namespace_terminating(key.namespace)
        return Facts(
            member=self._ends.member,
            member_uid=self._ends.member_uid,
            hub=self._ends.hub,
            hub_uid=self._ends.hub_uid,
            processor="" if self._take_over.holds(key) else self._kind.processor,
            members=self._fabric.members,
            has_status=self._resources["member"].has_status and self._resources["hub"].has_status,
            tombstones=frozenset(buried),
            given_up=self._given_up(waited),
            quarantined=self._fabric.quarantined,
            keeps=self._kind.on_origin_deleted == "Keep",
            hub_kind_going=kind_going,
            hub_namespace_going=namespace_going,
            ended=self._ended.among(_origin_uid(obj) for obj in seen.values() if obj is not None),
            told=self._told.look(key, seen["member"], seen["hub"], losing=kind_going or namespace_going),
        )

    def _given_up(self, waited: float | None) -> frozenset[str]:
        return frozenset() if waited is None or waited <= self._kind.grace else self._fabric.away(self._kind.name)

    @staticmethod
    def _waited(seen: Mapping[Side, Object | None]) -> float | None:
        """Seconds since the hub's object began to go, less than 0 when its clock is ahead; None when it does not go."""
        hub = seen["hub"]
        since = metadata(hub).get("deletionTimestamp") if hub is not None else None
        return (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() if since else None

    def _remind(self, key: ObjectKey, seen: Mapping[Side, Object | None]) -> None:
        """Time alone changes the plan of an object that waits for its deletion: look again when the grace is over.

        Who is away then is not waited for, and who goes away later neither: so its origin's syncer looks on.
        """
        waited, hub = self._waited(seen), seen["hub"]
        if waited is None or hub is None:
            return
        if waited <= self._kind.grace:
            self._queue.add_after(key, self._kind.grace - waited + 0.1)
        elif not self._is_from_elsewhere(hub):
            self._queue.add_after(key, STILL_THERE_SECONDS)


def _notes_success(operation: Operation) -> bool:
    """Whether it says on the member that all is well, or that the status is there."""
    if not isinstance(operation, Patch) or operation.side != "member":
        return False
    taken_off = {op["path"] for op in operation.patch if op["op"] == "remove"}
    return not carries_over(operation) or STATUS_PENDING_PATH in taken_off


def _origin_uid(obj: Object) -> str:
    origin = marked_origin(obj)
    return origin.uid if origin is not None else ""


def _is_of_another(tombstone: str, cluster_uid: str, copy: Object | None) -> bool:
    """A tombstone by another cluster than the copy's origin: each cluster buries only what is its own."""
    origin = marked_origin(copy) if copy is not None else None
    uid = names.buried_uid(tombstone)
    return origin is not None and origin.uid == uid and origin.cluster_uid != cluster_uid
