# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The reflector where lists, streams and connections break in the middle; it is never started anew."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from runtime.tests.core.reflecting import WIDGETS, World, key, widget, world
from runtime.tests.fakeapi import Call, FakeApi, Refused
from runtime.tests.waiting import eventually

API_LIMIT = 3 * 1024 * 1024  # what an API server takes at most; etcd's own limit is below


async def follows(api: FakeApi, w: World) -> None:
    """The watch delivers again."""
    api.put(WIDGETS, widget("marker"))
    await eventually(lambda: key("marker") in w.reflector.store, "an event")


# -- lists that break


async def test_a_page_that_fails_makes_nothing_of_the_pages_before(api: FakeApi) -> None:
    for number in range(1200):
        api.put(WIDGETS, widget(f"w{number}"))

    async def fail_second_page(call: Call) -> web.StreamResponse | None:
        if "continue" in call.request.query and w.reflector.stats.failures == 0:
            raise Refused(500, "InternalError", "etcdserver: request timed out")
        return None

    api.intercept(fail_second_page, "LIST", times=2)
    async with world(api, synced=False) as w:
        await eventually(lambda: w.reflector.stats.failures == 1)
        assert (len(w.reflector.store), w.changes) == (0, [])
        await eventually(lambda: len(w.changes) == 1201)
        assert len(w.reflector.store) == 1201


@pytest.mark.parametrize("declared", [0, 50], ids=["not JSON", "shorter than said"])
async def test_a_list_that_is_cut_off_is_asked_for_again(api: FakeApi, declared: int) -> None:
    async def cut(call: Call) -> web.StreamResponse:
        whole = orjson.dumps({"metadata": {"resourceVersion": str(api.version)}, "items": []})
        if not declared:
            return web.Response(body=whole[:-5], content_type="application/json")
        response = web.StreamResponse(headers={"Content-Length": str(len(whole) + declared)})
        await response.prepare(call.request)
        await response.write(whole)
        assert call.request.transport is not None
        call.request.transport.abort()
        return response

    api.intercept(cut, "LIST")
    async with world(api) as w:
        assert (w.reflector.stats.failures, w.size("one")) == (1, 1)
        await follows(api, w)


async def test_a_server_that_takes_the_list_and_never_answers(api: FakeApi) -> None:
    """A half-open connection: nothing comes, not even an end."""
    hung = asyncio.Event()

    async def never(_call: Call) -> web.StreamResponse:
        hung.set()
        await asyncio.Event().wait()
        raise AssertionError

    api.intercept(never, "LIST")
    async with world(api, synced=False, timeout=0.3) as w:
        await hung.wait()
        await eventually(lambda: w.reflector.stats.failures)
        await eventually(lambda: w.size("one") == 1)
        await follows(api, w)


async def test_pages_that_take_too_long_become_smaller(api: FakeApi) -> None:
    for number in range(300):
        api.put(WIDGETS, widget(f"large-{number}"))
    sizes: list[int] = []

    async def slow(call: Call) -> web.StreamResponse | None:
        sizes.append(int(call.request.query["limit"]))
        if sizes[-1] > 40:
            await asyncio.sleep(30)
        return None

    api.intercept(slow, "LIST", times=1000)
    async with world(api, timeout=0.3) as w:
        assert len(w.reflector.store) == 301
        assert sizes[:3] == [500, 125, 31]
        assert set(sizes[2:]) == {31}
        api.say("ERROR", Refused(410, "Expired", "too old").status)
        await eventually(lambda: sizes[-1] == 62, "the next list tries larger ones")


# -- streams that break


async def test_a_server_that_takes_the_watch_and_never_answers(api: FakeApi) -> None:
    async def never(_call: Call) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    api.intercept(never, "WATCH")
    async with world(api, inactivity=0.3) as w:
        assert w.reflector.stats.failures == 1
        await follows(api, w)
        assert w.count("LIST") == 1


async def test_a_stream_whose_connection_is_torn_goes_on_where_it_was(api: FakeApi) -> None:
    async with world(api) as w:
        await follows(api, w)
        (torn,) = [call for call in api.calls if call.verb == "WATCH"]
        api.hang_watches()
        api.put(WIDGETS, widget("meanwhile"))
        assert torn.request.transport is not None
        torn.request.transport.abort()
        await eventually(lambda: key("meanwhile") in w.reflector.store)
        assert w.count("LIST") == 1


@pytest.mark.parametrize(("code", "reason"), [(500, "InternalError"), (504, "Timeout"), (429, "TooManyRequests")])
async def test_another_error_in_the_stream_costs_no_list(api: FakeApi, code: int, reason: str) -> None:
    async with world(api) as w:
        api.hang_watches()
        api.put(WIDGETS, widget("meanwhile"))
        api.say("ERROR", Refused(code, reason, "no more for now").status)
        await eventually(lambda: key("meanwhile") in w.reflector.store)
        assert (w.count("LIST"), w.count("WATCH")) == (1, 2)


async def test_retry_after_is_honoured_by_the_watch_too(api: FakeApi) -> None:
    api.fail("WATCH", 429, "TooManyRequests", retry_after="1")
    before = time.monotonic()
    async with world(api) as w:
        assert time.monotonic() - before >= 0.99
        assert (w.count("LIST"), w.count("WATCH")) == (1, 2)


@pytest.mark.parametrize("size", [512 * 1024, 512 * 1024 + 1, 1_500_000, API_LIMIT])
async def test_objects_up_to_the_limit_come_by_list_and_by_watch(api: FakeApi, size: int) -> None:
    api.put(WIDGETS, {**widget("listed"), "data": "x" * size})
    async with world(api) as w:
        api.put(WIDGETS, {**widget("watched"), "data": "\u00fc" * (size // 2)})
        await eventually(lambda: key("watched") in w.reflector.store)
        for name in ("listed", "watched"):
            held = w.reflector.store.get(key(name))
            assert held is not None
            assert len(held["data"].encode()) >= size - 1
        assert (w.count("LIST"), w.count("WATCH"), w.reflector.stats.failures) == (1, 1, 0)


async def test_a_large_line_that_is_cut_off_comes_again_whole(api: FakeApi) -> None:
    async with world(api) as w:
        big = api.put(WIDGETS, {**widget("big"), "data": "x" * 1_000_000})
        await eventually(lambda: key("big") in w.reflector.store)
        api.hang_watches()
        api.put(WIDGETS, {**widget("big", 2), "data": "y" * 1_000_000})
        api.cut_watches(orjson.dumps({"type": "MODIFIED", "object": big})[:700_000])
        await eventually(lambda: w.size("big") == 2)
        assert w.count("LIST") == 1


# -- credentials


async def test_a_token_that_is_revoked_is_read_again_from_its_file(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n", encoding="ascii")
    api.token = "first"
    async with world(api, connection=replace(api.connection, token=None, token_file=file)) as w:
        api.token = "second"
        file.write_text("second\n", encoding="ascii")
        api.end_watches()
        await eventually(lambda: w.count("WATCH") >= 2 and api.watches)
        await follows(api, w)
        assert w.count("LIST") == 1


async def test_a_token_that_is_late_is_waited_for(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n", encoding="ascii")
    api.token = "first"
    async with world(api, connection=replace(api.connection, token=None, token_file=file)) as w:
        api.token = "second"
        api.end_watches()
        await eventually(lambda: "Unauthorized" in w.reflector.fault)
        assert w.size("one") == 1, "what is known stays known"
        file.write_text("second\n", encoding="ascii")
        await eventually(lambda: api.watches)
        await follows(api, w)
        await eventually(lambda: not w.reflector.fault)
