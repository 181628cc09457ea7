# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The own objects of which no copy is left anywhere when the hub has none.

A hub copy that is being deleted because its origin is goes only when every member has let go of it. One that is gone
without that having been seen may have gone with its namespace or its kind, or with a hub that was restored: then the
members keep their copies, and only a tombstone tells them.
"""

from __future__ import annotations

from tmc.core.keys import ObjectKey
from tmc.sync import names
from tmc.sync.objects import Object, finalizers_of, is_deleting, marked_origin, uid_of


class Told:
    """Known to this process only: one that begins anew writes a tombstone too many rather than none."""

    def __init__(self) -> None:
        self._uids: dict[ObjectKey, str] = {}

    def look(self, key: ObjectKey, member: Object | None, hub: Object | None, *, losing: bool) -> bool:
        """Whether that is known of `member`. `losing`: the hub is losing the kind or the namespace."""
        if member is None or losing:
            self.forget(key)
            return False
        if hub is None:
            if names.SYNC_FINALIZER not in finalizers_of(member):
                self._uids[key] = uid_of(member)  # it is held before its hub copy is made
        elif not is_deleting(member) or _origin_uid(hub) != uid_of(member):
            self.forget(key)
        elif is_deleting(hub):
            self._uids[key] = uid_of(member)
        return self._uids.get(key) == uid_of(member)

    def withdrawn(self, key: ObjectKey, member: Object | None) -> None:
        """This process has begun the deletion of the hub copy of `member`; it may be gone before that is seen."""
        if member is not None and is_deleting(member):
            self._uids[key] = uid_of(member)

    def forget(self, key: ObjectKey) -> None:
        """It is about to be announced, or the hub turned out to lose more than this object."""
        self._uids.pop(key, None)


def _origin_uid(hub: Object) -> str:
    origin = marked_origin(hub)
    return origin.uid if origin is not None else ""
