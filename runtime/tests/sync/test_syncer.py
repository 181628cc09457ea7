# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole syncer of one member: what it says of itself on the hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi, Refused
from runtime.tests.sync.fabric_lab import KIND, fabric, widget
from runtime.tests.sync.trio import WIDGETS
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import EVENTS, NAMESPACES
from tmc.sync.ends import Ends
from tmc.sync.fabric import MEMBERS, SYNCED_RESOURCES, TOMBSTONES
from tmc.sync.parameters import CONFIG_MAPS
from tmc.sync.syncer import Syncer

SPEC = {"group": "example.org", "version": "v1", "resource": "widgets", "processor": "kcp", "epoch": 1}
Object = dict[str, Any]


def serve_discovery(api: FakeApi) -> None:
    entry = {"name": "widgets", "kind": "Widget", "namespaced": True}

    async def discover(call: Call) -> web.StreamResponse | None:
        found = {"resources": [entry, {**entry, "name": "widgets/status"}]}
        return web.json_response(found) if call.request.path == "/apis/example.org/v1" else None

    api.intercept(discover, times=10**6)


@asynccontextmanager
async def running(spec: Object) -> AsyncIterator[tuple[FakeApi, FakeApi]]:
    kinds = (SYNCED_RESOURCES, MEMBERS, TOMBSTONES, WIDGETS, EVENTS, NAMESPACES, CONFIG_MAPS)
    async with FakeApi(*kinds, name="kcp") as hub, FakeApi(*kinds, name="east") as member:
        for api in (hub, member):
            serve_discovery(api)
        hub.put(MEMBERS, {"metadata": {"name": "east"}, "spec": {"clusterUID": "uid-east"}})
        hub.put(SYNCED_RESOURCES, {"metadata": {"name": "widgets.example.org"}, "spec": spec})
        async with ApiClient(member.connection) as local, ApiClient(hub.connection) as remote:
            ends = Ends({"member": local, "hub": remote}, "east", "uid-east", "kcp", "uid-kcp")
            task = asyncio.create_task(Syncer(ends, floor=0.3).run())
            try:
                yield hub, member
                assert not task.done(), "the syncer ended by itself"
            finally:
                task.cancel()
                await asyncio.wait([task])


def ready(hub: FakeApi) -> tuple[str, str]:
    conditions = (hub.get(MEMBERS, "east").get("status") or {}).get("conditions") or [{}]
    return conditions[0].get("reason", ""), conditions[0].get("message", "")


async def test_a_kind_that_can_no_longer_be_followed_is_said_and_taken_back() -> None:
    async with running(SPEC) as (hub, member):
        await eventually(lambda: ready(hub)[0] == "Syncing", "all is well")
        away = True

        async def refuse(_: Call) -> web.StreamResponse | None:
            return web.Response(status=403) if away else None

        for verb in ("LIST", "WATCH"):
            member.intercept(refuse, verb, WIDGETS.name, times=10**6)
        await eventually(lambda: ready(hub) == ("KindUnreachable", "cannot follow widgets.example.org on east"))
        away = False
        await eventually(lambda: ready(hub)[0] == "Syncing", "all is well again")


async def test_a_declaration_that_cannot_be_read_is_said() -> None:
    async with running({**SPEC, "deletionGrace": "200ms"}) as (hub, _):
        await eventually(lambda: ready(hub)[0] == "KindUnreadable", "the declaration is of no use")
        assert "spec.deletionGrace='200ms' is out of range" in ready(hub)[1]


async def test_a_mirror_that_is_refused_is_said_until_it_is_taken() -> None:
    """The hub has forgotten its terms: the CRD on the member refuses an epoch that goes back."""
    async with running(SPEC) as (hub, member):
        await eventually(lambda: ready(hub)[0] == "Syncing", "all is well")
        refuses = True

        async def refuse(_: Call) -> web.StreamResponse | None:
            if refuses:
                raise Refused(422, "Invalid", "spec.epoch may not go back", {})
            return None

        member.intercept(refuse, "PATCH", SYNCED_RESOURCES.name, times=10**6)
        hub.put(SYNCED_RESOURCES, {**hub.get(SYNCED_RESOURCES, KIND), "spec": {**SPEC, "epoch": 2}})
        await eventually(lambda: ready(hub)[0] == "MirrorRefused", "the member does not follow")
        assert ready(hub)[1] == f"{KIND}: 422 Invalid: spec.epoch may not go back"
        refuses = False
        await eventually(lambda: ready(hub)[0] == "Syncing", "all is well again")


async def test_a_refusal_is_forgotten_with_the_kind() -> None:
    async with running(SPEC) as (hub, member):
        await eventually(lambda: ready(hub)[0] == "Syncing", "all is well")
        member.fail("PATCH", 422, "Invalid", resource=SYNCED_RESOURCES.name, times=10**6)
        hub.put(SYNCED_RESOURCES, {**hub.get(SYNCED_RESOURCES, KIND), "spec": {**SPEC, "epoch": 2}})
        await eventually(lambda: ready(hub)[0] == "MirrorRefused", "the member does not follow")
        hub.remove(SYNCED_RESOURCES, KIND)
        await eventually(lambda: ready(hub)[0] == "Syncing", "nothing is declared that it could refuse")


async def test_a_processor_that_was_moved_away_and_back_meanwhile_takes_no_progress_back() -> None:
    async with fabric() as both:
        hub, member = both.hub.api, both.member.api

        def move(processor: str, epoch: int) -> None:
            declared = hub.get(SYNCED_RESOURCES, KIND)
            hub.put(SYNCED_RESOURCES, {**declared, "spec": {**SPEC, "processor": processor, "epoch": epoch}})

        def report(api: FakeApi, done: int) -> None:
            api.put(WIDGETS, {**api.get(WIDGETS, "w", "default"), "status": {"done": done}})

        move("east", 2)
        hub.put(WIDGETS, widget())
        await eventually(lambda: ("default", "w") in member.objects[WIDGETS.name])
        report(member, 3)
        await eventually(lambda: hub.get(WIDGETS, "w", "default").get("status") == {"done": 3})
        await both.end()
        move("west", 3)
        report(hub, 8)
        move("east", 4)
        both.terms.clear()
        both.begin()
        await eventually(lambda: member.get(SYNCED_RESOURCES, KIND)["spec"]["epoch"] == 4, "its controller may begin")
        assert [api.get(WIDGETS, "w", "default")["status"] for api in (hub, member)] == [{"done": 8}] * 2
