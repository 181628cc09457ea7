# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a member takes from the hub's fabric objects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime.tests.fakeapi import FakeApi
from runtime.tests.sync.fabric_lab import KIND, SPEC, WIDGETS, fabric, widget
from runtime.tests.sync.trio import KIND as CARRIED
from runtime.tests.waiting import eventually
from tmc.core.keys import ObjectKey
from tmc.sync.fabric import SYNCED_RESOURCES, TOMBSTONES, tombstone_body


async def test_a_member_obeys_only_the_tombstones_that_ask_it() -> None:
    async with fabric() as both:
        key, origin = ObjectKey("default", "w"), "uid-kcp"
        for uid, pending in (("1-theirs", ["west"]), ("2-ours", ["east", "west"])):
            both.hub.api.put(TOMBSTONES, tombstone_body(CARRIED, key, ("kcp", origin, uid), pending))

        def pending() -> dict[str, list[str]]:
            stones = both.hub.api.objects[TOMBSTONES.name].values()
            return {stone["metadata"]["name"]: stone["spec"]["pending"] for stone in stones}

        await eventually(
            lambda: pending() == {"1-theirs.kcp": ["west"], "2-ours.kcp": ["west"]}, "ours is acknowledged"
        )
        asked = {c.name for c in both.hub.api.calls if c.resource == TOMBSTONES.name and c.verb in ("GET", "PATCH")}
        assert asked == {"2-ours.kcp"}


async def test_no_plan_reads_the_tombstones_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fabric() as both:
        for number in range(30):
            stone = tombstone_body(CARRIED, ObjectKey("default", f"w{number}"), ("x", "uid-x", f"t{number}"), ["west"])
            both.hub.api.put(TOMBSTONES, stone)
        store = both.syncers[-1]._fabric._tombstones.store
        await eventually(lambda: len(store) == 30, "all are known")
        await eventually(lambda: both.condition() == ("True", "Syncing"), "all is well")
        decoded: list[ObjectKey] = []
        get = store.get
        monkeypatch.setattr(store, "get", lambda key: (decoded.append(key), get(key))[1])
        for number in range(5):
            both.hub.api.put(WIDGETS, widget(f"w{number}"))
        carried = both.member.api.objects[WIDGETS.name]
        await eventually(lambda: len(carried) == 5, "five objects are carried")
        assert decoded == []


async def test_a_kind_that_is_withdrawn_is_no_longer_carried_while_its_declaration_goes() -> None:
    async with fabric() as both:
        both.hub.api.put(WIDGETS, widget("before"))
        await eventually(lambda: ("default", "before") in both.member.api.objects[WIDGETS.name], "it is carried")
        declared = both.hub.api.get(SYNCED_RESOURCES, KIND)
        declared["metadata"]["finalizers"] = ["somebody/waits"]
        both.hub.api.put(SYNCED_RESOURCES, declared)
        both.hub.api.remove(SYNCED_RESOURCES, KIND)
        await eventually(lambda: not followed(both.member.api), "it is no longer followed")
        both.hub.api.put(WIDGETS, widget("after"))
        marker = {"metadata": {"name": "marker.example.org"}, "spec": {**SPEC, "resource": "marker"}}
        both.hub.api.put(SYNCED_RESOURCES, marker)
        mirrors = both.member.api.objects[SYNCED_RESOURCES.name]
        await eventually(lambda: ("", "marker.example.org") in mirrors, "later news has come")
        assert ("default", "after") not in both.member.api.objects[WIDGETS.name]


def followed(api: FakeApi) -> bool:
    """Whether anybody still watches the kind: a stream that was left is noticed when something is written to it."""
    api.bookmark()
    return any(watch.resource == WIDGETS.name for watch in api.watches)


@pytest.mark.parametrize("change", [{"group": "b"}, {"version": "v2"}, {"resource": "gadgets"}])
def test_another_resource_is_another_kind(change: dict[str, str]) -> None:
    assert not CARRIED.same_resource(replace(CARRIED, **change))


def test_another_policy_is_the_same_kind() -> None:
    assert CARRIED.same_resource(replace(CARRIED, processor="east", epoch=9, grace=1.0, namespaces="Wait"))
