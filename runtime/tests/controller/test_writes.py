# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Status writes that collide, are refused, or whose answer is lost; two controllers; crash and resume."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from aiohttp import web

from runtime.tests.controller.builders import queue_object, states
from runtime.tests.controller.stations import GatedExecutor, Ledger, station
from runtime.tests.controller.test_coordinator import phase, status
from runtime.tests.fakeapi import Call, FakeApi, Refused
from runtime.tests.waiting import eventually
from tmc.controller.model import Term
from tmc.controller.resources import TASK_QUEUES, Standing
from tmc.controller.simulate import SimulateExecutor


def annotate(api: FakeApi, name: str = "q") -> None:
    """Somebody else's change of the object: its version moves on."""
    made = api.get(TASK_QUEUES, name, "default")
    made["metadata"]["annotations"] = {"touched": str(api.version)}
    api.put(TASK_QUEUES, made)


async def test_a_write_that_was_overtaken_is_planned_anew(api: FakeApi, ledger: Ledger) -> None:
    async def overtake(_call: Call) -> None:
        annotate(api)

    api.intercept(overtake, "PATCH", TASK_QUEUES.name, times=3)
    api.put(TASK_QUEUES, queue_object(tasks="abc"))
    async with station(api.connection):
        await eventually(lambda: phase(api) == "Completed")
    ledger.assert_nothing_done_twice()
    assert states(status(api)) == dict.fromkeys("abc", ("Succeeded", 1))
    assert "touched" in api.get(TASK_QUEUES, "q", "default")["metadata"]["annotations"]


@pytest.mark.parametrize("carried_out", [True, False], ids=["answer lost", "request lost"])
async def test_a_write_without_an_answer_is_read_back(api: FakeApi, ledger: Ledger, carried_out: bool) -> None:
    async def cut(call: Call) -> web.StreamResponse:
        response = await api._answer(call) if carried_out else web.Response()
        assert call.request.transport is not None
        call.request.transport.abort()
        return response

    api.intercept(cut, "PATCH", TASK_QUEUES.name, times=2)
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with station(api.connection) as me:
        await eventually(lambda: phase(api) == "Completed")
        await eventually(lambda: len(ledger.successes()) == 2)
        assert me.writes == (2 if carried_out else 4)
        assert me.client.requests[("GET", TASK_QUEUES.name)] == 2
    ledger.assert_nothing_done_twice()
    assert states(status(api)) == dict.fromkeys("ab", ("Succeeded", 1))


@pytest.mark.parametrize("code", [403, 413, 422, 429, 500, 503, 504])
async def test_a_refused_write_is_tried_again_without_starting_anything(
    api: FakeApi, ledger: Ledger, code: int
) -> None:
    api.fail("PATCH", code, resource=TASK_QUEUES.name, times=2)
    api.fail("GET", 503, resource=TASK_QUEUES.name)
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with station(api.connection):
        await eventually(lambda: phase(api) == "Completed")
    ledger.assert_nothing_done_twice()
    assert states(status(api)) == dict.fromkeys("ab", ("Succeeded", 1))


async def test_one_queue_whose_writes_are_always_refused_does_not_stop_the_others(api: FakeApi) -> None:
    async def refuse_poison(call: Call) -> None:
        if call.name == "poison":
            raise Refused(422, "Invalid", "status.epoch may not go back")

    api.intercept(refuse_poison, "PATCH", TASK_QUEUES.name, times=10_000)
    api.put(TASK_QUEUES, queue_object("poison", priority="critical", tasks="abcde"))
    names = [f"q{number}" for number in range(5)]
    for name in names:
        api.put(TASK_QUEUES, queue_object(name))
    async with station(api.connection, workers=5):
        await eventually(lambda: all(phase(api, name) == "Completed" for name in names))
    assert phase(api, "poison") == ""


async def test_a_queue_deleted_under_a_write_is_forgotten(api: FakeApi) -> None:
    async def remove(_call: Call) -> None:
        api.remove(TASK_QUEUES, "q", "default")

    executor = GatedExecutor()
    api.intercept(remove, "PATCH", TASK_QUEUES.name)
    api.put(TASK_QUEUES, queue_object(tasks="abcde"))
    async with station(api.connection, executor=executor, workers=5) as me:
        await eventually(lambda: me.writes == 1)
        api.put(TASK_QUEUES, queue_object("next", tasks="abcde"))
        await eventually(lambda: len(executor.waiting) == 5)
        assert me.writes == 2
    assert len(executor.order) == 5


