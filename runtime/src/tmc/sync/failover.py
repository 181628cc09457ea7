# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Takes a kind over when the processor's member is lost and this member is a candidate (docs/failover.md).

Two conditional writes on the hub, as the module `processor` makes them: the ConfigMap of the kind, which fences the old
processor off, then its `SyncedResource`. What was interrupted between them is completed by any candidate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Conflict, Forbidden, Unreachable
from tmc.api.resource import LEASES
from tmc.core.backoff import Backoff
from tmc.sync import names
from tmc.sync.conditions import FAILED_OVER, Condition, failed_over
from tmc.sync.ends import Ends
from tmc.sync.fabric import SYNCED_RESOURCES, Fabric
from tmc.sync.objects import Object, status_of
from tmc.sync.parameters import CONFIG_MAPS, NAMESPACE
from tmc.sync.patches import guarded
from tmc.sync.succession import Silences, Term, term_of_fence
from tmc.sync.synced_kind import SyncedKind

log = logging.getLogger(__name__)

GAP_SECONDS = 9.0  # three looks: longer pauses between two looks do not count as silence
CHECK_SECONDS = 15.0  # how often a candidate looks for a move that was interrupted between its two writes
FOLLOW_SECONDS = 10.0  # for which the second write is tried anew: others write status, admission lags a little


class Teller(Protocol):
    """Brings the news; each method is best effort."""

    async def condition(self, name: str, condition: Condition) -> None: ...

    async def event(self, name: str, reason: str, message: str) -> None: ...


