# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A namespace that another cluster has not, or is losing: waited for and told, never made against the kind's policy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.sync.trio import KIND, WIDGETS, Object, Trio, quick_second_opinion, running
from runtime.tests.waiting import eventually
from tmc.api.resource import EVENTS, NAMESPACES
from tmc.core.keys import ObjectKey
from tmc.sync import executor, names
from tmc.sync.fabric import TOMBSTONES

WAITING_KIND = replace(KIND, namespaces="Wait")
KEY = ObjectKey("default", "w")


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    before, executor.NAMESPACE_SECONDS = executor.NAMESPACE_SECONDS, 0.05
    yield
    executor.NAMESPACE_SECONDS = before


def without_namespace(api: FakeApi) -> None:
    """Creates are answered 404 as long as the namespace is not there."""

    async def missing(_: Call) -> web.StreamResponse | None:
        there = ("", "default") in api.objects[NAMESPACES.name]
        return None if there else web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)

    api.objects[NAMESPACES.name].clear()
    api.intercept(missing, "POST", WIDGETS.name, times=10**6)


def losing_namespace(api: FakeApi) -> list[bool]:
    """Creates are refused as a namespace's that is being deleted, until the list that is returned has an entry."""
    gone: list[bool] = []
    status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "namespace default is being terminated"}
    status["details"] = {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]}

    async def refuse(_: Call) -> web.StreamResponse | None:
        body = orjson.dumps(status)
        return None if gone else web.Response(status=403, body=body, content_type="application/json")

    api.intercept(refuse, "POST", WIDGETS.name, times=10**6)
    return gone


def state_on_east(trio: Trio) -> str | None:
    notes = (trio.shown("east") or {})["metadata"].get("annotations") or {}
    return str(notes[names.SYNC_STATE]) if names.SYNC_STATE in notes else None


async def test_a_missing_namespace_of_the_hub_is_waited_for() -> None:
    async with running(kind=WAITING_KIND) as trio:
        hub = trio.apis["kcp"]
        without_namespace(hub)
        trio.create("east")
        await eventually(lambda: state_on_east(trio) == names.WAITING, "the user is told that it waits")
        assert not hub.objects[NAMESPACES.name], "the namespace was made, although the policy says to wait"
        events = trio.apis["east"].objects[EVENTS.name]
        await eventually(lambda: events, "an Event says so, too")
        told = [event["message"] for event in events.values()]
        assert told == ["waits for namespace default, which does not exist on cluster kcp"]
        hub.put(NAMESPACES, {"metadata": {"name": "default"}})
        await trio.everywhere()
        await eventually(lambda: state_on_east(trio) is None, "all is well again")


async def test_a_missing_namespace_of_a_member_keeps_nobody_else_waiting() -> None:
    async with running(kind=WAITING_KIND) as trio:
        without_namespace(trio.apis["west"])
        trio.create("east")
        await eventually(lambda: KEY in trio.syncers["west"].troubles(), "west knows why it has no copy")
        assert "does not exist on cluster west" in trio.syncers["west"].troubles()[KEY]
        assert trio.shown("kcp")
        trio.apis["west"].put(NAMESPACES, {"metadata": {"name": "default"}})
        await trio.everywhere()
        await eventually(lambda: not trio.syncers["west"].troubles(), "nothing is waited for any more")


@pytest.mark.parametrize("cluster", ["kcp", "west"])
async def test_a_namespace_that_is_being_deleted_is_waited_for(cluster: str) -> None:
    async with running() as trio:
        gone = losing_namespace(trio.apis[cluster])
        trio.create("east")
        syncer = trio.syncers["east" if cluster == "kcp" else "west"]
        await eventually(lambda: KEY in syncer.troubles(), "it is known why the copy is missing")
        assert f"is being deleted on cluster {cluster}" in syncer.troubles()[KEY]
        assert state_on_east(trio) in (None, names.WAITING)
        gone.append(True)
        await trio.everywhere()
        await eventually(lambda: state_on_east(trio) is None, "all is well again")


@pytest.mark.parametrize("lost", ["default", "kind"])
async def test_what_the_hub_loses_as_a_whole_is_deleted_nowhere(lost: str) -> None:
    """Though the members hear of the objects first, and of the namespace or the kind only when they ask."""
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        before = {cluster: (trio.shown(cluster) or {})["metadata"]["uid"] for cluster in ("east", "west")}
        trio.known.losing = frozenset({lost})
        trio.apis["kcp"].remove(WIDGETS, "w", "default")
        first = (trio.shown("kcp") or {})["metadata"]["uid"]
        await eventually(
            lambda: (trio.shown("kcp") or {"metadata": {"uid": first}})["metadata"]["uid"] != first, "anew"
        )
        assert {cluster: (trio.shown(cluster) or {})["metadata"]["uid"] for cluster in before} == before


