# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A write that an API server refuses holds up what rests on it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from runtime.tests.fakeapi import Call, FakeApi, Refused
from runtime.tests.sync.trio import KIND, WIDGETS, Object, Trio, quick_second_opinion, running
from runtime.tests.waiting import eventually
from tmc.api.resource import EVENTS
from tmc.core.keys import ObjectKey
from tmc.sync import executor, names
from tmc.sync.fabric import TOMBSTONES
from tmc.sync.operations import Patch
from tmc.sync.refusals import LEAST_SECONDS, Refusals

KEY = ObjectKey("default", "w")
EAST_WORKS = replace(KIND, processor="east")


def refuse(api: FakeApi, *, status: bool, text: str = "epoch must not go back") -> list[Call]:
    """The calls that are refused from now on, as long as the list is not closed by None."""
    refused: list[Any] = []

    async def answer(call: Call) -> None:
        if bool(call.subresource) is status and not (status is False and _is_about_marks(call)) and None not in refused:
            refused.append(call)
            raise Refused(422, "Invalid", text)

    api.intercept(answer, "PATCH", WIDGETS.name, times=10**6)
    return refused


def _is_about_marks(call: Call) -> bool:
    return all(op["path"].startswith("/metadata") for op in call.body)


def edit(trio: Trio, cluster: str, **changed: Any) -> None:
    trio.apis[cluster].put(WIDGETS, {**trio.apis[cluster].get(WIDGETS, "w", "default"), **changed})


def shows(trio: Trio, cluster: str, **wanted: Any) -> Callable[[], bool]:
    return lambda: (shown := trio.shown(cluster)) is not None and all(shown.get(k) == v for k, v in wanted.items())


def notes(trio: Trio, cluster: str) -> Object:
    return (trio.shown(cluster) or {"metadata": {}})["metadata"].get("annotations") or {}


async def test_a_refused_status_does_not_keep_the_users_change_at_home() -> None:
    """West had worked on after it was cut off, so its status does not take what the next processor says."""
    async with running(kind=EAST_WORKS) as trio:
        trio.create("west")
        await trio.everywhere()
        refused = refuse(trio.apis["west"], status=True)
        edit(trio, "east", status={"done": 2})
        await eventually(lambda: refused, "the status was refused")
        edit(trio, "west", spec={"size": 5})
        await eventually(shows(trio, "east", spec={"size": 5}), "the change is everywhere")
        assert trio.shown("kcp")["status"] == {"done": 2}  # type: ignore[index]


async def test_a_refused_status_does_not_keep_a_corrected_spec_from_the_processor() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        refused = refuse(trio.apis["kcp"], status=True)
        edit(trio, "west", status={"done": "many"})
        await eventually(lambda: refused, "the status was refused")
        edit(trio, "east", spec={"size": 5})
        await eventually(shows(trio, "west", spec={"size": 5}), "the processor has the corrected spec")


async def test_a_refused_spec_does_not_keep_back_the_status_of_an_origin_that_is_the_processor() -> None:
    async with running() as trio:
        trio.create("west")
        await trio.everywhere()
        refused = refuse(trio.apis["kcp"], status=False)
        edit(trio, "west", spec={"size": 5})
        await eventually(lambda: refused, "the spec was refused")
        edit(trio, "west", status={"done": 1})
        await eventually(shows(trio, "east", status={"done": 1}), "the status is everywhere")
        assert trio.shown("east")["spec"] == {"size": 1}  # type: ignore[index]


async def test_a_refused_status_does_not_hold_up_a_deletion() -> None:
    async with running(kind=replace(EAST_WORKS, grace=1.5)) as trio:
        trio.create("west")
        await trio.everywhere()
        trio.known.gone_away = frozenset({"east"})
        await trio.end("east")
        refused = refuse(trio.apis["west"], status=True)
        edit(trio, "kcp", status={"done": 2})
        await eventually(lambda: refused, "the status was refused")
        trio.apis["west"].remove(WIDGETS, "w", "default")
        await eventually(lambda: not trio.shown("kcp") and not trio.shown("west"), "nobody waits without bound")
        assert [stone["spec"]["pending"] for stone in trio.apis["kcp"].objects[TOMBSTONES.name].values()] == [["east"]]


async def test_it_is_told_and_what_went_on_is_done_once() -> None:
    with quick_second_opinion():
        executor.SLOW_LANE_SECONDS = 1.0
        async with running(kind=EAST_WORKS) as trio:
            trio.create("west")
            await trio.everywhere()
            refused = refuse(trio.apis["west"], status=True)
            edit(trio, "east", status={"done": 2})
            edit(trio, "west", spec={"size": 5})
            await eventually(lambda: notes(trio, "west").get(names.SYNC_STATE) == names.REJECTED, "the user is told")
            await eventually(shows(trio, "east", spec={"size": 5}), "the change is everywhere")
            assert "cluster west refused this object (status)" in trio.syncers["west"].troubles()[KEY]
            before = [trio.writes(cluster) for cluster in ("west", "kcp", "east")]
            await eventually(lambda: len(refused) >= 4, "it is tried again, rarely")
            others = [c for c in trio.apis["west"].calls if c.verb == "PATCH" and not c.subresource]
            assert len(others) <= 3, "the finalizer, the note"
            assert [trio.writes(cluster) for cluster in ("kcp", "east")] == before[1:]
            assert len(trio.apis["west"].objects[EVENTS.name]) == 1
            refused.append(None)
            await eventually(shows(trio, "west", status={"done": 2}), "the status came down")
            await eventually(lambda: names.SYNC_STATE not in notes(trio, "west"), "the note is gone")
            await eventually(lambda: not trio.syncers["west"].troubles(), "and nothing is wrong any more")


