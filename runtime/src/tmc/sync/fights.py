# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes that have to be made again, though what they make is the same: somebody else keeps undoing them.

The first ones are repairs. More than a few a minute are a fight, which is not burned through: the next ones wait. Pure,
with a clock that is handed in.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable

from tmc.core.keys import ObjectKey
from tmc.sync.operations import Create, Patch, Tell

WINDOW_SECONDS = 60.0
REPAIRS_PER_WINDOW = 5


class Fights:
    """For the objects of one kind. `uid` is that of the object that is written to, empty for one that is made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made: defaultdict[ObjectKey, dict[str, int]] = defaultdict(dict)  # the newest write of each purpose
        self._repairs: dict[tuple[ObjectKey, str], deque[float]] = {}

    def wait(self, key: ObjectKey, operation: Create | Patch, uid: str) -> float:
        """Seconds until it may be made, 0 for now."""
        purpose = _purpose(operation)
        repairs = self._repairs.get((key, purpose))
        if repairs is None or not self._again(key, operation, uid):
            return 0.0
        now = self._clock()
        while repairs and now - repairs[0] > WINDOW_SECONDS:
            repairs.popleft()
        return 0.0 if len(repairs) < REPAIRS_PER_WINDOW else WINDOW_SECONDS - (now - repairs[0]) + 1.0

    def made(self, key: ObjectKey, operation: Create | Patch, uid: str) -> int:
        """It was made: the how manieth repair of late it is, 0 for none."""
        purpose = _purpose(operation)
        if not self._again(key, operation, uid):
            self._made[key][purpose] = _print(operation, uid)
            return 0
        repairs = self._repairs.setdefault((key, purpose), deque(maxlen=REPAIRS_PER_WINDOW))
        repairs.append(self._clock())
        return len(repairs)

    def forget(self, key: ObjectKey) -> None:
        """Neither cluster has the object any more."""
        for purpose in self._made.pop(key, ()):
            self._repairs.pop((key, purpose), None)

    def _again(self, key: ObjectKey, operation: Create | Patch, uid: str) -> bool:
        return self._made.get(key, {}).get(_purpose(operation)) == _print(operation, uid)


def news(done: Create | Patch, repairs: int) -> list[Tell]:
    """What those who look at the object should hear of a write that undid something; `repairs` is what `made` said."""
    told = []
    if repairs == REPAIRS_PER_WINDOW:
        where = "on the hub" if done.side == "hub" else "here"
        message = (
            f"somebody else keeps undoing what is written {where} ({done.why}): it was written {repairs} times within "
            f"{WINDOW_SECONDS:.0f} s and waits now. The object's managedFields name who writes: stop that writer"
        )
        told.append(Tell("member", "Contended", message))
    if done.copy_of and (repairs or (isinstance(done, Patch) and done.drift)):
        what = "it was deleted here and made again" if isinstance(done, Create) else "a change made here was undone"
        message = f"this is a copy of an object of cluster {done.copy_of}: {what}. Change it on {done.copy_of}"
        told.append(Tell("member", "DriftRestored", message))
    return told


def _purpose(operation: Create | Patch) -> str:
    """What makes a copy and what repairs it have the same."""
    return f"{operation.side} {'object' if operation.aim else operation.why}"


def _print(operation: Create | Patch, uid: str) -> int:
    """Of what is made; an aim names the origin's uid itself."""
    if operation.aim or isinstance(operation, Create):
        return hash(operation.aim)
    return hash((uid, json.dumps(operation.patch[1:], sort_keys=True)))  # the first op guards, and names a version
