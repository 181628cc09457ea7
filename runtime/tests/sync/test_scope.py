# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the hub loses as a whole is told from what was deleted itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.errors import ApiError
from tmc.api.resource import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from tmc.sync.definitions import Definitions
from tmc.sync.objects import Object
from tmc.sync.scope import HubScope
from tmc.sync.shared_read import SharedRead

NAME = "widgets.example.org"
HELD = {"finalizers": ["somebody"]}


@asynccontextmanager
async def scope(floor: float = 60.0) -> AsyncIterator[tuple[FakeApi, HubScope, list[str]]]:
    changes: list[str] = []
    async with FakeApi(CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES) as api, ApiClient(api.connection) as client:
        api.put(NAMESPACES, {"metadata": {"name": "shop", **HELD}})
        for name in (NAME, "others.example.org"):
            api.put(CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": name, **HELD}})
        definitions = Definitions({"hub": client}, floor=floor, on_change=lambda: changes.append("definition"))
        hub = HubScope(client, definitions, floor=floor, on_change=lambda: changes.append("namespace"))
        async with asyncio.TaskGroup() as group:
            definitions.follow(group, [NAME])
            task = group.create_task(hub.run())
            await hub.wait_synced()
            await eventually(lambda: definitions.get("hub", NAME) is not None)
            yield api, hub, changes
            definitions.follow(group, [])
            task.cancel()


async def test_a_kind_and_a_namespace_that_stay() -> None:
    async with scope() as (_, hub, changes):
        assert not hub.kind_terminating(NAME)
        assert hub.namespaces_terminating == frozenset()
        assert await hub.confirms(NAME, "shop")
        assert await hub.confirms(NAME, "")
        assert "namespace" not in changes


async def test_a_namespace_that_goes_is_seen_and_void() -> None:
    async with scope() as (api, hub, changes):
        api.remove(NAMESPACES, "shop")
        await eventually(lambda: hub.namespaces_terminating == {"shop"})
        assert changes.count("namespace") == 1
        assert not await hub.confirms(NAME, "shop")
        assert await hub.confirms(NAME, "")


async def test_a_live_read_is_ahead_of_a_watch_that_is_silent() -> None:
    async with scope() as (api, hub, _):
        api.hang_watches()
        api.remove(NAMESPACES, "shop")
        assert hub.namespaces_terminating == frozenset()
        assert not await hub.confirms(NAME, "shop")
        assert hub.namespaces_terminating == {"shop"}, "what was read is known from then on"
        api.remove(CUSTOM_RESOURCE_DEFINITIONS, NAME)
        assert not hub.kind_terminating(NAME)
        assert not await hub.confirms(NAME, "")
        assert hub.kind_terminating(NAME)


async def test_a_namespace_that_is_gone_confirms_nothing_and_a_kind_without_definition_is_no_hindrance() -> None:
    async with scope() as (_, hub, _changes):
        assert not await hub.confirms(NAME, "nowhere")
        assert await hub.confirms("pods.metrics.k8s.io", "shop")


async def test_a_namespace_that_is_made_anew_is_one_that_stays() -> None:
    async with scope() as (api, hub, _):
        api.remove(NAMESPACES, "shop")
        await eventually(lambda: hub.namespaces_terminating == {"shop"})
        gone = api.get(NAMESPACES, "shop")
        gone["metadata"].pop("finalizers")
        api.put(NAMESPACES, gone)
        api.put(NAMESPACES, {"metadata": {"name": "shop"}})
        await eventually(lambda: hub.namespaces_terminating == frozenset())
        assert await hub.confirms(NAME, "shop")


async def test_who_cannot_ask_is_told_so() -> None:
    async with scope() as (api, hub, _):
        api.fail("GET", 500, resource=NAMESPACES.name)
        with pytest.raises(ApiError):
            await hub.confirms(NAME, "shop")
        assert await hub.confirms(NAME, "shop")


async def test_only_the_definitions_that_are_asked_for_are_followed() -> None:
    async with scope() as (api, _, changes):
        before = len(changes)
        api.put(CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": "others.example.org", "labels": {"a": "b"}}})
        api.put(CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": NAME, "labels": {"a": "b"}}})
        await eventually(lambda: len(changes) > before)
        lists = [call for call in api.calls if call.resource == CUSTOM_RESOURCE_DEFINITIONS.name]
        assert {call.request.query.get("fieldSelector") for call in lists} == {f"metadata.name={NAME}"}
        assert len(changes) == before + 1


async def test_many_who_ask_at_once_share_reads_and_get_no_older_answer() -> None:
    begun: list[int] = []
    go = asyncio.Event()

    async def read() -> Object:
        begun.append(len(begun))
        await go.wait()
        return {"n": begun[-1]}

    shared = SharedRead(read)
    first = asyncio.create_task(shared.fresh())
    await eventually(lambda: bool(begun))
    others = [asyncio.create_task(shared.fresh()) for _ in range(20)]
    await asyncio.sleep(0)
    go.set()
    assert await first == {"n": 0}
    assert [await other for other in others] == [{"n": 1}] * 20


async def test_a_shared_read_that_fails_leaves_no_older_answer_to_the_others() -> None:
    async with scope() as (api, hub, _):
        assert await hub.confirms(NAME, "shop")
        asked = asyncio.Event()

        async def slow(_: Call) -> web.StreamResponse | None:
            asked.set()
            await asyncio.sleep(0.05)
            return None

        api.intercept(slow, "GET", NAMESPACES.name)
        first = asyncio.create_task(hub.confirms(NAME, "shop"))
        await asked.wait()
        api.remove(NAMESPACES, "shop")
        api.fail("GET", 500, resource=NAMESPACES.name)
        answers = await asyncio.gather(first, *(hub.confirms(NAME, "shop") for _ in range(3)), return_exceptions=True)
        assert True not in answers[1:]
