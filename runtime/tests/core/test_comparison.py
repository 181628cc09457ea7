# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the comparison every floor heals, and what it must leave alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.tests.core.reflecting import NEVER, WIDGETS, key, widget, world
from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.waiting import eventually

FLOOR = 0.2


async def test_hung_watch_is_healed_and_replaced(api: FakeApi) -> None:
    async with world(api, floor=FLOOR) as w:
        api.hang_watches()
        api.put(WIDGETS, widget("one", 2))
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: (w.size("one"), w.size("two")) == (2, 1))
        await eventually(lambda: w.count("WATCH") == 2)
        assert (w.reflector.stats.healed, w.reflector.stats.streams_replaced) == (2, 1)
        assert w.changes.count(key("two")) == 1


async def test_after_the_heal_the_new_stream_delivers(api: FakeApi) -> None:
    async with world(api, floor=FLOOR, grace=1.0) as w:
        api.hang_watches()
        api.put(WIDGETS, widget("two"))
        await eventually(lambda: w.count("WATCH") == 2 and any(not watch.hung for watch in api.watches))
        healed = w.reflector.stats.healed
        api.put(WIDGETS, widget("three"))
        await eventually(lambda: key("three") in w.reflector.store)
        assert w.reflector.stats.healed == healed == 1


async def test_dropped_events_are_healed(api: FakeApi) -> None:
    async with world(api, floor=FLOOR) as w:
        api.put(WIDGETS, widget("victim"))
        await eventually(lambda: key("victim") in w.reflector.store)
        api.drop = lambda kind, obj: obj["metadata"]["name"] in ("one", "new", "victim")
        api.put(WIDGETS, widget("one", 2))
        api.put(WIDGETS, widget("new"))
        api.remove(WIDGETS, "victim", "a")
        w.changes.clear()
        await eventually(lambda: {key("one"), key("new"), key("victim")} <= set(w.changes))
        assert (w.size("one"), w.size("new"), w.size("victim")) == (2, 1, None)


async def test_a_deletion_that_was_a_lie_is_healed(api: FakeApi) -> None:
    async with world(api, floor=FLOOR) as w:
        lie = api.get(WIDGETS, "one", "a")
        api.version += 1
        lie["metadata"]["resourceVersion"] = str(api.version)
        api.say("DELETED", lie)
        await eventually(lambda: key("one") not in w.reflector.store)
        w.reflector._floor = NEVER  # the comparison that is due now is the last
        await eventually(lambda: w.reflector.stats.streams_replaced == 1)
        assert key("one") in w.reflector.store
        api.put(WIDGETS, widget("one", 2))
        await eventually(lambda: w.size("one") == 2, "and the watch is believed again")


async def test_many_differences_are_one_list(api: FakeApi) -> None:
    async with world(api, floor=FLOOR) as w:
        api.hang_watches()
        for number in range(200):
            api.put(WIDGETS, widget(f"w{number}"))
        await eventually(lambda: len(w.reflector.store) == 201)
        assert w.count("GET") == 0


async def test_quiet_and_equal_costs_no_more_than_the_list(api: FakeApi) -> None:
    async with world(api, floor=0.05) as w:
        await eventually(lambda: w.reflector.stats.comparisons >= 5)
        assert w.changes == [key("one")]
        assert (w.count("GET"), w.count("WATCH"), w.reflector.stats.healed) == (0, 1, 0)
        compared = [call for call in api.calls if call.verb == "LIST"][1:]
        assert all("PartialObjectMetadataList" in call.request.headers["Accept"] for call in compared)


async def test_a_failing_comparison_is_tried_again(api: FakeApi) -> None:
    async with world(api, floor=FLOOR) as w:
        api.hang_watches()
        api.fail("LIST", 500, times=2)
        api.put(WIDGETS, widget("one", 2))
        await eventually(lambda: "ServerError" in w.reflector.fault)
        await eventually(lambda: w.size("one") == 2)
        await eventually(lambda: not w.reflector.fault)


async def held_list(api: FakeApi) -> tuple[asyncio.Event, asyncio.Event]:
    """The next list is answered with what was true when it was asked for, but only once the second event is set."""
    asked, release = asyncio.Event(), asyncio.Event()

    async def hold(call: Call) -> Any:
        answer = await api._answer(call)
        asked.set()
        await release.wait()
        return answer

    api.intercept(hold, "LIST")
    return asked, release


