# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The objects that a syncer has seen to their end.

Every write that changes or deletes names the uid or the version that it is about; only a creation cannot. One that was
sent before and is carried out later (by a network that held it back, for a leader that was frozen) makes a copy of what
ended meanwhile. So does one that is made while a deletion overtakes our finalizer. That absence deletes nothing would
keep such a copy for ever; what was ended here is evidence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

REMEMBERED = 8192  # a creation is late by seconds, or by a minute: by far fewer ends than these


class Ended:
    """Origin uids, the newest ends only."""

    def __init__(self) -> None:
        self._uids: OrderedDict[str, None] = OrderedDict()

    def add(self, uid: str) -> None:
        """Empty: nothing has ended."""
        if not uid:
            return
        self._uids[uid] = None
        self._uids.move_to_end(uid)
        if len(self._uids) > REMEMBERED:
            self._uids.popitem(last=False)

    def discard(self, uid: str) -> None:
        """The object is carried again: its hub copy had been deleted, not itself."""
        self._uids.pop(uid, None)

    def among(self, uids: Iterable[str]) -> frozenset[str]:
        """Those of ``uids`` that have ended."""
        return frozenset(uid for uid in uids if uid in self._uids)
