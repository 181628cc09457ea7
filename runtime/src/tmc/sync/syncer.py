"""The syncer: one process, one member. It dials the hub and its own cluster; nothing dials in."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Conflict, Unreachable
from tmc.api.resource import Resource
from tmc.core.workqueue import RetryAfter, WorkQueue
from tmc.sync import names
from tmc.sync.ends import Ends, cluster_uid
from tmc.sync.fabric import MEMBERS, Fabric, SyncedKind
from tmc.sync.image import guarded
from tmc.sync.kind import KindSyncer
from tmc.sync.objects import Object, metadata, status_of
from tmc.sync.operations import Side

log = logging.getLogger(__name__)

_RECONCILE = "fabric"


class SameCluster(Exception):
    """The hub and the member are one and the same cluster."""


async def connect(member: ApiClient, hub: ApiClient, *, member_name: str, hub_name: str) -> Ends:
    """Who stands at both ends.

    Raises:
        SameCluster: both kubeconfigs lead to one cluster.
        ApiError, Unreachable: one of them does not answer.
    """
    member_uid, hub_uid = await cluster_uid(member), await cluster_uid(hub)
    if member_uid == hub_uid:
        raise SameCluster(
            f"hub '{hub_name}' and member '{member_name}' are the same cluster (kube-system uid {hub_uid}): "
            "give the member's own kubeconfig with --kubeconfig and the hub's with --hub-kubeconfig"
        )
    return Ends({"member": member, "hub": hub}, member_name, member_uid, hub_name, hub_uid)


class Syncer:
    """Runs one `KindSyncer` for each kind that the hub declares, and starts and stops them as that changes."""

    def __init__(self, ends: Ends, *, floor: float) -> None:
        self._ends = ends
        self._floor = floor
        self._queue: WorkQueue[str] = WorkQueue("fabric")
        self._fabric = Fabric(ends, floor=floor, on_change=lambda: self._queue.add(_RECONCILE))
        self._running: dict[str, tuple[SyncedKind, KindSyncer, asyncio.Task[None]]] = {}
        self._faults: set[tuple[str, Side]] = set()

    async def run(self) -> None:
        """Sync until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fabric.run())
                await self._fabric.wait_synced()
                self._queue.add(_RECONCILE)
                group.create_task(self._watch_over())
                await self._queue.run(lambda _: self._adjust(group), workers=1)
        finally:
            self._running.clear()

    async def _watch_over(self) -> None:
        """Report what cannot be followed; only what lasts, because a single request that fails is no news."""
        before: set[tuple[str, Side]] = set()
        while True:
            await asyncio.sleep(self._floor / 2)
            now = {(name, side) for name, (_, syncer, _) in self._running.items() for side in syncer.faults()}
            if now & before != self._faults:
                self._faults = now & before
                self._queue.add(_RECONCILE)
            before = now

    async def _adjust(self, group: asyncio.TaskGroup) -> None:
        """Bring the running kinds in line with what the hub declares."""
        declared = self._fabric.kinds
        self._fabric.definitions.follow(group, declared)
        for name in set(self._running) - set(declared):
            await self._stop(name)
        missing: list[str] = []
        for name, kind in declared.items():
            if name in self._running and not self._running[name][0].same_resource(kind):
                await self._stop(name)
            if name in self._running:
                _, syncer, task = self._running[name]
                self._running[name] = (kind, syncer, task)
                syncer.fabric_changed(kind)
            elif not await self._start(group, kind):
                missing.append(name)
        await self._report(missing)
        if missing:
            raise RetryAfter(self._floor / 2)

    async def _start(self, group: asyncio.TaskGroup, kind: SyncedKind) -> bool:
        try:
            resources = {side: await self._discovered(side, kind) for side in self._ends.clients}
        except (ApiError, Unreachable, LookupError) as error:
            log.warning("kind cannot be synced yet", extra={"kind": kind.name, "error": str(error)})
            return False
        syncer = KindSyncer(self._ends, kind, resources, self._fabric, floor=self._floor)
        task = group.create_task(syncer.run(), name=f"sync {kind.name}")
        self._running[kind.name] = (kind, syncer, task)
        log.info("syncing", extra={"kind": kind.name, "processor": kind.processor, "epoch": kind.epoch})
        return True

    async def _stop(self, name: str) -> None:
        _, _, task = self._running.pop(name)
        task.cancel()
        await asyncio.wait([task])
        log.info("no longer syncing", extra={"kind": name})

    async def _discovered(self, side: Side, kind: SyncedKind) -> Resource:
        served = await self._ends.clients[side].discover(kind.group, kind.version)
        if kind.resource not in served:
            cluster = self._ends.hub if side == "hub" else self._ends.member
            raise LookupError(f"cluster {cluster} does not serve {kind.name} in version {kind.version}")
        return served[kind.resource]

    async def _report(self, missing: list[str]) -> None:
        """The `Ready` condition of our `Member` on the hub, written only when it changes."""
        member = self._fabric.member(self._ends.member)
        if member is None:
            log.warning("the hub has no Member of this name", extra={"member": self._ends.member})
            return
        condition = self._ready_condition(missing)
        conditions = [c for c in status_of(member).get("conditions") or () if isinstance(c, dict)]
        shown = next((c for c in conditions if c.get("type") == "Ready"), {})
        if all(shown.get(k) == v for k, v in condition.items()):
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        since = shown.get("lastTransitionTime", now) if shown.get("status") == condition["status"] else now
        others = [c for c in conditions if c.get("type") != "Ready"]
        await self._write_conditions(member, [*others, {**condition, "lastTransitionTime": since}])

    def _ready_condition(self, missing: list[str]) -> dict[str, str]:
        if self._fabric.quarantined:
            message = (
                f"this member knows a hub with uid {self._fabric.known_hub_uid}, this one has {self._ends.hub_uid}: "
                "nothing is deleted until the hub is accepted"
            )
            return {"type": "Ready", "status": "False", "reason": "UnknownHub", "message": message}
        if missing:
            message = f"not served on both clusters: {', '.join(sorted(missing))}"
            return {"type": "Ready", "status": "False", "reason": "KindMissing", "message": message}
        if self._fabric.unreadable:
            message = "; ".join(f"{name}: {why}" for name, why in sorted(self._fabric.unreadable.items()))
            return {"type": "Ready", "status": "False", "reason": "KindUnreadable", "message": message}
        if self._faults:
            where = {"hub": self._ends.hub, "member": self._ends.member}
            message = ", ".join(f"{name} on {where[side]}" for name, side in sorted(self._faults))
            return {
                "type": "Ready",
                "status": "False",
                "reason": "KindUnreachable",
                "message": f"cannot follow {message}",
            }
        return {"type": "Ready", "status": "True", "reason": "Syncing", "message": "every declared kind is synced"}

    async def _write_conditions(self, member: Object, conditions: list[dict[str, str]]) -> None:
        ops = guarded(
            [{"op": "add", "path": "/status", "value": {**status_of(member), "conditions": conditions}}], member
        )
        try:
            await self._ends.clients["hub"].patch(
                MEMBERS, metadata(member)["name"], "", ops, field_manager=names.FIELD_MANAGER, subresource="status"
            )
        except Conflict as error:
            raise RetryAfter(0.2) from error
