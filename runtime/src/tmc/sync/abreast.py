# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Of which objects this term knows that its view is no older than what was done before.

A first list may be old (an API server that lags behind), and so may be all that a watch tells from there on. A syncer
that has just begun would make again what its predecessor removed, and carry over again what that carried over long ago:
every observer would see the object come back, or go back. So what is carried over rests on an object that this term
has read live, or written; from then on the store takes nothing older.
"""

from __future__ import annotations

from collections import defaultdict

from tmc.core.keys import ObjectKey
from tmc.sync.operations import Create, Patch, Side

OTHER: dict[Side, Side] = {"member": "hub", "hub": "member"}


def carries_over(operation: Create | Patch) -> bool:
    """Whether what it writes to one cluster is what the other one shows."""
    return bool(operation.aim) or operation.why == "status"


class Abreast:
    """By object: the uid that was read live or written on each side."""

    def __init__(self) -> None:
        self._known: defaultdict[ObjectKey, dict[Side, str]] = defaultdict(dict)

    def knows(self, key: ObjectKey, side: Side, uid: str) -> bool:
        return self._known.get(key, {}).get(side) == uid

    def learn(self, key: ObjectKey, side: Side, uid: str) -> None:
        self._known[key][side] = uid

    def forget(self, key: ObjectKey) -> None:
        """Neither cluster has the object any more."""
        self._known.pop(key, None)
