# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The syncer: one process, one member. It dials the hub and its own cluster; nothing dials in."""

from __future__ import annotations

import asyncio
import logging

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Unreachable
from tmc.core.backoff import Backoff
from tmc.core.workqueue import RetryAfter, WorkQueue
from tmc.sync.carried import Carried
from tmc.sync.conditions import Condition, member_conditions, trusts_hub
from tmc.sync.ends import Ends, cluster_uid
from tmc.sync.fabric import Fabric
from tmc.sync.failover import Failover
from tmc.sync.hub_memory import HubMemory
from tmc.sync.objects import status_of
from tmc.sync.operations import Side
from tmc.sync.report import Reporter
from tmc.sync.silence import Watchman

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


class TermOver(Exception):
    """The hub is not what this term began with: begin another one."""


class Syncer:
    """One term of one member's syncer: follows the fabric, carries the kinds, and says how it stands.

    `memory` is what the process remembers of the hub; it outlives the term.
    """

    def __init__(self, ends: Ends, *, floor: float, memory: HubMemory | None = None) -> None:
        self._ends = ends
        self._floor = floor
        self._memory = memory if memory is not None else HubMemory(ends.clients["member"])
        self._queue: WorkQueue[str] = WorkQueue("fabric")
        self._fabric = Fabric(ends, floor=floor, on_change=lambda: self._queue.add(_RECONCILE))
        self._carried = Carried(ends, self._fabric, floor=floor)
        self._reporter = Reporter(ends, self._fabric)
        self._faults: set[tuple[str, Side]] = set()
        self._held_up: dict[str, str] = {}

    async def run(self) -> None:
        """Sync until cancelled; returns when the hub has become another or an older one."""
        try:
            await self._memory.recall(self._ends.hub_uid)
            if self._memory.restored:
                self._fabric.doubt()
            async with asyncio.TaskGroup() as group:
                for part in (
                    self._fabric.run,
                    self._memory.keep,
                    self._watch_hub,
                    self._watch_over,
                    self._watch_others,
                ):
                    group.create_task(part())
                await self._fabric.wait_synced()
                self._queue.add(_RECONCILE)
                await self._queue.run(lambda _: self._adjust(group), workers=1)
        except* TermOver as over:
            log.warning("the term is over", extra={"why": str(over.exceptions[0])})
        finally:
            self._memory.rest()
            self._carried.clear()

    async def _watch_hub(self) -> None:
        """Wait for a hub that was restored from an older snapshot; note it, and begin anew with it."""
        await self._memory.wait_restored()
        self._fabric.doubt()
        backoff = Backoff(0.2, 10.0)
        while True:
            try:
                if await cluster_uid(self._ends.clients["hub"]) == self._ends.hub_uid:
                    await self._fabric.note_restore(self._memory.lost_since)
                    await self._memory.forget()
            except (ApiError, Unreachable) as error:
                log.warning("cannot note that the hub went back", extra={"error": str(error)})
                await asyncio.sleep(backoff.next())
            else:
                raise TermOver(f"the hub is as it was at version {self._memory.held} or before")

    async def _watch_others(self) -> None:
        """Say of members that they are silent, when it is for this one to say; take over from one, when it is to."""
        await self._fabric.wait_synced()
        hub, me = self._ends.clients["hub"], self._ends.member
        heir = Failover(self._ends, self._fabric, self._carries, self._reporter)
        watchman = Watchman(
            hub,
            me,
            lambda: self._fabric.members,
            self._reporter.say_silent,
            listed=self._memory.listed,
            heir=heir,
            may_speak=self._may_speak,
        )
        await watchman.run()

    def _carries(self, kind: str) -> bool:
        verdict = self._carried.verdicts.get(kind)
        return verdict is not None and verdict.state == "Accepted"

    def _may_speak(self, name: str) -> bool:
        """Who does not trust the hub says nothing there of others; of itself it has said that it does not."""
        member = self._fabric.member(name)
        doubts = name == self._ends.member and self._fabric.quarantined
        return member is not None and not doubts and trusts_hub(status_of(member))

    async def _watch_over(self) -> None:
        """Report what cannot be followed or carried; only what lasts: a single request that fails is no news."""
        faults_before: set[tuple[str, Side]] = set()
        troubles_before: dict[str, str] = {}
        while True:
            await asyncio.sleep(self._floor / 2)
            faults, troubles = self._carried.faults(), self._carried.troubles()
            held_up = {name: why for name, why in troubles.items() if name in troubles_before}
            if (faults & faults_before, held_up) != (self._faults, self._held_up):
                self._faults, self._held_up = faults & faults_before, held_up
                self._queue.add(_RECONCILE)
            faults_before, troubles_before = faults, troubles

    async def _adjust(self, group: asyncio.TaskGroup) -> None:
        """Bring the running kinds in line with what the hub declares, and say how this member stands."""
        declared = self._fabric.kinds
        self._fabric.definitions.follow(group, declared)
        await self._carried.adjust(group, declared)
        if self._fabric.member(self._ends.member) is None:
            log.warning("the hub has no Member of this name", extra={"member": self._ends.member})
        verdicts = {} if self._fabric.quarantined else self._carried.verdicts
        await self._reporter.say(self._conditions(), verdicts)
        if any(verdict.state == "Pending" for verdict in self._carried.verdicts.values()) or self._carried.unasked:
            raise RetryAfter(self._floor / 2)

    def _conditions(self) -> list[Condition]:
        where = {"hub": self._ends.hub, "member": self._ends.member}
        return member_conditions(
            quarantine=self._fabric.quarantine,
            known_hub=self._fabric.known_hub_uid,
            hub_uid=self._ends.hub_uid,
            verdicts=self._carried.verdicts,
            unreadable=self._fabric.unreadable,
            refused=self._fabric.refused,
            faults=[f"{name} on {where[side]}" for name, side in sorted(self._faults)],
            braked=self._fabric.braked,
            held_up=self._held_up,
        )
