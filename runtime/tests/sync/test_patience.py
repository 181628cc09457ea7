# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes that would be refused are waited with, for a short while; and what is refused all the same is no trouble."""

from __future__ import annotations

import pytest
from aiohttp import web

from runtime.tests.fakeapi import Call
from runtime.tests.sync.trio import WIDGETS, Trio, running
from runtime.tests.waiting import eventually
from tmc.core.keys import ObjectKey
from tmc.core.workqueue import RetryAfter
from tmc.sync import executor, patience
from tmc.sync.executor import Outcome
from tmc.sync.operations import Delete, Patch
from tmc.sync.patches import for_uid
from tmc.sync.patience import MOST_TURN_SECONDS, NEWS_SECONDS, TURN_SECONDS, Patience

KEY = ObjectKey("default", "w")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def release(turn: int) -> Patch:
    return Patch("hub", [], "release", turn=turn)


def test_a_turn_comes_when_those_before_have_had_theirs() -> None:
    clock = Clock()
    waits = Patience(clock)
    assert waits.turn(KEY, release(0)) == 0.0
    assert waits.turn(KEY, release(3)) == pytest.approx(3 * TURN_SECONDS)
    clock.now += TURN_SECONDS
    assert waits.turn(KEY, release(3)) == pytest.approx(2 * TURN_SECONDS), "it is not begun anew by another look"
    assert waits.turn(KEY, release(1)) == pytest.approx(0.0), "two of them have written meanwhile"
    clock.now += 2 * TURN_SECONDS
    assert waits.turn(KEY, release(3)) == pytest.approx(0.0), "those who do not come are not waited for"


def test_a_turn_is_short_however_many_go_first() -> None:
    waits = Patience(Clock())
    assert waits.turn(KEY, release(10_000)) == MOST_TURN_SECONDS


def test_each_write_and_each_object_has_turns_of_its_own() -> None:
    clock = Clock()
    waits = Patience(clock)
    waits.turn(KEY, release(2))
    clock.now += 1.0
    assert waits.turn(KEY, Patch("hub", [], "hold", turn=2)) > 0
    assert waits.turn(ObjectKey("default", "other"), release(2)) > 0
    waits.turn(KEY, release(2))
    waits.settled(KEY)
    assert waits.turn(KEY, release(2)) > 0


def test_news_of_what_we_ended_are_waited_for_a_while() -> None:
    clock = Clock()
    waits = Patience(clock)
    patch, delete = Patch("hub", [], "status"), Delete("hub", "u", "its origin went")
    assert waits.news(KEY, patch, "u") == 0.0
    waits.ended(KEY, delete, "u")
    assert (waits.news(KEY, delete, "u"), waits.news(KEY, patch, "u")) == (NEWS_SECONDS, 0.0), "others may hold it"
    waits.ended(KEY, patch, "u")
    assert (waits.news(KEY, delete, "u"), waits.news(KEY, patch, "u")) == (NEWS_SECONDS, NEWS_SECONDS)
    assert waits.news(KEY, patch, "its successor") == 0.0
    assert waits.news(KEY, Patch("member", [], "status"), "u") == 0.0
    clock.now += NEWS_SECONDS
    assert waits.news(KEY, patch, "u") == 0.0, "nobody waits for ever"


async def looked_at_again(trio: Trio, member: str) -> None:
    """The member's syncer has made another plan for the object."""
    queue = trio.syncers[member]._queue
    before = queue.stats.handled
    queue.add(KEY)
    await eventually(lambda: queue.stats.handled > before and KEY not in queue._working, "it has looked again")


async def test_what_has_vanished_by_our_write_is_written_to_no_more() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        trio.apis["kcp"].drop = lambda kind, _obj: kind == "DELETED"
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await eventually(lambda: not trio.shown("kcp"), "west has let go")
        await looked_at_again(trio, "west")
        assert trio.writes("kcp") == ["POST", "DELETE", "PATCH"], "the hub's object is still in west's view"


