# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a member remembers of its hub, to tell one that was restored from an older snapshot.

The witness is the Lease of this syncer on the hub. Only this member's syncers write it, each write on the condition of
the version that it had: a server that takes a write which replaces a version older than one that was written before
has lost what came since. No view that lags can pretend that, and a restore that raises the store's revision does not
hide it, since the Lease keeps the version that it had in the snapshot.

A list of the Leases on the hub is a second measure: no write comes before what was listed before it was begun, and a
list that lags only says less. The newest version of the own Lease is kept in memory and, for the syncers to come, on a
Lease of the member's own cluster.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from typing import Any

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Forbidden, NotFound, Unreachable
from tmc.api.resource import LEASES
from tmc.core.backoff import Backoff
from tmc.sync import names
from tmc.sync.objects import annotations_of

log = logging.getLogger(__name__)

NAME, NAMESPACE = "tmc-syncer", "default"
UID, VERSION, RESTORES = "tmc.io/hub-uid", "tmc.io/hub-version", "tmc.io/hub-restores"
KEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What the Lease on the member says: of which hub, the newest version, and how often a restore was noticed."""

    uid: str = ""
    version: int = 0
    restores: int = 0


class HubMemory:
    """Lives as long as the process. `witness` is told of every write of the Lease on the hub, in any term or none;
    it is judged from `recall`, at the begin of a term, until `rest`, at its end.
    """

    def __init__(self, member: ApiClient) -> None:
        self._member = member
        self._kept = Kept()
        self._uid = ""
        self._newest = 0  # version known of the hub with that uid
        self._replaced = math.inf  # the oldest version that was replaced since it was judged last
        self._written = 0
        # The newest version of the Leases that was listed in this term: before the next write is begun, and since.
        self._listed = self._listed_since = 0
        self._judging = False
        self._restored = asyncio.Event()
        self.lost_since = 0  # after a restore: the newest version that was known; what came after `held` is lost
        self.held = 0

    def witness(self, replaced: int, written: int) -> None:
        """The hub took a write of our Lease: which version it replaced (of a new Lease: its own), which it made."""
        # Others have written in between: what was replaced before them says nothing of the hub as it is now.
        self._replaced = replaced if replaced != self._written else min(self._replaced, replaced)
        self._written = written
        if self._judging:
            self._judge()

    def listed(self, version: int) -> None:
        """The hub's Leases were listed, as of this version."""
        self._listed_since = max(self._listed_since, version)

    def _judge(self) -> None:
        if self._replaced < self._newest:
            self._went_back(int(self._replaced), self._newest)
        elif self._written < self._listed:
            self._went_back(self._written, self._listed)
        else:
            self._newest = max(self._newest, self._written)
        self._replaced = math.inf
        self._listed = self._listed_since  # writes follow one another: the next one is begun after this

    def _went_back(self, held: int, known: int) -> None:
        self.held, self.lost_since = held, known
        self._restored.set()

    @property
    def restored(self) -> bool:
        """The hub has lost what came after a version that this member knows of."""
        return self._restored.is_set()

    async def wait_restored(self) -> None:
        await self._restored.wait()

    async def recall(self, uid: str) -> None:
        """A term begins, at the hub with this uid. Returns when the member's cluster was asked what is known of it."""
        kept = await self._read()
        if uid != self._uid:
            self._restored.clear()
        if uid != self._uid or kept.restores != self._kept.restores:
            self._newest = 0  # of another hub, or of what another replica has found to be lost
        self._kept, self._uid = kept, uid
        self._newest = max(self._newest, kept.version if kept.uid == uid else 0)
        self._judging, self._listed, self._listed_since = True, 0, 0
        self._judge()

    def rest(self) -> None:
        """The term is over: who is witnessed from here on may be another hub."""
        self._judging = False

    async def forget(self) -> None:
        """The restore is noted elsewhere: begin anew from what the hub is now.

        Raises:
            ApiError, Unreachable: the member's own cluster did not take it.
        """
        await self._write(Kept(self._uid, self._written, self._kept.restores + 1))
        self._newest, self._replaced = self._written, math.inf
        self._listed = self._listed_since = 0
        self._restored.clear()

    async def keep(self) -> None:
        """Keep what is known on the member, at first and then once a minute, until cancelled."""
        backoff = Backoff(1.0, KEEP_SECONDS)
        while True:
            delay = KEEP_SECONDS
            try:
                if (
                    not self.restored
                    and self._newest
                    and (self._uid, self._newest) != (self._kept.uid, self._kept.version)
                ):
                    await self._write(Kept(self._uid, self._newest, self._kept.restores))
                backoff.reset()
            except (ApiError, Unreachable) as error:
                log.warning("cannot keep what is known of the hub", extra={"error": str(error)})
                delay = backoff.next()
            await asyncio.sleep(delay)

    async def _read(self) -> Kept:
        backoff = Backoff(0.2, 10.0)
        while True:
            try:
                return _kept(annotations_of(await self._member.get(LEASES, NAME, NAMESPACE)))
            except NotFound:
                return Kept()
            except Forbidden as error:
                log.warning("may not read what is known of the hub", extra={"error": str(error)})
                return Kept()
            except (ApiError, Unreachable) as error:
                log.warning("cannot read what is known of the hub", extra={"error": str(error)})
                await asyncio.sleep(backoff.next())

    async def _write(self, kept: Kept) -> None:
        notes = {UID: kept.uid, VERSION: str(kept.version), RESTORES: str(kept.restores)}
        body: dict[str, Any] = {"metadata": {"annotations": notes}}
        try:
            await self._member.patch(LEASES, NAME, NAMESPACE, body, field_manager=names.FIELD_MANAGER)
        except NotFound:
            where = {"name": NAME, "namespace": NAMESPACE, "labels": dict(names.MANAGED_BY), "annotations": notes}
            new = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": where}
            await self._member.create(LEASES, new, field_manager=names.FIELD_MANAGER)
        self._kept = kept


def _kept(notes: dict[str, str]) -> Kept:
    """What cannot be read counts as not known."""
    version, restores = notes.get(VERSION, ""), notes.get(RESTORES, "")
    return Kept(
        notes.get(UID, ""),
        int(version) if version.isdecimal() else 0,
        int(restores) if restores.isdecimal() else 0,
    )
