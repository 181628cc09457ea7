# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A member whose Lease stands still is said to be silent, by one of the others, and not after an outage of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import LEASES
from tmc.core.workqueue import RetryAfter
from tmc.sync.silence import Heard, Watchman


def test_who_renews_is_heard() -> None:
    heard = Heard(9.0)
    for at in range(0, 60, 3):
        heard.looked({"west": str(at)}, ["west"], float(at))
        assert heard.silent(float(at)) == frozenset()


def test_who_does_not_renew_is_silent_after_the_time_of_the_lease() -> None:
    heard = Heard(9.0)
    for at in (0.0, 3.0, 6.0, 9.0):
        heard.looked({"west": "1", "east": str(at)}, ["west", "east"], at)
        assert heard.silent(at) == frozenset()
    heard.looked({"west": "1", "east": "12"}, ["west", "east"], 12.0)
    assert heard.silent(12.0) == {"west"}
    heard.looked({"west": "2", "east": "15"}, ["west", "east"], 15.0)
    assert heard.silent(15.0) == frozenset()


def test_a_member_without_a_lease_is_silent_in_time_too() -> None:
    heard = Heard(9.0)
    heard.looked({}, ["new"], 0.0)
    heard.looked({}, ["new"], 10.0)
    assert heard.silent(10.0) == {"new"}


def test_who_has_left_is_not_silent() -> None:
    heard = Heard(9.0)
    heard.looked({"west": "1"}, ["west"], 0.0)
    heard.looked({"west": "1"}, [], 20.0)
    assert heard.silent(20.0) == frozenset()


def test_after_an_outage_everybody_has_the_whole_time_again() -> None:
    heard = Heard(9.0)
    heard.looked({"west": "1"}, ["west"], 0.0)
    heard.lost_sight()
    heard.looked({"west": "1"}, ["west"], 30.0)
    assert heard.silent(30.0) == frozenset()
    heard.looked({"west": "1"}, ["west"], 40.0)
    assert heard.silent(40.0) == {"west"}


class Fabric:
    """Watchmen of some members over one hub; what each said."""

    def __init__(self, api: FakeApi, members: Collection[str]) -> None:
        self.api = api
        self.members = members
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

        await Watchman(client, name, lambda: self.members, say, look=0.03, patience=0.3).run()


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
