# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Of which objects this term knows that its view is no older than what was carried over before.

A first list may be old (an API server that lags behind), and so may be all that a watch tells from there on. A syncer
that has just begun would carry over again what its predecessor carried over long ago, and every observer would see the
object go back. So the first time it reads the source live; from then on the store takes nothing older.
"""

from __future__ import annotations

from collections import defaultdict

from tmc.core.keys import ObjectKey
from tmc.sync.operations import Create, Patch, Side

OTHER: dict[Side, Side] = {"member": "hub", "hub": "member"}


class Abreast:
    """By object, and by what is carried over to which side: the uid of the source object that was read or written."""

    def __init__(self) -> None:
        self._known: defaultdict[ObjectKey, dict[tuple[Side, str], str]] = defaultdict(dict)

    def knows(self, key: ObjectKey, patch: Patch, source_uid: str) -> bool:
        """A patch that carries nothing over rests on no source."""
        what = _what(patch)
        return what is None or self._known.get(key, {}).get((patch.side, what)) == source_uid

    def learn(self, key: ObjectKey, operation: Create | Patch, source_uid: str) -> None:
        """The source was read live, or what the target has now comes from this term's view."""
        what = _what(operation)
        if what is not None:
            self._known[key][operation.side, what] = source_uid

    def forget(self, key: ObjectKey) -> None:
        """Neither cluster has the object any more."""
        self._known.pop(key, None)


def _what(operation: Create | Patch) -> str | None:
    if operation.why == "status":
        return "status"
    return "object" if operation.aim else None
