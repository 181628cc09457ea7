# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A store held against a consistent list: what differs, leaving alone what is newer than the list.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tmc.api.client import ListResult
from tmc.core.keys import ObjectKey, key_of
from tmc.core.store import Store, Version, version_of


@dataclass(slots=True)
class Differences:
    """Keys by what the list says of them. True (as a condition) when something differs."""

    different: list[ObjectKey] = field(default_factory=list)  # listed, and another version or nothing is held
    vanished: list[ObjectKey] = field(default_factory=list)  # held, not listed
    equal: list[ObjectKey] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.different) + len(self.vanished)


def compare(store: Store, listed: ListResult) -> Differences:
    """Items may be whole objects or metadata alone."""
    found = Differences()
    seen: set[ObjectKey] = set()
    for item in listed.items:
        key = key_of(item)
        seen.add(key)
        verdict = _verdict(store, key, version_of(item), listed.resource_version)
        if verdict is not None:
            verdict_list = found.different if verdict else found.equal
            verdict_list.append(key)
    for key in list(store.keys()):
        held = store.version(key)
        if key not in seen and held and held.resource_version <= listed.resource_version:
            found.vanished.append(key)
    return found


def _verdict(store: Store, key: ObjectKey, listed: Version, list_version: int) -> bool | None:
    """True: differs; False: equal; None: the store knows better than the list."""
    held = store.version(key)
    if held == listed:
        return False
    if held and held.resource_version > list_version:
        return None
    if store.deleted_at(listed.uid) > list_version:
        return None
    return True
