# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The tombstones that this member has still to acknowledge, by the object that they stand for.

Every plan asks for those of its object, and a member that is away for long leaves thousands: each is read once, when it
changes, and those that ask only others are not kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from tmc.core.keys import ObjectKey
from tmc.sync.objects import Object


class Buried:
    """Of each object the names of its tombstones, and for each the uid of the cluster that it names."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._places: dict[str, tuple[str, ObjectKey]] = {}
        self._kinds: defaultdict[str, dict[ObjectKey, dict[str, str]]] = defaultdict(dict)

    def learn(self, name: str, tombstone: Object | None) -> None:
        """The tombstone of this name is as it is; None: there is none any more."""
        self._forget(name)
        spec = (tombstone or {}).get("spec") or {}
        if self._member in (spec.get("pending") or ()):
            kind, key = f"{spec['resource']}.{spec['group']}", ObjectKey(spec.get("namespace", ""), spec["name"])
            self._places[name] = kind, key
            self._kinds[kind].setdefault(key, {})[name] = spec.get("originClusterUID", "")

    def _forget(self, name: str) -> None:
        if name not in self._places:
            return
        kind, key = self._places.pop(name)
        del self._kinds[kind][key][name]
        if not self._kinds[kind][key]:
            del self._kinds[kind][key]

    def origins(self, kind: str, key: ObjectKey) -> Mapping[str, str]:
        """The tombstones of objects of this name, with the uid of the cluster that says so."""
        return self._kinds[kind].get(key, {})

    def keys(self, kind: str) -> list[ObjectKey]:
        """The objects of a kind of which an origin is buried."""
        return list(self._kinds[kind])
