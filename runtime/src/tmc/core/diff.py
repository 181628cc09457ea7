# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A store held against a consistent list: what differs, leaving alone what is newer than the list.

No I/O, no clock. Taken in slices, between which the event loop has its turn and the store may change: each key is
judged by what is held at its turn, which is sound, because what comes later than the list is newer than the list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum

from tmc.api.pages import Listed, slices
from tmc.core.keys import ObjectKey
from tmc.core.store import Store, Version

Stamp = tuple[ObjectKey, Version]


class Verdict(Enum):
    """On one listed object."""

    EQUAL = "the same version is held"
    DIFFERENT = "another version or nothing is held"
    OVERTAKEN = "the store knows better than the list"


@dataclass(slots=True)
class Differences:
    """Keys by what the list says of them. True (as a condition) when something differs."""

    different: list[ObjectKey] = field(default_factory=list)  # listed, and another version or nothing is held
    vanished: list[ObjectKey] = field(default_factory=list)  # held, not listed
    untold: list[ObjectKey] = field(default_factory=list)  # equal, by an own write that no watch has told of

    def __len__(self) -> int:
        return len(self.different) + len(self.vanished)


async def compare(store: Store, listed: Listed[Stamp]) -> Differences:
    """What is to be done to make the store what the list says."""
    found, seen = Differences(), set[ObjectKey]()
    for part in slices(listed.items):
        for key, version in part:
            seen.add(key)
            match judge(store, key, version, listed.resource_version):
                case Verdict.DIFFERENT:
                    found.different.append(key)
                case Verdict.EQUAL if store.is_unannounced(key):
                    found.untold.append(key)
        await asyncio.sleep(0)
    found.vanished = await vanished(store, seen, listed.resource_version)
    return found


async def vanished(store: Store, listed: Set[ObjectKey], list_version: int) -> list[ObjectKey]:
    """What is held, not newer than the list, and not listed. To be asked again (``is_older``) before it is dropped."""
    found: list[ObjectKey] = []
    for part in slices(list(store.keys())):
        found += [key for key in part if key not in listed and is_older(store, key, list_version)]
        await asyncio.sleep(0)
    return found


def is_older(store: Store, key: ObjectKey, list_version: int) -> bool:
    """Something is held of ``key`` that a list of this version would show."""
    held = store.version(key)
    return held is not None and held.resource_version <= list_version


def judge(store: Store, key: ObjectKey, listed: Version, list_version: int) -> Verdict:
    """What the list's version of one object means for the store as it is now."""
    held = store.version(key)
    if held == listed:
        return Verdict.EQUAL
    if held and held.resource_version > list_version:
        return Verdict.OVERTAKEN
    if store.deleted_at(listed.uid) > list_version:
        return Verdict.OVERTAKEN
    return Verdict.DIFFERENT
