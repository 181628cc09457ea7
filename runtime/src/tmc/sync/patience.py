# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""When a write had better wait a moment, because it would be refused now: pure, with a clock that is handed in.

Nothing rests on it: who waits in vain, or not at all, costs one write more and no more than that. Every wait is short,
holds up one write of one object, and ends early when a change of the object calls for another plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tmc.core.keys import ObjectKey
from tmc.sync.operations import Delete, Patch, Side

TURN_SECONDS = 0.1  # for each member that goes first; usually its write is seen long before
MOST_TURN_SECONDS = 1.0
NEWS_SECONDS = 2.0  # for a watch to tell that an object is gone, or going


@dataclass(frozen=True, slots=True)
class _Ended:
    """Our own write has ended an object: `vanished` for good, otherwise its deletion has begun."""

    uid: str
    until: float
    vanished: bool


class Patience:
    """For the objects of one kind. All waits are in seconds, 0 for none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[ObjectKey, tuple[str, float]] = {}  # which write waits for its turn
        self._ended: dict[tuple[ObjectKey, Side], _Ended] = {}

    def turn(self, key: ObjectKey, patch: Patch) -> float:
        """How long to let other members go first who are about to write to the same object."""
        if not patch.turn:
            return 0.0
        now = self._clock()
        why, since = self._since.get(key, ("", now))
        if why != patch.why:
            since = now
        self._since[key] = (patch.why, since)
        return max(0.0, since + min(patch.turn * TURN_SECONDS, MOST_TURN_SECONDS) - now)

    def ended(self, key: ObjectKey, operation: Delete | Patch, uid: str) -> None:
        """This write has ended the object with this uid, which the view still shows as if nothing had happened."""
        vanished = isinstance(operation, Patch)
        self._ended[key, operation.side] = _Ended(uid, self._clock() + NEWS_SECONDS, vanished)

    def news(self, key: ObjectKey, operation: Delete | Patch, uid: str) -> float:
        """How long to wait for news of the object with this uid, since a write of our own has ended it."""
        known = self._ended.get((key, operation.side))
        if known is None or known.uid != uid or not (known.vanished or isinstance(operation, Delete)):
            return 0.0
        return max(0.0, known.until - self._clock())

    def settled(self, key: ObjectKey) -> None:
        """Nothing is left to do for this object."""
        self._since.pop(key, None)
        self._ended.pop((key, "member"), None)
        self._ended.pop((key, "hub"), None)
