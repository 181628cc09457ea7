# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Members whose syncer is not heard of: each syncer renews its Lease on the hub, and the others look at it.

One of those that are heard of, the first by name, says so on the hub. Only the own clock counts, and only while
this one looks and the hub answers: a Lease is expected to change again, after an outage as at the begin, within the
same time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

from tmc.api.client import ApiClient, ListResult
from tmc.api.errors import ApiError, Unreachable
from tmc.api.resource import LEASES
from tmc.core.workqueue import RetryAfter
from tmc.sync.succession import Silences

log = logging.getLogger(__name__)

NAMESPACE = "tmc-system"
LEASE_SECONDS = 9.0
LOOK_SECONDS = 3.0


class Heir(Protocol):
    """The part of `tmc.sync.failover.Failover` that is used here."""

    async def looked(self, leases: Mapping[str, str], others: Collection[str], at: float) -> None: ...

    def lost_sight(self) -> None: ...


class Watchman:
    """Looks at the Leases of the other members until cancelled, and has it said who is silent when it is its turn.

    `members()` are the members of the fabric, `me` is one of them. `say(silent)` may raise ApiError, Unreachable and
    RetryAfter: it is called again. `listed` is told the version of each list of the hub's Leases. `heir` is told of
    each look, before anything is said. `may_speak(name)`: this member may say it when it is heard of.
    """

    def __init__(
        self,
        hub: ApiClient,
        me: str,
        members: Callable[[], Collection[str]],
        say: Callable[[Collection[str]], Awaitable[None]],
        *,
        listed: Callable[[int], None] = lambda version: None,
        look: float = LOOK_SECONDS,
        patience: float = LEASE_SECONDS,
        heir: Heir | None = None,
        may_speak: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self._hub = hub
        self._me = me
        self._members = members
        self._say = say
        self._listed = listed
        self._look = look
        self._patience = patience
        self._silences = Silences(patience / 2)
        self._may_speak = may_speak
        self._heir = heir

    async def run(self) -> None:
        while True:
            try:
                await self._look_once()
            except RetryAfter:
                log.debug("somebody else was faster")
            except (ApiError, Unreachable) as error:
                log.info("cannot look at the Leases of the others", extra={"error": str(error)})
                self._silences.lost_sight()
            await asyncio.sleep(self._look)

    async def _look_once(self) -> None:
        others = [name for name in self._members() if name != self._me]
        found = await self._leases()
        self._listed(found.resource_version)
        leases = {lease["metadata"]["name"]: str(lease["metadata"]["resourceVersion"]) for lease in found.items}
        versions = {name: leases[f"syncer-{name}"] for name in others if f"syncer-{name}" in leases}
        at = time.monotonic()  # what comes below takes its time, in which nobody listens
        self._silences.looked(versions, others, at)
        silent = self._silences.longer_than(self._patience)
        if self._heir is not None:
            await self._heir.looked(versions, others, at)
        speakers = {name for name in {self._me, *others} - silent if self._may_speak(name)}
        if self._me in speakers and self._me == min(speakers):
            await self._say(sorted(silent))

    async def _leases(self) -> ListResult:
        try:
            return await self._hub.list(LEASES, NAMESPACE, metadata_only=True)
        except (ApiError, Unreachable):
            if self._heir is not None:
                self._heir.lost_sight()
            raise
