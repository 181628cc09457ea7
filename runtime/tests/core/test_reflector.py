# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The reflector against an API server that misbehaves."""

from __future__ import annotations

import time

import pytest
from aiohttp import web

from runtime.tests.core.reflecting import NEVER, WIDGETS, key, widget, world
from runtime.tests.fakeapi import Call, FakeApi, Refused
from runtime.tests.waiting import eventually
from tmc.core import reflector as module

# -- the ordinary course


async def test_lists_then_follows(api: FakeApi) -> None:
    async with world(api) as w:
        assert (w.size("one"), w.changes) == (1, [key("one")])
        api.put(WIDGETS, widget("two"))
        api.put(WIDGETS, widget("one", 5))
        await eventually(lambda: (w.size("one"), w.size("two")) == (5, 1))
        api.remove(WIDGETS, "one", "a")
        await eventually(lambda: key("one") not in w.reflector.store)
        assert w.changes == [key(name) for name in ("one", "two", "one", "one")]
        assert w.count("LIST") == 1


async def test_store_is_without_managed_fields_and_private_to_each_reader(api: FakeApi) -> None:
    async with world(api) as w:
        held = w.reflector.store.get(key("one"))
        assert held is not None
        assert "managedFields" not in held["metadata"]
        held["spec"]["size"] = 99
        assert w.size("one") == 1


async def test_a_bookmark_moves_the_position(api: FakeApi) -> None:
    async with world(api) as w:
        api.version += 500
        api.bookmark()
        await eventually(lambda: w.reflector.resource_version == api.version)
        api.compact()
        api.end_watches()
        await eventually(lambda: w.count("WATCH") == 2 and api.watches)
        assert w.count("LIST") == 1, "it resumed from the bookmark"


async def test_only_its_namespace(api: FakeApi) -> None:
    api.put(WIDGETS, {"metadata": {"name": "elsewhere", "namespace": "b"}, "spec": {"size": 1}})
    async with world(api, namespace="a") as w:
        api.put(WIDGETS, {"metadata": {"name": "more", "namespace": "b"}, "spec": {"size": 1}})
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: key("two") in w.reflector.store)
        assert {k.namespace for k in list(w.reflector.store.keys())} == {"a"}


# -- lists


async def test_continue_token_expires_in_the_middle(api: FakeApi) -> None:
    for number in range(1200):
        api.put(WIDGETS, widget(f"w{number}"))

    async def compact_before_third_page(call: Call) -> None:
        if sum(c.verb == "LIST" for c in api.calls) == 3:
            api.compact()

    api.intercept(compact_before_third_page, "LIST", times=99)
    async with world(api) as w:
        assert len(w.reflector.store) == 1201
        assert len(w.changes) == 1201, "nothing was made of the incomplete list"


async def test_pages_are_put_together(api: FakeApi) -> None:
    for number in range(1200):
        api.put(WIDGETS, widget(f"w{number}"))
    async with world(api) as w:
        assert len(w.reflector.store) == 1201
        assert w.count("LIST") == 3


async def test_a_list_older_than_what_was_seen_is_refused(api: FakeApi) -> None:
    async with world(api) as w:
        api.put(WIDGETS, widget("one", 2))
        await eventually(lambda: w.size("one") == 2)
        truth, objects = api.version, api.objects[WIDGETS.name]
        api.version, api.objects[WIDGETS.name] = truth - 1, {}  # a server that is behind and has lost everything
        api.compacted = truth + 1  # whatever it watches is expired: it has to list
        api.end_watches()
        await eventually(lambda: w.reflector.stats.refused_lists >= 3)
        assert (w.size("one"), w.reflector.resource_version) == (2, truth)
        api.version, api.objects[WIDGETS.name], api.compacted = truth, objects, 0
        await eventually(lambda: api.watches)
        api.put(WIDGETS, widget("one", 3))
        await eventually(lambda: w.size("one") == 3)


