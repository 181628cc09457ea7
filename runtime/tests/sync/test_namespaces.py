# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A namespace that another cluster has not, or is losing: waited for and told, never made against the kind's policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.sync.trio import KIND, WIDGETS, Trio, quick_second_opinion, running
from runtime.tests.waiting import eventually
from tmc.api.resource import EVENTS, NAMESPACES
from tmc.core.keys import ObjectKey
from tmc.sync import executor, names

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
