# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What is known of one kind on one cluster: the newest version seen of each object, kept as JSON bytes.

Versions are compared as integers: API servers give one growing sequence per kind (KEP-5504), so "newer" is decidable
and late, doubled or replayed news is told from fresh news.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import orjson

from tmc.core.keys import ObjectKey, key_of

REMEMBERED_DELETIONS = 4096
OUTLINE = "tmc.io/outline"  # a mark that no API server gives: of this object only the metadata is known
_ROOM = 4  # levels; a patch puts what it carries two deeper than it lies in its object
MOST_LEVELS = 254 - _ROOM  # what orjson writes


class Version(NamedTuple):
    """Which object and which version of it."""

    uid: str
    resource_version: int


def version_of(obj: dict[str, Any]) -> Version:
    """The version of an object, or of its metadata alone."""
    metadata = obj["metadata"]
    return Version(metadata["uid"], int(metadata["resourceVersion"]))


class Encoded(NamedTuple):
    """An object as the store keeps it: JSON, without managedFields; of one that is nested too deep its outline."""

    key: ObjectKey
    version: Version
    raw: bytes


def encode(obj: dict[str, Any]) -> Encoded:
    """No larger than its content, whatever the page was that the object came with.

    An object of more than ``MOST_LEVELS`` can be neither kept nor written: its outline stands for it.
    """
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    try:
        roomy = orjson.dumps([[[[{**obj, "metadata": metadata}]]]])
    except orjson.JSONEncodeError:
        names = {name: obj[name] for name in ("apiVersion", "kind") if name in obj}
        roomy = orjson.dumps([[[[{**names, "metadata": metadata, OUTLINE: True}]]]])
    # Copied, because what orjson gives keeps the buffer of several KiB that it was written into.
    raw = memoryview(roomy)[_ROOM:-_ROOM].tobytes()
    key = key_of(obj)
    return Encoded(ObjectKey(sys.intern(key.namespace), key.name), version_of(obj), raw)


class _Entry(msgspec.Struct, gc=False):
    """Nothing that the garbage collector would go through, and stop the process for, again and again."""

    uid: str
    resource_version: int
    raw: bytes
    unannounced: bool  # came from an own write; the watch has not told of it yet

    @property
    def version(self) -> Version:
        return Version(self.uid, self.resource_version)


class Store:
    """Objects by key. Readers use ``get``, ``keys``, ``len``, ``in`` and ``remember``; the rest is the reflector's."""

    def __init__(self) -> None:
        self._entries: dict[ObjectKey, _Entry] = {}
        # uid -> version of its deletion: uids never return, so late news of a dead object can be told.
        self._deleted: OrderedDict[str, int] = OrderedDict()

    def get(self, key: ObjectKey) -> dict[str, Any] | None:
        """A private copy of the object without managedFields, or None. One that is nested too deep: its outline."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        decoded: dict[str, Any] = orjson.loads(entry.raw)
        return decoded

    def keys(self) -> Iterator[ObjectKey]:
        """All keys at this moment; safe to use while the store changes."""
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def remember(self, obj: dict[str, Any]) -> None:
        """Take in the answer to an own write, when it is newer than what is held (read your writes)."""
        version, held = version_of(obj), self.version(key_of(obj))
        if version.uid in self._deleted or (held and held.resource_version >= version.resource_version):
            return
        self._put(encode(obj), unannounced=True)

    def version(self, key: ObjectKey) -> Version | None:
        """What is held of ``key``."""
        entry = self._entries.get(key)
        return entry.version if entry else None

    def deleted_at(self, uid: str) -> int:
        """The version at which the object was deleted; 0 when it is not known to be."""
        return self._deleted.get(uid, 0)

    def observe(self, obj: dict[str, Any]) -> bool:
        """Take in a version that the API server told of. False when it is old news and nothing changed.

        The version of an own write is news once, too: it may hold somebody else's change besides.
        """
        key, version = key_of(obj), version_of(obj)
        entry = self._entries.get(key)
        if entry and entry.version == version:
            news, entry.unannounced = entry.unannounced, False
            return news
        if version.uid in self._deleted or (entry and entry.resource_version > version.resource_version):
            return False
        self._put(encode(obj), unannounced=False)
        return True

    def replace(self, new: Encoded) -> None:
        """Put the object whatever is held: a consistent read has shown that it is the truth."""
        self._deleted.pop(new.version.uid, None)
        self._put(new, unannounced=False)

    def observe_deletion(self, key: ObjectKey, version: Version) -> bool:
        """Take in a deletion; it must be of the very object that is held, and not older than it."""
        entry = self._entries.get(key)
        if entry and entry.uid == version.uid and entry.resource_version > version.resource_version:
            return False
        self._bury(version.uid, version.resource_version)
        if entry is None or entry.uid != version.uid:
            return False
        del self._entries[key]
        return True

    def remove(self, key: ObjectKey, resource_version: int) -> None:
        """Drop a key that a consistent list as of ``resource_version`` does not have."""
        entry = self._entries.pop(key, None)
        if entry:
            self._bury(entry.uid, resource_version)

    def is_unannounced(self, key: ObjectKey) -> bool:
        """What is held came from an own write, and no watch has told of it."""
        entry = self._entries.get(key)
        return entry is not None and entry.unannounced

    def announce(self, keys: Iterable[ObjectKey]) -> list[ObjectKey]:
        """The keys among ``keys`` with an own write that no watch told of; they count as told from now on."""
        told = [key for key in keys if self.is_unannounced(key)]
        for key in told:
            self._entries[key].unannounced = False
        return told

    def _put(self, new: Encoded, *, unannounced: bool) -> None:
        self._entries[new.key] = _Entry(*new.version, new.raw, unannounced)

    def _bury(self, uid: str, resource_version: int) -> None:
        self._deleted[uid] = max(resource_version, self._deleted.get(uid, 0))
        self._deleted.move_to_end(uid)
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