async def test_a_relist_removes_what_vanished_and_tells(api: FakeApi) -> None:
    async with world(api) as w:
        api.hang_watches()
        api.remove(WIDGETS, "one", "a")
        api.put(WIDGETS, widget("two"))
        api.compact()
        w.changes.clear()
        api.end_watches()
        await eventually(lambda: set(w.changes) == {key("one"), key("two")})
        assert list(w.reflector.store.keys()) == [key("two")]


# -- expired versions


async def test_410_when_the_watch_starts(api: FakeApi) -> None:
    async with world(api) as w:
        api.hang_watches()
        api.put(WIDGETS, widget("one", 2))
        api.compact()
        api.end_watches()
        await eventually(lambda: w.size("one") == 2)
        assert w.count("LIST") == 2, "one list, no loop"


async def test_410_in_the_stream(api: FakeApi) -> None:
    async with world(api) as w:
        api.hang_watches()
        api.put(WIDGETS, widget("one", 2))
        api.say("ERROR", Refused(410, "Expired", "too old resource version").status)
        await eventually(lambda: w.size("one") == 2)
        await eventually(lambda: w.count("WATCH") == 2 and api.watches)
        assert w.count("LIST") == 2


async def test_endless_410_does_not_spin(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    real = module.Backoff.next
    monkeypatch.setattr(module.Backoff, "next", lambda self: (delays.append(1), real(self))[1])
    api.fail("WATCH", 410, "Expired", times=6)
    async with world(api, synced=False) as w:
        await eventually(lambda: api.watches)
        assert (len(delays), w.reflector._backoff.failures) == (6, 6), "each one backs off further"
        assert w.reflector.stats.failures == 5, "the first is in the ordinary course"
        api.put(WIDGETS, widget("one", 2))
        await eventually(lambda: w.size("one") == 2)
        assert w.reflector._backoff.failures == 0


async def test_410_after_an_outage_is_in_the_ordinary_course(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(api) as w:
        await api.stop_listening()
        await eventually(lambda: w.reflector._backoff.failures >= 3)
        monkeypatch.setattr(w.reflector._backoff, "next", lambda: 0.01 if w.count("WATCH") < 2 else NEVER)
        api.put(WIDGETS, widget("one", 2))
        api.compact()
        await api.listen()
        await eventually(lambda: w.size("one") == 2, "a list at once")


# -- streams


async def test_end_of_stream_resumes_where_it_was(api: FakeApi) -> None:
    async with world(api) as w:
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: key("two") in w.reflector.store)
        api.hang_watches()
        api.put(WIDGETS, widget("two", 2))
        api.end_watches()
        await eventually(lambda: w.size("two") == 2)
        assert w.count("LIST") == 1


async def test_streams_that_end_at_once_back_off(api: FakeApi) -> None:
    async def empty(_call: Call) -> web.Response:
        return web.Response(body=b"", content_type="application/json")

    api.intercept(empty, "WATCH", times=5)
    async with world(api, synced=False) as w:
        await eventually(lambda: api.watches)
        assert w.reflector.stats.failures == 5


@pytest.mark.parametrize("last", [b'{"type":"ADDED","object":{"meta', b'{"type":'])
async def test_truncated_last_line_is_an_end(api: FakeApi, last: bytes) -> None:
    async with world(api) as w:
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: key("two") in w.reflector.store)
        api.cut_watches(last)
        await eventually(lambda: w.count("WATCH") == 2 and api.watches)
        api.put(WIDGETS, widget("three"))
        await eventually(lambda: key("three") in w.reflector.store)
        assert w.count("LIST") == 1


async def test_a_garbage_line_ends_the_stream_only(api: FakeApi) -> None:
    async with world(api) as w:
        api.cut_watches(b"<html>proxy error</html>\n")
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: key("two") in w.reflector.store)


async def test_a_line_of_three_megabytes(api: FakeApi) -> None:
    async with world(api) as w:
        api.put(WIDGETS, {**widget("big"), "data": "x" * 3_000_000})
        await eventually(lambda: key("big") in w.reflector.store)
        held = w.reflector.store.get(key("big"))
        assert held is not None
        assert len(held["data"]) == 3_000_000
        assert w.count("WATCH") == 1


