# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Members whose syncer is not heard of: each syncer renews its Lease on the hub, and the others look at it.

One of those that are heard of, the first by name, says so on the hub. Only the own clock counts, and only while the hub
answers: a Lease is expected to change again, after an outage as at the begin, within the same time.
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

log = logging.getLogger(__name__)

NAMESPACE = "tmc-system"
LEASE_SECONDS = 9.0
LOOK_SECONDS = 3.0


class Heard:
    """Pure: when each Lease was seen to change last. Times are monotonic seconds, versions resourceVersions."""

    def __init__(self, patience: float = LEASE_SECONDS) -> None:
        self._patience = patience
        self._seen: dict[str, tuple[str, float]] = {}

    def looked(self, versions: dict[str, str], expected: Collection[str], at: float) -> None:
        """The Leases as they are; one that is `expected` and not there is as one that does not change."""
        before, self._seen = self._seen, {}
        for name in expected:
            version = versions.get(name, "")
            known = before.get(name)
            self._seen[name] = known if known is not None and known[0] == version else (version, at)

    def lost_sight(self) -> None:
        """The hub did not answer: whoever could not renew meanwhile has the whole time again."""
        self._seen.clear()

    def silent(self, at: float) -> frozenset[str]:
        return frozenset(name for name, (_, since) in self._seen.items() if at - since > self._patience)


class Heir(Protocol):
    """The part of `tmc.sync.failover.Failover` that is used here."""

    async def looked(self, leases: Mapping[str, str], others: Collection[str], at: float) -> None: ...

    def lost_sight(self) -> None: ...


class Watchman:
    """Looks at the Leases of the other members until cancelled, and has it said who is silent when it is its turn.

    `members()` are the members of the fabric, `me` is one of them. `say(silent)` may raise ApiError, Unreachable and
    RetryAfter: it is called again. `listed` is told the version of each list of the hub's Leases. `heir` is told of
    each look, before anything is said.
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
    ) -> None:
        self._hub = hub
        self._me = me
        self._members = members
        self._say = say
        self._listed = listed
        self._look = look
        self._heard = Heard(patience)
        self._heir = heir

    async def run(self) -> None:
        while True:
            try:
                await self._look_once()
            except RetryAfter:
                log.debug("somebody else was faster")
            except (ApiError, Unreachable) as error:
                log.info("cannot look at the Leases of the others", extra={"error": str(error)})
                self._heard.lost_sight()
            await asyncio.sleep(self._look)

    async def _look_once(self) -> None:
        others = [name for name in self._members() if name != self._me]
        found = await self._leases()
        self._listed(found.resource_version)
        leases = {lease["metadata"]["name"]: str(lease["metadata"]["resourceVersion"]) for lease in found.items}
        versions = {name: leases[f"syncer-{name}"] for name in others if f"syncer-{name}" in leases}
        self._heard.looked(versions, others, time.monotonic())
        if self._heir is not None:
            await self._heir.looked(versions, others, time.monotonic())
        silent = self._heard.silent(time.monotonic())
        if self._me == min({self._me, *others} - silent):
            await self._say(sorted(silent))

    async def _leases(self) -> ListResult:
        try:
            return await self._hub.list(LEASES, NAMESPACE, metadata_only=True)
        except (ApiError, Unreachable):
            if self._heir is not None:
                self._heir.lost_sight()
            raise
