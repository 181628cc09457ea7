# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The kinds that are carried here at present: one `KindSyncer` for each kind that both clusters have alike.

A definition that appears, changes or goes is noticed while the syncer runs: its kind alone is started, stopped, or
started anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from tmc.api.errors import ApiError, NotFound, Unreachable
from tmc.api.resource import Resource
from tmc.sync.ends import Ends
from tmc.sync.fabric import Fabric
from tmc.sync.kind import KindSyncer
from tmc.sync.objects import Object
from tmc.sync.operations import Side
from tmc.sync.schema import Place, Verdict, fingerprint, judge
from tmc.sync.synced_kind import SyncedKind

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    kind: SyncedKind
    seen: object  # of the definitions it was judged by
    resources: Mapping[Side, Resource]
    syncer: KindSyncer
    task: asyncio.Task[None]


class Carried:
    """Starts and stops. `verdicts` says of each declared kind how this member stands to it; `unasked` are the kinds of
    which a cluster did not say, so that they are to be looked at again.
    """

    def __init__(self, ends: Ends, fabric: Fabric, *, floor: float) -> None:
        self._ends = ends
        self._fabric = fabric
        self._floor = floor
        self._running: dict[str, _Running] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.unasked: set[str] = set()

    async def adjust(self, group: asyncio.TaskGroup, declared: Mapping[str, SyncedKind]) -> None:
        """Bring the running kinds in line with what the hub declares and with what both clusters have."""
        for name in set(self._running) - set(declared):
            await self._stop(name)
        self.verdicts = {name: self.verdicts[name] for name in declared if name in self.verdicts}
        self.unasked &= set(declared)
        for kind in declared.values():
            await self._adjust(group, kind)

    def faults(self) -> set[tuple[str, Side]]:
        """What cannot be followed at present, as (kind, side)."""
        return {(name, side) for name, running in self._running.items() for side in running.syncer.faults()}

    def troubles(self) -> dict[str, str]:
        """What is refused or waited for at present, in words, by kind and object."""
        return {
            f"{name} {key}": why
            for name, running in self._running.items()
            for key, why in running.syncer.troubles().items()
        }

    def clear(self) -> None:
        """The group they ran in is over."""
        self._running.clear()

    async def _adjust(self, group: asyncio.TaskGroup, kind: SyncedKind) -> None:
        definitions, running = self._fabric.definitions, self._running.get(kind.name)
        seen = {side: fingerprint(definitions.get(side, kind.name)) for side in self._ends.clients}
        if running is not None and running.seen == seen and running.kind.same_resource(kind):
            running.kind = kind
            running.syncer.fabric_changed(kind)
            return
        try:
            defined = {side: await definitions.read(side, kind.name) for side in self._ends.clients}
            resources = await self._resources(kind)
        except (ApiError, Unreachable) as error:
            log.warning("kind cannot be looked at", extra={"kind": kind.name, "error": str(error)})
            self.unasked.add(kind.name)
            if running is None:
                self.verdicts.setdefault(kind.name, Verdict("Pending", str(error)))
            return
        self.unasked.discard(kind.name)
        self.verdicts[kind.name] = verdict = self._verdict(kind, defined, resources)
        seen = {side: fingerprint(definition) for side, definition in defined.items()}
        await self._follow_verdict(group, kind, verdict, resources, seen)

    async def _follow_verdict(
        self,
        group: asyncio.TaskGroup,
        kind: SyncedKind,
        verdict: Verdict,
        resources: Mapping[Side, Resource | None],
        seen: object,
    ) -> None:
        running = self._running.get(kind.name)
        served = {side: resource for side, resource in resources.items() if resource is not None}
        if running is not None and verdict.state == "Accepted" and running.resources == served:
            running.kind, running.seen = kind, seen
            running.syncer.fabric_changed(kind)
            return
        if running is not None:
            await self._stop(kind.name)
        if verdict.state != "Accepted":
            log.warning(
                "kind is not carried", extra={"kind": kind.name, "state": verdict.state, "why": verdict.message}
            )
            return
        syncer = KindSyncer(self._ends, kind, served, self._fabric, floor=self._floor)
        task = group.create_task(syncer.run(), name=f"sync {kind.name}")
        self._running[kind.name] = _Running(kind, seen, served, syncer, task)
        log.info("syncing", extra={"kind": kind.name, "processor": kind.processor, "epoch": kind.epoch})

    async def _stop(self, name: str) -> None:
        task = self._running.pop(name).task
        task.cancel()
        await asyncio.wait([task])
        log.info("no longer syncing", extra={"kind": name})

    async def _resources(self, kind: SyncedKind) -> dict[Side, Resource | None]:
        """The kind as each cluster serves it; None: it does not. Raises ApiError, Unreachable."""
        found: dict[Side, Resource | None] = {}
        for side, client in self._ends.clients.items():
            try:
                found[side] = (await client.discover(kind.group, kind.version)).get(kind.resource)
            except NotFound:
                found[side] = None
        return found

    def _verdict(
        self, kind: SyncedKind, defined: Mapping[Side, Object | None], resources: Mapping[Side, Resource | None]
    ) -> Verdict:
        hub, member = Place(self._ends.hub, defined["hub"]), Place(self._ends.member, defined["member"])
        verdict = judge(kind.version, hub, member)
        if verdict.state != "Accepted":
            return verdict
        here, there = resources["member"], resources["hub"]
        if here is None or there is None:
            cluster = member.cluster if here is None else hub.cluster
            return Verdict("Pending", f"version {kind.version} of the kind is not served on {cluster}")
        # Without definitions, of an aggregated API, discovery is all there is.
        for what, one, other in (("scope", here.namespaced, there.namespaced), ("kind", here.kind, there.kind)):
            if one != other:
                return Verdict("Incompatible", f"{what} is not the same on {member.cluster} and {hub.cluster}")
        return verdict