async def test_silence_beyond_the_deadline_is_a_dead_stream(api: FakeApi) -> None:
    async with world(api, inactivity=0.2) as w:
        api.hang_watches()
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: key("two") in w.reflector.store)
        assert w.count("WATCH") >= 2


async def test_connection_lost_in_the_stream(api: FakeApi) -> None:
    async with world(api) as w:
        await api.stop_listening()
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: w.reflector.stats.failures >= 3)
        await api.listen()
        await eventually(lambda: key("two") in w.reflector.store)
        assert w.count("LIST") == 1


# -- errors of the server


@pytest.mark.parametrize(
    ("code", "reason"),
    [(401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound"), (500, "InternalError"), (503, "ServiceUnavailable")],
)
@pytest.mark.parametrize("verb", ["LIST", "WATCH"])
async def test_errors_are_waited_out(api: FakeApi, verb: str, code: int, reason: str) -> None:
    api.fail(verb, code, reason, times=3)
    async with world(api) as w:
        assert w.reflector.stats.failures == 3
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: key("two") in w.reflector.store)


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_honoured(api: FakeApi, code: int) -> None:
    api.fail("LIST", code, "TooManyRequests", retry_after="1")
    before = time.monotonic()
    async with world(api) as w:
        assert time.monotonic() - before >= 0.99
        assert w.count("LIST") == 2


async def test_not_reachable_at_first(api: FakeApi) -> None:
    await api.stop_listening()
    async with world(api, synced=False) as w:
        await eventually(lambda: w.reflector.stats.failures >= 2)
        assert w.reflector.last_contact == 0.0
        assert "Unreachable" in w.reflector.fault
        await api.listen()
        await eventually(lambda: key("one") in w.reflector.store)
        await eventually(lambda: not w.reflector.fault, "a silent stream that lives is healthy")
        assert w.reflector.last_contact > 0.0


async def test_a_missing_kind_loses_nothing_that_is_known(api: FakeApi) -> None:
    async with world(api) as w:
        del api.resources[WIDGETS.name]
        api.compact()
        api.end_watches()
        await eventually(lambda: w.reflector.stats.failures >= 3)
        assert key("one") in w.reflector.store
        api.resources[WIDGETS.name] = WIDGETS
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: key("two") in w.reflector.store)


# -- old news


async def test_replayed_events_change_nothing(api: FakeApi) -> None:
    async with world(api) as w:
        old = api.get(WIDGETS, "one", "a")
        api.put(WIDGETS, widget("one", 2))
        await eventually(lambda: w.size("one") == 2)
        w.changes.clear()
        api.say("MODIFIED", old)
        api.say("DELETED", old)
        api.put(WIDGETS, widget("marker"))
        await eventually(lambda: w.changes)
        assert (w.changes, w.size("one")) == ([key("marker")], 2)


async def test_a_dead_object_does_not_come_back(api: FakeApi) -> None:
    async with world(api) as w:
        old = api.get(WIDGETS, "one", "a")
        api.remove(WIDGETS, "one", "a")
        await eventually(lambda: key("one") not in w.reflector.store)
        api.say("ADDED", old)
        w.reflector.store.remember(old)
        api.put(WIDGETS, widget("marker"))
        await eventually(lambda: key("marker") in w.reflector.store)
        assert key("one") not in w.reflector.store


async def test_the_deletion_of_a_namesake_is_not_mine(api: FakeApi) -> None:
    async with world(api) as w:
        old = api.get(WIDGETS, "one", "a")
        api.remove(WIDGETS, "one", "a")
        api.put(WIDGETS, widget("one", 7))
        await eventually(lambda: w.size("one") == 7)
        old["metadata"]["resourceVersion"] = str(api.version + 1)
        api.say("DELETED", old)
        api.put(WIDGETS, widget("marker"))
        await eventually(lambda: key("marker") in w.reflector.store)
        assert w.size("one") == 7
