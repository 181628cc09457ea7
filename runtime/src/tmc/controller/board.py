# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The unfinished queues, with what each could use now: kept up to date key by key, so that a round is cheap."""

from __future__ import annotations

import heapq
from collections.abc import Collection

from tmc.controller.plan import Progress
from tmc.controller.schedule import Demand, schedule
from tmc.core.keys import ObjectKey


class Board:
    """A queue whose write is under way is not on the board."""

    def __init__(self) -> None:
        self._progress: dict[ObjectKey, Progress] = {}
        self._demands: dict[ObjectKey, Demand] = {}
        self._due: set[ObjectKey] = set()
        self._waiting_since: dict[ObjectKey, float] = {}

    def put(self, progress: Progress, now: float) -> None:
        """`now`: seconds of the loop's clock."""
        queue = progress.queue
        self.take(queue.key)
        self._progress[queue.key] = progress
        if progress.wanted:
            self._demands[queue.key] = Demand(queue.rank, queue.created, queue.key, progress.wanted)
        if progress.due:
            self._due.add(queue.key)
        if progress.unacknowledged:
            self._waiting_since.setdefault(queue.key, now)
        else:
            self._waiting_since.pop(queue.key, None)

    def take(self, key: ObjectKey) -> Progress | None:
        """Take a queue off the board to write its status; how long it has been waiting is kept."""
        self._demands.pop(key, None)
        self._due.discard(key)
        return self._progress.pop(key, None)

    def drop(self, key: ObjectKey) -> None:
        """There is nothing left to do for this queue."""
        self.take(key)
        self._waiting_since.pop(key, None)

    def clear(self) -> None:
        for held in (self._progress, self._demands, self._due, self._waiting_since):
            held.clear()

    def turns(self, free: int) -> dict[ObjectKey, int]:
        """Whose status is to be written now, and how many of `free` workers each gets with that."""
        return dict.fromkeys(self._due, 0) | schedule(self._demands.values(), free)

    def overlooked(self, since: float, count: int) -> Collection[ObjectKey]:
        """The next `count` in line of those that have waited since before `since` and were never told anything."""
        waiting = (demand for key, demand in self._demands.items() if self._waiting_since.get(key, since) < since)
        return [demand.key for demand in heapq.nsmallest(count, waiting)]