async def test_it_rests_whatever_else_happens_to_the_object() -> None:
    with quick_second_opinion():
        executor.SLOW_LANE_SECONDS = 600.0
        async with running(kind=EAST_WORKS) as trio:
            trio.create("west")
            await trio.everywhere()
            refused = refuse(trio.apis["west"], status=True)
            edit(trio, "east", status={"done": 2})
            await eventually(lambda: notes(trio, "west").get(names.SYNC_STATE) == names.REJECTED, "the user is told")
            assert len(refused) == 2
            for size in range(5, 10):
                edit(trio, "west", spec={"size": size})
                await eventually(shows(trio, "east", spec={"size": size}), f"size {size} is everywhere")
            assert len(refused) == 2
            edit(trio, "east", status={"done": 3})
            await eventually(lambda: len(refused) == 3, "another status is another write")
            trio.syncers["west"].fabric_changed(replace(EAST_WORKS, epoch=2))
            await eventually(lambda: len(refused) == 4, "another term may have it taken")


async def test_two_that_are_refused_are_told_together() -> None:
    with quick_second_opinion():
        async with running(kind=EAST_WORKS) as trio:
            trio.create("west")
            await trio.everywhere()
            status = refuse(trio.apis["west"], status=True)
            spec = refuse(trio.apis["kcp"], status=False, text="no such size")
            edit(trio, "east", status={"done": 2})
            edit(trio, "west", spec={"size": 5})
            troubles, events = trio.syncers["west"].troubles, trio.apis["west"].objects[EVENTS.name]
            both = ("(status): epoch must not go back", "(the origin changed): no such size")
            told = lambda: [all(words in event["message"] for words in both) for event in events.values()]  # noqa: E731
            await eventually(lambda: any(told()), "both are told")
            seen = len(status), len(spec)
            await eventually(lambda: len(status) > seen[0] + 2 and len(spec) > seen[1] + 2, "they stay refused")
            assert told() == [False, True], "the same is no news"
            status.append(None)
            await eventually(shows(trio, "west", status={"done": 2}), "the status came down")
            await eventually(lambda: both[0] not in troubles()[KEY] and both[1] in troubles()[KEY], "one is left")


async def test_a_copy_whose_status_is_refused_goes_on_waiting_for_it() -> None:
    """Our controller must not begin anew on it, though the origin changes meanwhile."""
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        edit(trio, "west", status={"done": 5})
        await eventually(shows(trio, "kcp", status={"done": 5}), "the hub has the status")
        refused = refuse(trio.apis["west"], status=True)
        trio.apis["west"].remove(WIDGETS, "w", "default")
        await eventually(lambda: refused, "the status of the new copy was refused")
        for syncer in trio.syncers.values():
            syncer.fabric_changed(replace(EAST_WORKS, epoch=2))
        edit(trio, "east", spec={"size": 6})
        hub_seen = trio.syncers["west"]._stores["hub"]
        await eventually(lambda: (hub_seen.get(KEY) or {}).get("spec") == {"size": 6}, "west knows of the change")
        for epoch in (3, 4):  # one look has begun, and when the next one has, the first is over
            before = len(refused)
            trio.syncers["west"].fabric_changed(replace(EAST_WORKS, epoch=epoch))
            await eventually(lambda before=before: len(refused) > before, "west has looked at it")  # type: ignore[misc]
        assert names.STATUS_PENDING in notes(trio, "west")
        refused.append(None)  # type: ignore[arg-type]
        trio.syncers["west"].fabric_changed(replace(EAST_WORKS, epoch=5))
        await eventually(shows(trio, "west", status={"done": 5}, spec={"size": 6}), "it is as it should be")
        await eventually(lambda: names.STATUS_PENDING not in notes(trio, "west"), "nothing is waited for any more")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


STATUS, SPEC = Patch("member", [], "status"), Patch("hub", [], "the origin changed", aim="a")


def test_the_first_to_be_due_says_when_to_look_again(clock: Clock) -> None:
    refusals = Refusals(clock)
    assert refusals.rest(KEY) == 0.0
    refusals.note(KEY, STATUS, b"1", 30.0)
    refusals.note(KEY, SPEC, b"2", 2.0)
    assert refusals.rest(KEY) == 2.0
    clock.now += 2.0
    assert refusals.rests(KEY, STATUS, lambda: b"1")
    assert not refusals.rests(KEY, SPEC, lambda: b"2")
    assert refusals.rest(KEY) == LEAST_SECONDS, "it is looked at again, though the time came just now"


def test_a_refusal_that_was_asked_for_before_rests_ended_does_not_rest(clock: Clock) -> None:
    refusals = Refusals(clock)
    for asked, ended, rests in ((1.0, 2.0, False), (4.0, 3.0, True)):
        clock.now = asked
        refusals.among(KEY, [STATUS])
        clock.now = max(asked, ended)
        if ended > asked:
            refusals.end_rests()
        clock.now += 1.0
        refusals.note(KEY, STATUS, b"1", 30.0)
        assert refusals.rests(KEY, STATUS, lambda: b"1") is rests


def test_what_is_not_planned_any_more_or_was_taken_is_forgotten(clock: Clock) -> None:
    refusals = Refusals(clock)
    for write in (STATUS, SPEC):
        refusals.note(KEY, write, b"", 30.0, "no")
    refusals.among(KEY, [SPEC])
    assert (refusals.stays(KEY, STATUS), refusals.stays(KEY, SPEC)) == (False, True)
    refusals.done(KEY, SPEC)
    assert not refusals.stays(KEY, SPEC)
    assert refusals.rest(KEY) == 0.0
