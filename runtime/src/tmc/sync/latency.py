# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Since when objects wait for this syncer, by its own monotonic clock.

The clock of an object starts when this process is told of a change on one cluster, and stops when a write that follows
on the other cluster is acknowledged. What happened before, between the API server and us, is not in it; everything that
happens here is: the queue, retries, refusals. A key that came to nothing, or waits for somebody else, is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from tmc.core.keys import ObjectKey
from tmc.sync.operations import Side

Carried = Literal["object", "status"]
Observe = Callable[[Side, Carried, float], None]  # (written side, what, seconds)
_OTHER: dict[Side, Side] = {"hub": "member", "member": "hub"}


class Waiting:
    """What waits of one kind. ``observe`` gets the seconds from a change on one side to the write on the other."""

    def __init__(self, kind: str, observe: Observe) -> None:
        self.kind = kind
        self._observe = observe
        self._noticed: dict[ObjectKey, dict[Side, float]] = {}
        self._at_work: dict[ObjectKey, dict[Side, float]] = {}

    def noticed(self, key: ObjectKey, side: Side) -> None:
        """The object changed on ``side``. Of several changes that wait the first one counts."""
        self._noticed.setdefault(key, {}).setdefault(side, time.monotonic())

    @contextmanager
    def at_work(self, key: ObjectKey) -> Iterator[None]:
        """The object is being dealt with; if that fails, it goes on waiting."""
        since = self._at_work[key] = self._noticed.pop(key, {})
        try:
            yield
        except BaseException:
            self._noticed[key] = {**self._noticed.get(key, {}), **since}
            raise
        finally:
            del self._at_work[key]

    def written(self, key: ObjectKey, side: Side, carried: Carried) -> None:
        """A write on ``side`` was acknowledged; it is measured if a change on the other side led to it."""
        since = self._at_work.get(key, {}).get(_OTHER[side])
        if since is not None:
            self._observe(side, carried, time.monotonic() - since)

    def oldest(self) -> float:
        """Seconds that the object has waited which waits longest; 0 when none does."""
        now = time.monotonic()
        waiting = (*self._noticed.values(), *self._at_work.values())
        return max((now - at for since in waiting for at in since.values()), default=0.0)

    @property
    def label(self) -> str:
        return f"objects of {self.kind}"

    def stuck(self) -> str:
        return ""

    def unready(self) -> str:
        return ""