async def test_what_arrives_while_the_list_is_under_way_is_left_alone(api: FakeApi) -> None:
    async with world(api, floor=FLOOR) as w:
        api.put(WIDGETS, widget("doomed"))
        await eventually(lambda: key("doomed") in w.reflector.store)
        asked, release = await held_list(api)
        await asked.wait()
        own = await w.client.patch(WIDGETS, "one", "a", {"spec": {"size": 8}}, field_manager="t")
        w.reflector.store.remember(own)
        api.put(WIDGETS, widget("late"))
        api.remove(WIDGETS, "doomed", "a")
        await eventually(lambda: key("late") in w.reflector.store and key("doomed") not in w.reflector.store)
        w.changes.clear()
        compared = w.reflector.stats.comparisons
        release.set()
        await eventually(lambda: w.reflector.stats.comparisons >= compared + 2)
        assert (w.size("one"), w.size("late"), w.size("doomed")) == (8, 1, None)
        assert (w.reflector.stats.healed, w.reflector.stats.streams_replaced, w.changes) == (0, 0, [])
        assert w.reflector.stats.refused_lists == 0, "newer events do not make a list stale"


async def test_an_event_that_comes_in_the_grace_is_no_fault_of_the_watch(api: FakeApi) -> None:
    async with world(api, floor=FLOOR, grace=1.0) as w:
        late: list[Any] = []
        api.drop = lambda kind, obj: late.append(obj) is None

        async def deliver_after(call: Call) -> Any:
            answer = await api._answer(call)
            api.say("MODIFIED", late[-1])
            return answer

        api.intercept(deliver_after, "LIST")
        api.put(WIDGETS, widget("one", 2))
        await eventually(lambda: w.size("one") == 2)
        await eventually(lambda: w.reflector.stats.comparisons == 1)
        await eventually(lambda: w.reflector._position >= api.version)
        assert (w.reflector.stats.healed, w.reflector.stats.streams_replaced) == (0, 0)


@pytest.mark.parametrize("overtaken_by", ["change", "deletion"])
async def test_a_fetched_object_that_was_overtaken_is_not_taken_in(api: FakeApi, overtaken_by: str) -> None:
    async with world(api, floor=FLOOR) as w:
        api.drop = lambda kind, obj: obj["spec"]["size"] == 2
        asked, release = asyncio.Event(), asyncio.Event()

        async def hold(call: Call) -> Any:
            answer = await api._answer(call)
            w.reflector._floor = NEVER  # what goes wrong now stays wrong
            asked.set()
            await release.wait()
            return answer

        api.intercept(hold, "GET")
        api.put(WIDGETS, widget("one", 2))
        await asked.wait()
        if overtaken_by == "change":
            api.put(WIDGETS, widget("one", 3))
            await eventually(lambda: w.size("one") == 3)
        else:
            api.put(WIDGETS, widget("one", 4))
            api.remove(WIDGETS, "one", "a")
            await eventually(lambda: key("one") not in w.reflector.store)
        release.set()
        await eventually(lambda: w.reflector.stats.streams_replaced == 1, "the end of the comparison")
        assert w.size("one") == (3 if overtaken_by == "change" else None)


# -- own writes


async def test_own_writes_are_read_at_once_and_told_once(api: FakeApi) -> None:
    async with world(api) as w:
        w.changes.clear()
        own = await w.client.patch(WIDGETS, "one", "a", {"spec": {"size": 3}}, field_manager="t")
        w.reflector.store.remember(own)
        assert w.size("one") == 3
        # It may carry somebody else's change, which the watch would otherwise never tell of.
        await eventually(lambda: w.changes == [key("one")])
        api.say("MODIFIED", own)
        api.put(WIDGETS, widget("marker"))
        await eventually(lambda: key("marker") in w.changes)
        assert w.changes == [key("one"), key("marker")]


async def test_an_own_write_that_no_watch_tells_of_is_told_by_the_comparison(api: FakeApi) -> None:
    async with world(api, floor=FLOOR) as w:
        w.changes.clear()
        api.hang_watches()
        api.put(WIDGETS, widget("one", 2))  # somebody else, unseen
        own = await w.client.patch(WIDGETS, "one", "a", {"metadata": {"labels": {"mine": "1"}}}, field_manager="t")
        w.reflector.store.remember(own)
        await eventually(lambda: w.changes == [key("one")])
        assert w.size("one") == 2


async def test_an_older_answer_does_not_hide_what_is_known(api: FakeApi) -> None:
    async with world(api, floor=NEVER) as w:
        own = await w.client.patch(WIDGETS, "one", "a", {"spec": {"size": 3}}, field_manager="t")
        api.put(WIDGETS, widget("one", 4))
        await eventually(lambda: w.size("one") == 4)
        w.reflector.store.remember(own)
        assert w.size("one") == 4