async def test_what_we_have_deleted_is_not_deleted_again() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        trio.apis["west"].drop = lambda kind, _obj: kind == "DELETED"
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await eventually(lambda: not trio.shown("west"), "west has deleted its copy")
        await looked_at_again(trio, "west")
        assert trio.writes("west") == ["POST", "DELETE"], "the copy is still in west's view"


def hub_finalizers(trio: Trio) -> list[str]:
    return list((trio.shown("kcp") or {"metadata": {}})["metadata"].get("finalizers") or [])


def lets_go(trio: Trio, member: str) -> None:
    """What the syncer of a member does that has none here."""
    hub = trio.apis["kcp"].get(WIDGETS, "w", "default")
    hub["metadata"]["finalizers"].remove(f"tmc.io/{member}")
    trio.apis["kcp"].put(WIDGETS, hub)


async def test_whoever_is_behind_on_the_list_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "TURN_SECONDS", 3600.0)
    monkeypatch.setattr(patience, "MOST_TURN_SECONDS", 3600.0)
    async with running() as trio:
        trio.known.members = frozenset({"east", "west", "zion"})
        trio.create("east")
        await trio.everywhere()
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await eventually(lambda: not trio.shown("west"), "the copy is gone")
        await looked_at_again(trio, "west")
        assert hub_finalizers(trio) == ["tmc.io/west", "tmc.io/zion"]
        lets_go(trio, "zion")
        await trio.nowhere()


async def test_who_does_not_come_holds_up_nobody_for_long() -> None:
    async with running() as trio:
        trio.known.members = frozenset({"east", "west", "zion"})
        trio.create("east")
        await trio.everywhere()
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await eventually(lambda: hub_finalizers(trio) == ["tmc.io/zion"], "west has not waited")


async def test_an_entry_that_has_moved_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no refusal: nobody is told of it, and nothing waits for it."""
    monkeypatch.setattr(executor, "SECOND_OPINION_SECONDS", 3600.0)
    async with running() as trio:
        trio.known.members = frozenset({"aden", "east", "west"})
        trio.create("east")
        await trio.everywhere()

        async def overtake(_call: Call) -> web.StreamResponse | None:
            lets_go(trio, "aden")
            return None

        trio.apis["kcp"].intercept(overtake, "PATCH", WIDGETS.name)
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()
        assert trio.writes("kcp") == ["POST", "DELETE", "PATCH", "PATCH"]


async def test_a_refusal_is_one_although_the_patch_has_tests() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        trio.known.quarantined = True
        hub = trio.apis["kcp"].get(WIDGETS, "w", "default")
        carry_out = trio.syncers["west"]._executor.carry_out
        fits = for_uid([{"op": "add", "path": "/spec/size", "value": "many"}], hub)
        trio.apis["kcp"].fail("PATCH", 422, "Invalid", resource=WIDGETS.name)
        with pytest.raises(RetryAfter) as refused:
            await carry_out(KEY, Patch("hub", fits, "a value that the schema does not have"))
        assert refused.value.seconds == executor.SECOND_OPINION_SECONDS
        another = for_uid(fits[1:], {**hub, "metadata": {**hub["metadata"], "uid": "its predecessor"}})
        assert await carry_out(KEY, Patch("hub", another, "a plan that was made long ago")) is Outcome.LOOK_AGAIN
        assert trio.apis["kcp"].get(WIDGETS, "w", "default")["spec"] == hub["spec"]


async def test_a_test_that_fails_because_nothing_is_there_is_left_to_the_watch() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        trio.known.quarantined = True
        hub = trio.apis["kcp"].get(WIDGETS, "w", "default")

        async def gone(_call: Call) -> web.StreamResponse | None:
            del trio.apis["kcp"].objects[WIDGETS.name][("default", "w")]
            return web.json_response({"kind": "Status", "code": 422, "reason": "Invalid"}, status=422)

        trio.apis["kcp"].intercept(gone, "PATCH", WIDGETS.name)
        late = for_uid([{"op": "remove", "path": "/metadata/finalizers/0"}], hub)
        with pytest.raises(RetryAfter) as asked:
            await trio.syncers["west"]._executor.carry_out(KEY, Patch("hub", late, "too late"))
        assert asked.value.seconds == executor.LAGGING_VIEW_SECONDS
