# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What comes late, and what is old: a request that the network held back, a first list of a server that lags."""

from __future__ import annotations

import asyncio
import copy

import pytest
from aiohttp import web

from runtime.tests.fakeapi import Call
from runtime.tests.sync.trio import KIND, WIDGETS, Object, Trio, running
from runtime.tests.waiting import eventually
from tmc.sync import names


def lists_once_more(trio: Trio, behind: str, old: Object) -> list[Call]:
    """The next list of this cluster shows the old object, and its next watch fails. The lists that were asked for."""
    version, asked = old["metadata"]["resourceVersion"], []

    async def lagging(call: Call) -> web.StreamResponse:
        asked.append(call)
        return web.json_response({"kind": "List", "metadata": {"resourceVersion": version}, "items": [old]})

    trio.apis[behind].intercept(lagging, "LIST", WIDGETS.name)
    trio.apis[behind].fail("WATCH", 503, resource=WIDGETS.name)
    return asked


@pytest.mark.parametrize("origin", ["east", "kcp"])
async def test_a_deletion_that_overtakes_our_finalizer_is_a_deletion(origin: str) -> None:
    """As API servers may do it when both requests come at once (kubernetes/kubernetes issue 77988)."""
    async with running() as trio:
        trio.create(origin)
        await trio.everywhere()
        api = trio.apis[origin]
        gone = api.objects[WIDGETS.name].pop(("default", "w"))
        api.version += 1
        assert gone["metadata"]["finalizers"]
        api._tell("DELETED", WIDGETS, gone | {"metadata": gone["metadata"] | {"resourceVersion": str(api.version)}})
        await trio.nowhere()
        trio.create("west")
        await trio.everywhere()


@pytest.mark.parametrize(("held_back", "by"), [("kcp", "east"), ("west", "west")])
async def test_a_creation_that_comes_late_does_not_bring_back_what_ended(held_back: str, by: str) -> None:
    """As a network may do it: the client has given up, and made the copy by another request."""
    late: list[Object] = []
    async with running() as trio:

        async def hold(call: Call) -> web.StreamResponse | None:
            late.append(await call.request.json())
            return web.Response(status=504)

        trio.apis[held_back].intercept(hold, "POST", WIDGETS.name)
        trio.create("east")
        await trio.everywhere()
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()
        assert len(late) == 1
        uid = late[0]["metadata"]["annotations"][names.ORIGIN_UID]

        trio.apis[held_back].put(WIDGETS, late[0])
        await eventually(lambda: "DELETE" in [c.verb for c in trio.apis[held_back].calls], f"{by} deletes it")
        await trio.nowhere()

        trio.create("east", size=2)
        await trio.everywhere()
        assert trio.apis["west"].get(WIDGETS, "w", "default")["metadata"]["annotations"][names.ORIGIN_UID] != uid


async def test_what_is_carried_again_has_not_ended() -> None:
    """Somebody deletes the hub copy of an object that lives: its copies go, and come again."""
    async with running() as trio:
        uid = trio.create("east")["metadata"]["uid"]
        await trio.everywhere()
        first = trio.apis["kcp"].get(WIDGETS, "w", "default")["metadata"]["uid"]
        trio.apis["kcp"].remove(WIDGETS, "w", "default")
        await eventually(
            lambda: (trio.shown("kcp") or {"metadata": {"uid": first}})["metadata"]["uid"] != first, "it is made anew"
        )
        await trio.everywhere()

        await trio.hub_loses("w")
        trio.syncers["west"].fabric_changed(KIND)
        await asyncio.sleep(0.3)
        copy = trio.shown("west")
        assert copy is not None, "absence on the hub deleted a copy"
        assert copy["metadata"]["annotations"][names.ORIGIN_UID] == uid


async def test_what_is_carried_again_has_not_ended_though_the_answer_was_lost() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        west, first = trio.apis["west"], trio.apis["west"].get(WIDGETS, "w", "default")["metadata"]["uid"]

        async def made_and_not_told(call: Call) -> web.StreamResponse | None:
            west.put(WIDGETS, await call.request.json())
            return web.Response(status=504)

        west.intercept(made_and_not_told, "POST", WIDGETS.name)
        trio.apis["kcp"].remove(WIDGETS, "w", "default")
        await eventually(lambda: (trio.shown("west") or {"metadata": {"uid": first}})["metadata"]["uid"] != first)
        await trio.everywhere()
        await trio.hub_loses("w")
        await asyncio.sleep(0.3)
        assert trio.shown("west") is not None, "absence on the hub deleted a copy"


@pytest.mark.parametrize(("behind", "shown"), [("west", "kcp"), ("kcp", "west")])
async def test_a_syncer_that_begins_with_an_old_list_takes_nobody_back(behind: str, shown: str) -> None:
    """The status goes up on west, the processor, and the spec of east's object comes down there."""
    async with running() as trio:
        old_and_new = []
        for number in (1, 2):
            trio.create("east", size=number)
            if trio.shown("west") is None:
                await trio.everywhere()
            await eventually(lambda n=number: trio.apis["west"].get(WIDGETS, "w", "default")["spec"] == {"size": n})
            if behind == "west":
                seen = trio.apis["west"].get(WIDGETS, "w", "default")
                trio.apis["west"].put(WIDGETS, {**seen, "status": {"done": number}})
                await eventually(lambda n=number: (trio.shown("kcp") or {}).get("status") == {"done": n})
            old_and_new.append(copy.deepcopy(trio.apis[behind].get(WIDGETS, "w", "default")))
        old, new = old_and_new
        asked = lists_once_more(trio, behind, old)
        before = trio.apis[shown].version
        async with trio.another("west"):
            await eventually(lambda: asked, "it has begun with the old list")
            await asyncio.sleep(0.3)
            trio.create("east", size=3)
            await eventually(lambda: trio.apis["west"].get(WIDGETS, "w", "default")["spec"] == {"size": 3}, "it works")
        since = trio.told_since(before, shown)
        assert {obj["spec"]["size"] for obj in since} <= {2, 3}, "the spec went back"
        assert {obj["status"]["done"] for obj in since if "status" in obj} <= {2}, "the status went back"
        assert new["spec"] == {"size": 2}


@pytest.mark.parametrize(("behind", "shown", "syncer"), [("kcp", "west", "west"), ("east", "kcp", "east")])
async def test_a_syncer_that_begins_with_an_old_list_makes_nothing_that_is_gone(
    behind: str, shown: str, syncer: str
) -> None:
    """Its predecessor has removed the copy and let it go; the list still shows the object that it was a copy of."""
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        old = copy.deepcopy(trio.apis[behind].get(WIDGETS, "w", "default"))
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()
        asked = lists_once_more(trio, behind, old)
        before = trio.apis[shown].version
        async with trio.another(syncer):
            await eventually(lambda: asked, "it has begun with the old list")
            await asyncio.sleep(0.3)
            trio.create("east", name="next")
            await trio.everywhere("next")
        made = [obj["metadata"]["name"] for obj in trio.told_since(before, shown)]
        assert "w" not in made, "it came back"
        await trio.nowhere()