@pytest.mark.parametrize("cluster", ["kcp", "west"])
async def test_a_namespace_that_may_not_be_made_is_told(cluster: str) -> None:
    with quick_second_opinion():
        async with running() as trio:
            api = trio.apis[cluster]
            without_namespace(api)
            api.fail("POST", 403, reason="Forbidden", resource=NAMESPACES.name, times=10**6)
            trio.create("east")
            syncer = trio.syncers["east" if cluster == "kcp" else "west"]
            await eventually(lambda: KEY in syncer.troubles(), "it is known why the copy is missing")
            assert f"cluster {cluster} refused this object (its namespace default)" in syncer.troubles()[KEY]
            await eventually(lambda: state_on_east(trio) == (names.REJECTED if cluster == "kcp" else None))
            api.put(NAMESPACES, {"metadata": {"name": "default"}})
            await trio.everywhere()
            await eventually(lambda: state_on_east(trio) is None, "all is well again")


async def test_a_namespace_that_somebody_else_made_is_taken() -> None:
    async with running() as trio:
        api = trio.apis["west"]
        without_namespace(api)

        async def made(_: Call) -> web.StreamResponse | None:
            api.put(NAMESPACES, {"metadata": {"name": "default"}})
            return None

        api.intercept(made, "POST", NAMESPACES.name)
        trio.create("east")
        await trio.everywhere()


def tombstones(trio: Trio) -> dict[str, Object]:
    return {obj["metadata"]["name"]: obj for obj in trio.apis["kcp"].objects[TOMBSTONES.name].values()}


async def ends_by_tombstone(trio: Trio) -> None:
    """West hears of the tombstone, deletes its copy and acknowledges."""
    await eventually(lambda: tombstones(trio) and trio.shown("east") is None, "released when west is written to")
    assert [obj["spec"]["pending"] for obj in tombstones(trio).values()] == [["west"]]
    assert trio.shown("west") is not None
    for uid, tombstone in tombstones(trio).items():
        trio.known.buried.learn(uid, tombstone)
    trio.syncers["west"].fabric_changed(KIND)
    await trio.nowhere()
    await eventually(lambda: not tombstones(trio), "and it is acknowledged")


@pytest.mark.parametrize("lost", ["default", "kind"])
async def test_what_is_deleted_while_the_hub_has_lost_it_is_deleted_everywhere(lost: str) -> None:
    async with running() as trio:
        hub = trio.apis["kcp"]
        trio.create("east")
        await trio.everywhere()
        losing_namespace(hub)
        trio.known.losing = trio.known.seen_losing = frozenset({lost})
        hub.remove(WIDGETS, "w", "default")
        await eventually(lambda: trio.shown("kcp") is None, "the members let go and keep their copies")
        trio.known.losing = trio.known.seen_losing = frozenset()  # it is back, and the object not yet
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await ends_by_tombstone(trio)


@pytest.mark.parametrize("lost", ["default", "kind"])
async def test_what_is_deleted_while_the_hub_loses_it_is_deleted_everywhere(lost: str) -> None:
    """West saw the loss, and kept its copy; east hears of it only when it asks, before it releases the origin."""
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        trio.known.losing = frozenset({lost})
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await ends_by_tombstone(trio)


async def test_a_member_that_loses_the_kind_buries_nothing() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        await trio.hub_loses("w")
        asked: list[str] = []

        async def going(name: str) -> bool:
            asked.append(name)
            return False

        trio.known.confirms_own_deletion = going  # type: ignore[method-assign]
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await eventually(lambda: asked, "it is asked")
        await asyncio.sleep(0.2)
        assert not tombstones(trio)
        assert trio.shown("east")
        assert trio.shown("west")


@pytest.mark.parametrize("hub_copy", ["is going", "is gone"])
async def test_who_begins_anew_writes_a_tombstone_only_when_the_hub_copy_is_gone(hub_copy: str) -> None:
    async with running() as trio:
        hub, east = trio.apis["kcp"], trio.apis["east"]
        trio.create("east")
        await trio.everywhere()
        held = trio.apis["west"].get(WIDGETS, "w", "default")
        trio.apis["west"].put(WIDGETS, {**held, "metadata": {**held["metadata"], "finalizers": ["operator"]}})
        stopped = asyncio.Event()
        if hub_copy == "is gone":

            async def stands_still(_: Call) -> web.StreamResponse | None:
                return web.Response(status=503) if stopped.is_set() else None

            east.intercept(stands_still, "PATCH", WIDGETS.name, times=10**6)
        east.remove(WIDGETS, "w", "default")
        await eventually(lambda: "deletionTimestamp" in (trio.shown("kcp") or {"metadata": {}})["metadata"])
        stopped.set()
        await trio.end("east")
        if hub_copy == "is gone":
            free(trio)
            await eventually(lambda: trio.shown("kcp") is None)
            east._intercepts.clear()
        async with trio.another("east"):
            if hub_copy == "is going":
                await asyncio.sleep(0.2)
                free(trio)
            await trio.nowhere()
        posts = [call for call in hub.calls if call.verb == "POST" and call.resource == TOMBSTONES.name]
        assert len(posts) == (hub_copy == "is gone")


def free(trio: Trio) -> None:
    held = trio.apis["west"].get(WIDGETS, "w", "default")
    trio.apis["west"].put(WIDGETS, {**held, "metadata": {**held["metadata"], "finalizers": []}})
