# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""When this member becomes the processor of a kind, the hub's status comes down once before any status goes up.

The hub may show more than the copies here do, which were behind or whose syncer was away. Would they go up as they are,
progress would go back. Until every copy is level, the mirror of the kind on this member names another processor: nobody
works here, and a syncer that is started anew meanwhile knows that it has to begin with this. So it is, too, when the
mirror names this member for an older term, and the hub has had another processor since.

What is looked at is level for the term of that look alone. When the term changes before all were looked at, or the hub
is not trusted for a while, another cluster has worked since, or nothing came down: then all are looked at anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from tmc.api.errors import ApiError, Unreachable
from tmc.core.backoff import Backoff
from tmc.core.keys import ObjectKey

log = logging.getLogger(__name__)


class Mirrors(Protocol):
    """The part of `tmc.sync.fabric.Fabric` that is used here."""

    def takes_over(self, name: str) -> bool: ...

    def term(self, name: str) -> int | None: ...

    async def stand_by(self, name: str) -> None: ...

    def levelled(self, name: str, epoch: int) -> None: ...


class TakeOver:
    """For one kind. `read_hub()` brings the view of the hub up to date by a consistent list and gives all keys;
    `look(key)` has an object looked at.
    """

    def __init__(
        self,
        name: str,
        mirrors: Mirrors,
        read_hub: Callable[[], Awaitable[Collection[ObjectKey]]],
        look: Callable[[ObjectKey], None],
    ) -> None:
        self._name = name
        self._mirrors = mirrors
        self._read_hub = read_hub
        self._look = look
        self._noticed = asyncio.Event()
        self._term: int | None = None  # in which the pass was begun; None: it is of no use any more
        self._behind: set[ObjectKey] = set()
        self._untried: set[ObjectKey] = set()

    def notice(self) -> None:
        """Something about the fabric changed."""
        self._look_at_term()
        self._noticed.set()

    def _look_at_term(self) -> None:
        if self._mirrors.term(self._name) != self._term:
            self._term = None

    def holds(self, key: ObjectKey) -> bool:
        """Whether the status of this object comes down, although the hub names this member as the processor."""
        return key in self._behind or self._mirrors.takes_over(self._name)

    async def run(self) -> None:
        """Level whenever this member becomes the processor, until cancelled."""
        backoff = Backoff(0.2, 10.0, least=0.1)
        while True:
            await self._noticed.wait()
            self._noticed.clear()
            term = self._mirrors.term(self._name)
            if term is None or not self._mirrors.takes_over(self._name) or self._untried:
                continue
            self._term = term
            try:
                await self._mirrors.stand_by(self._name)
                self._begin(await self._read_hub())
            except (ApiError, Unreachable) as error:
                log.warning("cannot take over yet", extra={"kind": self._name, "error": str(error)})
                await asyncio.sleep(backoff.next())
                self._noticed.set()
            else:
                backoff.reset()

    def _begin(self, keys: Collection[ObjectKey]) -> None:
        self._behind, self._untried = set(keys), set(keys)
        for key in keys:
            self._look(key)
        self._finish()

    def is_behind(self, key: ObjectKey) -> bool:
        """To be asked before an object is looked at: a look that began too early is none to tell `looked_at` of."""
        return key in self._behind

    def looked_at(self, key: ObjectKey, *, level: bool) -> None:
        """One object that is in trouble does not hold up the others: it stays behind alone."""
        self._look_at_term()
        if level:
            self._behind.discard(key)
        if key in self._untried:
            self._untried.discard(key)
            self._finish()

    def _finish(self) -> None:
        if not self._untried:
            self._look_at_term()
            if self._term is None:
                self._noticed.set()
                return
            log.info("took over", extra={"kind": self._name, "behind": len(self._behind)})
            self._mirrors.levelled(self._name, self._term)