class Failover:
    """One term of one candidate. `carries(name)`: the member has this kind as the hub has it."""

    def __init__(self, ends: Ends, fabric: Fabric, carries: Callable[[str], bool], teller: Teller) -> None:
        self._ends = ends
        self._fabric = fabric
        self._carries = carries
        self._teller = teller
        self._silences = Silences(GAP_SECONDS)
        self._checked_at: dict[str, float] = {}
        self._begun: dict[str, tuple[Term, Condition]] = {}  # terms of our own making that are not complete
        self._problems: dict[str, str] = {}

    async def looked(self, leases: Mapping[str, str], others: Collection[str], at: float) -> None:
        """The Leases of the `others` were listed. Never raises for a fault of the API server."""
        self._silences.looked(leases, others, at)
        for kind in self._fabric.kinds.values():
            if self._ends.member in kind.succession.candidates:
                await self._guarded(kind, at)

    def lost_sight(self) -> None:
        """The hub did not answer."""
        self._silences.lost_sight()

    async def _guarded(self, kind: SyncedKind, at: float) -> None:
        try:
            await self._look_after(kind, at)
            self._problems.pop(kind.name, None)
        except Conflict:
            log.info("somebody else was faster", extra={"kind": kind.name})
        except (ApiError, Unreachable) as error:
            if self._problems.get(kind.name) != str(error):
                log.warning("cannot look after the processor", extra={"kind": kind.name, "error": str(error)})
            self._problems[kind.name] = str(error)

    async def _look_after(self, kind: SyncedKind, at: float) -> None:
        if not self._ends.leading() or not self._may(kind):
            return
        if at - self._checked_at.get(kind.name, -CHECK_SECONDS) >= CHECK_SECONDS:
            self._checked_at[kind.name] = at
            await self._complete(kind)
            await self._withdraw_news(kind)
        if self.is_due(kind):
            await self._take_over(kind)

    def _may(self, kind: SyncedKind) -> bool:
        """A member that does not trust its hub, has left the fabric or does not have the kind takes nothing over."""
        fabric = self._fabric
        return not fabric.quarantined and self._ends.member in fabric.members and self._carries(kind.name)

    def is_due(self, kind: SyncedKind) -> bool:
        """The processor is a member that was not heard of for as long as this one has to wait."""
        patience = kind.succession.patience(self._ends.member, kind.processor)
        if patience is None or kind.processor not in self._fabric.members:
            return False
        return self._silences.of(kind.processor) >= patience

    async def _take_over(self, kind: SyncedKind) -> None:
        hub, me, silent = self._ends.clients["hub"], self._ends.member, self._silences.of(kind.processor)
        fence = await hub.get(CONFIG_MAPS, kind.name, NAMESPACE)
        if term_of_fence(fence.get("data")) != Term(kind.processor, kind.epoch):
            await self._complete(kind)
            return
        # Last of all, because it is what counts: what was listed some seconds ago may be over.
        if await _lease_version(hub, kind.processor) != self._silences.version(kind.processor):
            log.info("the processor is heard of again", extra={"kind": kind.name, "processor": kind.processor})
            return
        if not self._ends.leading():
            return
        term = Term(me, kind.epoch + 1)
        self._begun[kind.name] = term, failed_over(kind.processor, silent, me, term.epoch)
        log.warning("taking over", extra={"kind": kind.name, "processor": kind.processor, "epoch": term.epoch})
        ops = _term_ops("/data", term.processor, str(term.epoch))
        try:
            await hub.patch(CONFIG_MAPS, kind.name, NAMESPACE, guarded(ops, fence), field_manager=names.FIELD_MANAGER)
        except Conflict:
            del self._begun[kind.name]
            raise
        await self._follow(kind.name, term)

    async def _complete(self, kind: SyncedKind) -> None:
        """Where the ConfigMap is ahead, somebody began to move the processor and did not come to the second write."""
        fence = await self._ends.clients["hub"].get(CONFIG_MAPS, kind.name, NAMESPACE)
        term = term_of_fence(fence.get("data"))
        if term is not None and term.epoch > kind.epoch:
            await self._follow(kind.name, term)

    async def _follow(self, name: str, term: Term) -> None:
        """The second write: the `SyncedResource` says what the ConfigMap says.

        Raises:
            ApiError, Unreachable: it was not taken within `FOLLOW_SECONDS`; it is tried again at the next check.
        """
        hub, backoff, deadline = self._ends.clients["hub"], Backoff(0.1, 1.0), time.monotonic() + FOLLOW_SECONDS
        while True:
            declared = await hub.get(SYNCED_RESOURCES, name)
            if declared["spec"]["epoch"] >= term.epoch:
                break
            ops = guarded(_term_ops("/spec", term.processor, term.epoch), declared)
            try:
                await hub.patch(SYNCED_RESOURCES, name, "", ops, field_manager=names.FIELD_MANAGER)
                break
            except (Conflict, Forbidden):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(backoff.next())
        await self._tell(name, term)

    async def _tell(self, name: str, term: Term) -> None:
        """Of a failover of our own; a move that somebody else began is only logged."""
        begun, condition = self._begun.pop(name, (None, None))
        if condition is None or begun != term:
            log.info("the term is complete", extra={"kind": name, "processor": term.processor, "epoch": term.epoch})
            return
        log.warning("took over: %s", condition.message, extra={"kind": name, "epoch": term.epoch})
        self._ends.metrics.failed_over(name)
        await self._teller.event(name, FAILED_OVER, condition.message)
        await self._teller.condition(name, condition)

    async def _withdraw_news(self, kind: SyncedKind) -> None:
        """The condition tells of the present term: another one that somebody began is none of a failover."""
        status = status_of(self._fabric.declaration(kind.name) or {})
        for shown in status.get("conditions") or ():
            news = shown.get("type") == FAILED_OVER and shown.get("status") == "True"
            if news and not str(shown.get("message", "")).endswith(f" epoch {kind.epoch}"):
                message = f"the processor of epoch {kind.epoch} was named by a person"
                await self._teller.condition(kind.name, Condition(FAILED_OVER, False, "Moved", message))


async def _lease_version(hub: ApiClient, member: str) -> str:
    """As it is now. All are listed, because a syncer has the right to read no other's Lease alone."""
    found = await hub.list(LEASES, NAMESPACE, metadata_only=True)
    versions = {lease["metadata"]["name"]: str(lease["metadata"]["resourceVersion"]) for lease in found.items}
    return versions.get(f"syncer-{member}", "")


def _term_ops(where: str, processor: str, epoch: int | str) -> list[Object]:
    values = {"processor": processor, "epoch": epoch}
    return [{"op": "replace", "path": f"{where}/{key}", "value": value} for key, value in values.items()]