async def test_after_a_crash_a_successor_finishes_and_no_success_is_done_again(api: FakeApi, ledger: Ledger) -> None:
    executor = GatedExecutor()
    api.put(TASK_QUEUES, queue_object(tasks="abcde", parallelism=3))
    async with station(api.connection, "first", executor=executor):
        await eventually(lambda: len(executor.waiting) == 3)
        executor.release("a", "b")
        await eventually(lambda: status(api).get("completedTasks") == 2)
    async with station(api.connection, "second"):
        await eventually(lambda: phase(api) == "Completed")
    ledger.assert_nothing_done_twice()
    found = states(status(api))
    assert found == {"a": ("Succeeded", 1), "b": ("Succeeded", 1)} | dict.fromkeys("cde", ("Succeeded", 2))
    assert status(api)["processorIdentity"] == "second"


async def test_a_controller_that_was_frozen_cannot_record_what_its_successor_took_over(
    api: FakeApi, ledger: Ledger
) -> None:
    frozen, successor = GatedExecutor(), GatedExecutor()
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with station(api.connection, "frozen", executor=frozen) as first:

        async def notice_that_the_lease_is_lost(_call: Call) -> None:
            first.move(Standing(None, "the Lease is lost"))

        await eventually(lambda: len(frozen.waiting) == 2 and len(api.watches) == 1)
        api.hang_watches()  # it sees nothing of what happens now
        async with station(api.connection, "successor", executor=successor):
            await eventually(lambda: len(successor.waiting) == 2)
            api.intercept(notice_that_the_lease_is_lost, "GET", TASK_QUEUES.name)
            frozen.release_all()
            await eventually(lambda: first.standing[0].term is None)
            successor.release_all()
            await eventually(lambda: phase(api) == "Completed")
            await eventually(lambda: len(ledger.successes()) == 2)
        assert first.writes == 2
    ledger.assert_nothing_done_twice()
    assert states(status(api)) == dict.fromkeys("ab", ("Succeeded", 2))
    assert {line.identity for line in ledger.lines if line.getMessage() == "recorded"} == {"successor"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(8))
async def test_two_that_both_believe_to_lead_never_run_the_same_claim(api: FakeApi, ledger: Ledger, seed: int) -> None:
    source = random.Random(seed)
    names = [f"q{number}" for number in range(4)]
    for name in names:
        flaky: Any = {"name": "flaky", "command": "c", "simulate": {"failures": source.randrange(3)}}
        api.put(TASK_QUEUES, queue_object(name, tasks=[*"abcdef", flaky], parallelism=source.randrange(1, 5)))
    delay = SimulateExecutor(source.choice([0.0, 0.002, 0.01]))
    async with station(api.connection, "two", executor=delay, workers=source.randrange(1, 6)):
        async with station(api.connection, "one", executor=delay, workers=source.randrange(1, 6)):
            await asyncio.sleep(source.uniform(0.0, 0.15))
        await eventually(lambda: all(phase(api, name) in ("Completed", "Failed") for name in names))
    ledger.assert_nothing_done_twice()
    for name in names:
        done = [each for each in status(api, name)["tasks"] if each["state"] == "Succeeded"]
        assert {each["name"] for each in done} >= set("abcdef")


async def test_an_older_term_gives_way_to_a_newer_one(api: FakeApi) -> None:
    old, new = GatedExecutor(), GatedExecutor()
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with (
        station(api.connection, "old", executor=old),
        station(api.connection, "new", executor=new, standing=Standing(None, "not yet")) as successor,
    ):
        await eventually(lambda: len(old.waiting) == 2)
        successor.move(Standing(Term("west", 2)))
        await eventually(lambda: len(new.waiting) == 2)
        await eventually(lambda: sorted(old.cancelled) == ["a", "b"])
        new.release_all()
        await eventually(lambda: phase(api) == "Completed")
    assert old.order == ["a", "b"]
    assert (status(api)["epoch"], status(api)["processorIdentity"]) == (2, "new")
