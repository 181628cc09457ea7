# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes that an API server refuses for what is in them: they rest for a while, and who stays refused is told.

A write is known by its side and its reason; `made` is a fingerprint of what it is and what it is made to. While that is
the same it rests: what else happens to the object would not have it taken. Pure, with a clock that is handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tmc.core.keys import ObjectKey
from tmc.sync.operations import Operation, Side

LEAST_SECONDS = 0.2

Write = tuple[Side, str]


@dataclass(slots=True)
class _Refusal:
    made: bytes
    until: float
    message: str = ""  # empty: refused, but perhaps not for long


class Refusals:
    """For the objects of one kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[ObjectKey, dict[Write, _Refusal]] = {}
        self._begun: dict[ObjectKey, float] = {}
        self._rests_ended = 0.0

    def among(self, key: ObjectKey, operations: Iterable[Operation]) -> None:
        """These are what there is to do for the object from now on: forget the refusals of all else."""
        self._begun[key] = self._clock()
        if known := self._known.get(key):
            planned = {_write(operation) for operation in operations}
            self._known[key] = {write: refusal for write, refusal in known.items() if write in planned}

    def rests(self, key: ObjectKey, operation: Operation, made: Callable[[], bytes]) -> bool:
        """Whether it was refused a little while ago, and would be again."""
        known = self._known.get(key, {}).get(_write(operation))
        return known is not None and self._clock() < known.until and known.made == made()

    def stays(self, key: ObjectKey, operation: Operation) -> bool:
        """Whether what is refused now was refused before, and not taken since."""
        return _write(operation) in self._known.get(key, {})

    def words(self, key: ObjectKey, operation: Operation, message: str) -> str:
        """What to tell of the object when this is what is said of the operation."""
        said = {write: refusal.message for write, refusal in self._known.get(key, {}).items() if refusal.message}
        said[_write(operation)] = message
        return "; ".join(said[write] for write in sorted(said))

    def note(self, key: ObjectKey, operation: Operation, made: bytes, seconds: float, message: str = "") -> None:
        """It was refused, and rests for so long, unless rests ended meanwhile; `message` is what was told of that."""
        if self._begun.get(key, self._clock()) < self._rests_ended:
            seconds = 0.0
        self._known.setdefault(key, {})[_write(operation)] = _Refusal(made, self._clock() + seconds, message)

    def done(self, key: ObjectKey, operation: Operation) -> None:
        """It was taken."""
        self._known.get(key, {}).pop(_write(operation), None)

    def rest(self, key: ObjectKey) -> float:
        """Seconds until the first of those that were refused should be tried again; 0: none was."""
        known = self._known.get(key)
        return max(min(each.until for each in known.values()) - self._clock(), LEAST_SECONDS) if known else 0.0

    def end_rests(self) -> None:
        """Something changed that what is refused may depend on, and what is refused next, but was asked before."""
        self._rests_ended = self._clock()
        for known in self._known.values():
            for refusal in known.values():
                refusal.until = self._clock()

    def settled(self, key: ObjectKey) -> None:
        """Nothing is left to do for this object."""
        self._known.pop(key, None)
        self._begun.pop(key, None)


def _write(operation: Operation) -> Write:
    return getattr(operation, "side", "hub"), operation.why
