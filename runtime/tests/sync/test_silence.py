# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A member whose Lease stands still is said to be silent, by one of the others, and not after an outage of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient, ListResult
from tmc.api.resource import LEASES
from tmc.core.workqueue import RetryAfter
from tmc.sync.silence import Watchman
from tmc.sync.succession import Silences


def test_who_renews_is_heard() -> None:
    heard = Silences(4.5)
    for at in range(0, 60, 3):
        heard.looked({"west": str(at)}, ["west"], float(at))
        assert heard.longer_than(9.0) == frozenset()


def test_who_does_not_renew_is_silent_after_the_time_of_the_lease() -> None:
    heard = Silences(4.5)
    for at in (0.0, 3.0, 6.0, 9.0):
        heard.looked({"west": "1", "east": str(at)}, ["west", "east"], at)
        assert heard.longer_than(9.0) == frozenset()
    heard.looked({"west": "1", "east": "12"}, ["west", "east"], 12.0)
    assert heard.longer_than(9.0) == {"west"}
    heard.looked({"west": "2", "east": "15"}, ["west", "east"], 15.0)
    assert heard.longer_than(9.0) == frozenset()


def test_a_member_without_a_lease_is_silent_in_time_too() -> None:
    heard = Silences(4.5)
    for at in (0.0, 4.0, 8.0, 12.0):
        heard.looked({}, ["new"], at)
    assert heard.longer_than(9.0) == {"new"}


def test_who_has_left_is_not_silent() -> None:
    heard = Silences(4.5)
    for at, expected in ((0.0, ["west"]), (4.0, ["west"]), (8.0, ["west"]), (12.0, [])):
        heard.looked({"west": "1"}, expected, at)
    assert heard.longer_than(9.0) == frozenset()


def test_after_an_outage_everybody_has_the_whole_time_again() -> None:
    heard = Silences(4.5)
    heard.looked({"west": "1"}, ["west"], 0.0)
    heard.lost_sight()
    for at in (30.0, 34.0, 38.0):
        heard.looked({"west": "1"}, ["west"], at)
        assert heard.longer_than(9.0) == frozenset()
    heard.looked({"west": "1"}, ["west"], 42.0)
    assert heard.longer_than(9.0) == {"west"}


class Slow:
    """An heir that takes its time, once; and a hub whose list does."""

    def __init__(self, *, heir: float = 0.0, hub: float = 0.0) -> None:
        self.heir, self.hub, self.version = heir, hub, 0

    async def looked(self, _leases: Mapping[str, str], _others: Collection[str], _at: float) -> None:
        if self.version == 3:
            await asyncio.sleep(self.heir)

    def lost_sight(self) -> None:
        pass

    async def list(self, *_: Any, **__: Any) -> ListResult:
        self.version += 1
        renewed = self.version
        if self.version == 3:
            renewed -= 1  # nobody could renew meanwhile
            await asyncio.sleep(self.hub)
        metadata = {"name": "syncer-west", "resourceVersion": str(renewed)}
        return ListResult([{"metadata": metadata}], self.version)


@pytest.mark.parametrize("slow", [{"heir": 0.6}, {"hub": 0.6}])
async def test_who_did_not_look_for_long_has_not_heard_a_silence(slow: dict[str, float]) -> None:
    """A failover, or a hub that is slow to answer, takes longer than a Lease lasts."""
    hub, said = Slow(**slow), list[list[str]]()

    async def say(silent: Collection[str]) -> None:
        said.append(list(silent))

    watchman = Watchman(hub, "east", lambda: ("east", "west"), say, look=0.1, patience=0.4, heir=hub)  # type: ignore[arg-type]
    task = asyncio.create_task(watchman.run())
    try:
        await eventually(lambda: len(said) > 5)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert said == [[]] * len(said)


async def test_who_may_not_speak_leaves_it_to_the_next() -> None:
    async with FakeApi(LEASES) as api, ApiClient(api.connection) as client:
        fabric = Fabric(api, ("a", "b", "c"))
        fabric.mute = "a"
        tasks = [asyncio.create_task(fabric.keep())]
        tasks += [asyncio.create_task(fabric.watch(client, name)) for name in ("a", "b", "c")]
        try:
            await eventually(lambda: len(fabric.said["b"]) > 3)
            assert fabric.said["a"] == fabric.said["c"] == []
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


class Fabric:
    """Watchmen of some members over one hub; what each said."""

    def __init__(self, api: FakeApi, members: Collection[str]) -> None:
        self.api = api
        self.members = members
        self.mute = ""
        self.said: dict[str, list[list[str]]] = {name: [] for name in members}
        self.alive = set(members)
        self.tasks: list[asyncio.Task[None]] = []

    async def keep(self) -> None:
        while True:
            for name in self.alive:
                lease = {"metadata": {"name": f"syncer-{name}", "namespace": "tmc-system"}, "spec": {}}
                self.api.put(LEASES, lease)
            await asyncio.sleep(0.02)

    async def watch(self, client: ApiClient, name: str) -> None:
        async def say(silent: Collection[str]) -> None:
            self.said[name].append(list(silent))
            if len(self.said[name]) == 2:
                raise RetryAfter(0.1)

        def may_speak(name: str) -> bool:
            return name != self.mute

        watchman = Watchman(client, name, lambda: self.members, say, look=0.03, patience=0.3, may_speak=may_speak)
        await watchman.run()


async def test_the_first_that_lives_speaks_for_all() -> None:
    async with FakeApi(LEASES) as api, ApiClient(api.connection) as client:
        fabric = Fabric(api, ("a", "b", "c"))
        tasks = [asyncio.create_task(fabric.keep())]
        tasks += [asyncio.create_task(fabric.watch(client, name)) for name in ("a", "b", "c")]
        try:
            await eventually(lambda: len(fabric.said["a"]) > 3)
            assert fabric.said["b"] == fabric.said["c"] == []
            assert set(map(tuple, fabric.said["a"])) == {()}
            fabric.alive.remove("a")
            tasks.pop(1).cancel()
            await eventually(lambda: ["a"] in fabric.said["b"])
            assert fabric.said["c"] == []
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def test_an_outage_of_the_hub_makes_nobody_silent() -> None:
    async with FakeApi(LEASES) as api, ApiClient(api.connection) as client:
        fabric = Fabric(api, ("a", "b"))
        fabric.alive.clear()
        task = asyncio.create_task(fabric.watch(client, "a"))
        try:
            await eventually(lambda: bool(fabric.said["a"]))
            api.fail("LIST", 503, resource=LEASES.name, times=30)  # of 0.03 s each, more than the patience
            await eventually(lambda: sum(call.verb == "LIST" for call in api.calls) > 30)
            said = len(fabric.said["a"])
            keeper = asyncio.create_task(fabric.keep())
            fabric.alive.add("b")
            await eventually(lambda: len(fabric.said["a"]) > said + 20)
            assert ["b"] not in fabric.said["a"][said:]
            keeper.cancel()
        finally:
            task.cancel()
            await asyncio.wait([task])
