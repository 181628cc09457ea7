# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Which tombstones a plan has to look at."""

from __future__ import annotations

from runtime.tests.sync.trio import KIND
from tmc.core.keys import ObjectKey
from tmc.sync.buried import Buried
from tmc.sync.fabric import tombstone_body

KEY = ObjectKey("default", "w")


def learn(buried: Buried, uid: str, *pending: str, key: ObjectKey = KEY) -> None:
    stone = tombstone_body(KIND, key, ("west", "uid-west", uid), list(pending))
    buried.learn(stone["metadata"]["name"], stone)


def test_those_of_one_name_that_ask_this_member() -> None:
    buried = Buried("east")
    learn(buried, "one", "east", "south")
    learn(buried, "two", "east")
    learn(buried, "theirs", "south")
    learn(buried, "elsewhere", "east", key=ObjectKey("", "w"))
    assert dict(buried.origins(KIND.name, KEY)) == {"one.west": "uid-west", "two.west": "uid-west"}
    assert buried.keys(KIND.name) == [KEY, ObjectKey("", "w")]
    assert (buried.origins("other.example.org", KEY), buried.keys("other.example.org")) == ({}, [])


def test_what_is_acknowledged_or_gone_is_forgotten() -> None:
    buried = Buried("east")
    for uid in ("one", "two", "three"):
        learn(buried, uid, "east", "south")
    learn(buried, "one", "south")
    buried.learn("two.west", None)
    buried.learn("two.west", None)
    assert dict(buried.origins(KIND.name, KEY)) == {"three.west": "uid-west"}
    buried.learn("three.west", {"metadata": {"name": "three.west"}})
    assert buried.keys(KIND.name) == []
