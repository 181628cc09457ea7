# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The coordinator on an API server in the test's own process: writes, workers, priority, deletion, isolation."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.tests.controller.builders import queue_object, states
from runtime.tests.controller.stations import GatedExecutor, Ledger, station
from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.waiting import eventually
from tmc.controller import coordinator
from tmc.controller.executor import Attempt
from tmc.controller.model import Term
from tmc.controller.plan import Outcome
from tmc.controller.resources import TASK_QUEUES, Standing
from tmc.controller.simulate import SimulateExecutor


def status(api: FakeApi, name: str = "q") -> dict[str, Any]:
    found: dict[str, Any] = api.get(TASK_QUEUES, name, "default").get("status") or {}
    return found


def phase(api: FakeApi, name: str = "q") -> str:
    return str(status(api, name).get("phase", ""))


async def test_a_queue_of_five_tasks_costs_two_status_writes(
    api: FakeApi, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    async with station(api.connection, executor=SimulateExecutor(0.05)) as me:
        api.put(TASK_QUEUES, queue_object(tasks="abcde"))
        await eventually(lambda: phase(api) == "Completed")
        assert me.writes == 2
        assert me.client.requests[("GET", TASK_QUEUES.name)] == 0
        await eventually(lambda: len(ledger.successes()) == 5)
    ledger.assert_nothing_done_twice()
    assert "claims lost" not in caplog.text


async def test_attempts_that_end_shortly_after_each_other_share_a_write(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "COALESCE_SECONDS", 1.0)
    executor = GatedExecutor()
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with station(api.connection, executor=executor) as me:
        await eventually(lambda: len(executor.waiting) == 2)
        executor.release("a")
        await eventually(lambda: executor.waiting == ["b"])
        executor.release("b")
        await eventually(lambda: phase(api) == "Completed")
        assert me.writes == 2


async def test_outcomes_and_new_claims_share_a_write(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    async with station(api.connection, executor=SimulateExecutor(0.05)) as me:
        api.put(TASK_QUEUES, queue_object(tasks="abcdef", parallelism=2))
        await eventually(lambda: phase(api) == "Completed")
        assert me.writes == 4
    assert "claims lost" not in caplog.text


async def test_progress_is_shown_while_the_rest_still_runs(api: FakeApi) -> None:
    executor = GatedExecutor()
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with station(api.connection, executor=executor):
        await eventually(lambda: len(executor.waiting) == 2)
        executor.release("a")
        await eventually(lambda: status(api)["progress"] == "1/2")
        assert phase(api) == "Running"
        assert executor.waiting == ["b"]


async def test_no_more_tasks_run_than_there_are_workers(api: FakeApi) -> None:
    executor = GatedExecutor()
    for name in ("q1", "q2", "q3"):
        api.put(TASK_QUEUES, queue_object(name, tasks=[f"{name}-{n}" for n in range(4)]))
    async with station(api.connection, executor=executor, workers=5):
        await eventually(lambda: len(executor.waiting) == 5)
        executor.release_all()
        await eventually(lambda: all(phase(api, name) == "Completed" for name in ("q1", "q2", "q3")))
    assert executor.most == 5
    assert len(executor.order) == 12


async def test_priority_then_age_decides_who_is_next(api: FakeApi) -> None:
    executor = GatedExecutor()
    for name, priority, created in (
        ("low", "low", "2026-01-01T00:00:00Z"),
        ("young", "normal", "2026-01-03T00:00:00Z"),
        ("old", "normal", "2026-01-02T00:00:00Z"),
        ("high", "high", "2026-01-04T00:00:00Z"),
        ("critical", "critical", "2026-01-05T00:00:00Z"),
    ):
        made = queue_object(name, tasks=[name], priority=priority, metadata={"creationTimestamp": created})
        api.put(TASK_QUEUES, made)
    executor.release_all()
    async with station(api.connection, executor=executor, workers=1):
        await eventually(lambda: phase(api, "low") == "Completed")
    assert executor.order == ["critical", "high", "old", "young", "low"]


async def test_a_time_out_fails_the_task_and_the_queue_but_not_the_others(api: FakeApi) -> None:
    slow = {"name": "slow", "command": "c", "timeout": "10ms", "simulate": {"duration": "1h"}}
    api.put(TASK_QUEUES, queue_object(tasks=[slow, "quick"]))
    async with station(api.connection) as me:
        await eventually(lambda: phase(api) == "Failed")
        await eventually(lambda: bool(me.told))
    assert states(status(api)) == {"slow": ("Failed", 1), "quick": ("Succeeded", 1)}
    assert me.told == [("q", "TasksFailed", "1 of 2 tasks failed: slow")]


async def test_first_attempts_that_fail_are_retried(api: FakeApi, ledger: Ledger) -> None:
    def flaky(name: str, failures: int) -> dict[str, Any]:
        return {"name": name, "command": "c", "simulate": {"failures": failures}}

    api.put(TASK_QUEUES, queue_object(tasks=[flaky("twice", 2), flaky("thrice", 3)]))
    async with station(api.connection):
        await eventually(lambda: phase(api) == "Failed")
    assert states(status(api)) == {"twice": ("Succeeded", 3), "thrice": ("Failed", 3)}
    ledger.assert_nothing_done_twice()
    assert len(ledger.attempts("started")) == 6


async def test_an_executor_that_breaks_costs_its_task_only(api: FakeApi) -> None:
    class Broken(SimulateExecutor):
        async def execute(self, attempt: Attempt) -> Outcome:
            if attempt.task.name == "a":
                raise ZeroDivisionError("oops")
            return await super().execute(attempt)

    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with station(api.connection, executor=Broken(0.0)):
        await eventually(lambda: phase(api) == "Failed")
    assert states(status(api)) == {"a": ("Failed", 1), "b": ("Succeeded", 1)}
    assert status(api)["tasks"][0]["message"] == "executor broke: ZeroDivisionError: oops"


@pytest.mark.parametrize("finalizers", [[], ["example.org/keep"]], ids=["gone", "terminating"])
async def test_deletion_stops_the_tasks_and_nothing_more_is_written(api: FakeApi, finalizers: list[str]) -> None:
    executor = GatedExecutor()
    api.put(TASK_QUEUES, queue_object(tasks="ab", metadata={"finalizers": finalizers}))
    async with station(api.connection, executor=executor, workers=2) as me:
        await eventually(lambda: len(executor.waiting) == 2)
        api.remove(TASK_QUEUES, "q", "default")
        await eventually(lambda: sorted(executor.cancelled) == ["a", "b"])
        api.put(TASK_QUEUES, queue_object("next", tasks=["c"]))
        executor.release_all()
        await eventually(lambda: phase(api, "next") == "Completed")
        assert me.writes == 3


async def test_a_changed_spec_stops_what_it_no_longer_asks_for(api: FakeApi) -> None:
    executor = GatedExecutor()
    made = api.put(TASK_QUEUES, queue_object(tasks=["kept", "dropped"]))
    async with station(api.connection, executor=executor):
        await eventually(lambda: len(executor.waiting) == 2)
        made = api.get(TASK_QUEUES, "q", "default")
        made["spec"] = queue_object(tasks=["kept", "added"])["spec"]
        api.put(TASK_QUEUES, made)
        await eventually(lambda: sorted(executor.waiting) == ["added", "kept"])
        executor.release_all()
        await eventually(lambda: phase(api) == "Completed")
    assert executor.cancelled == ["dropped"]
    assert executor.order.count("kept") == 1
    assert states(status(api)) == {"kept": ("Succeeded", 1), "added": ("Succeeded", 1)}
    assert status(api)["observedGeneration"] == 2


async def test_a_completed_queue_runs_what_a_changed_spec_adds(api: FakeApi) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with station(api.connection, executor=(executor := GatedExecutor())):
        executor.release_all()
        await eventually(lambda: phase(api) == "Completed")
        before = status(api)["observedSpecHash"]
        made = api.get(TASK_QUEUES, "q", "default")
        made["spec"] = queue_object(tasks="abc", priority="high")["spec"]
        api.put(TASK_QUEUES, made)
        await eventually(lambda: status(api)["progress"] == "3/3")
    assert executor.order == ["a", "b", "c"]
    assert status(api)["observedSpecHash"] != before


async def test_an_unreadable_queue_is_reported_and_the_others_go_on(api: FakeApi) -> None:
    api.put(TASK_QUEUES, queue_object("poison", tasks=[{"name": "a", "command": "c", "timeout": "soon"}]))
    api.put(TASK_QUEUES, queue_object("good"))
    async with station(api.connection) as me:
        await eventually(lambda: phase(api, "good") == "Completed")
        await eventually(lambda: bool(me.told))
    assert me.told[0][:2] == ("poison", "Unreadable")
    assert "timeout of task a 'soon'" in me.told[0][2]
    assert phase(api, "poison") == ""


async def test_nothing_is_written_in_a_steady_state(api: FakeApi) -> None:
    api.put(TASK_QUEUES, queue_object())
    async with station(api.connection) as me:
        await eventually(lambda: phase(api) == "Completed")
        writes = me.writes
        for number in range(5):
            made = api.get(TASK_QUEUES, "q", "default")
            made["metadata"]["annotations"] = {"by": str(number)}
            api.put(TASK_QUEUES, made)
        version = api.version
        await eventually(lambda: me.reflector.resource_version >= version)
        api.put(TASK_QUEUES, queue_object("marker"))
        await eventually(lambda: phase(api, "marker") == "Completed")
        assert me.writes == writes + 2


async def test_another_processor_or_no_term_means_no_write(api: FakeApi) -> None:
    api.put(TASK_QUEUES, queue_object())
    async with station(api.connection, standing=Standing(None, "idle")) as me:
        await eventually(lambda: me.reflector.stats.watches == 1)
        assert (me.writes, phase(api)) == (0, "")
        me.move(Standing(Term("west", 2)))
        await eventually(lambda: phase(api) == "Completed")
        assert status(api)["epoch"] == 2


async def test_a_processor_that_moves_stops_the_running_tasks_at_once(api: FakeApi) -> None:
    executor = GatedExecutor()
    api.put(TASK_QUEUES, queue_object(tasks="abc"))
    async with station(api.connection, executor=executor, workers=2) as me:
        await eventually(lambda: len(executor.waiting) == 2)
        me.move(Standing(None, "moved"))
        await eventually(lambda: len(executor.cancelled) == 2)
        api.put(TASK_QUEUES, queue_object("later"))
        me.move(Standing(Term("west", 3)))
        await eventually(lambda: len(executor.waiting) == 2)
        assert me.writes == 2
    assert states(status(api)) == {"a": ("Running", 2), "b": ("Running", 2), "c": ("Pending", 0)}
    assert status(api)["epoch"] == 3


async def test_a_claim_whose_term_ended_under_the_write_is_not_started(api: FakeApi, ledger: Ledger) -> None:
    async with station(api.connection) as me:

        async def end_the_term(_call: Call) -> None:
            me.standing[0] = Standing(None, "moved")

        api.intercept(end_the_term, "PATCH", TASK_QUEUES.name)
        api.put(TASK_QUEUES, queue_object())
        await eventually(lambda: phase(api) == "Running")
        me.move(Standing(Term("west", 3)))
        await eventually(lambda: phase(api) == "Completed")
    assert {attempt for *_, attempt in ledger.attempts("started")} == {2}


async def test_a_status_of_a_newer_term_is_left_alone(api: FakeApi) -> None:
    newer = {"phase": "Running", "epoch": 9, "observedSpecHash": "x", "processorIdentity": "other"}
    api.put(TASK_QUEUES, queue_object("newer", status=newer))
    api.put(TASK_QUEUES, queue_object("own"))
    async with station(api.connection) as me:
        await eventually(lambda: phase(api, "own") == "Completed")
        assert me.writes == 2
    assert status(api, "newer") == newer


async def test_a_queue_that_waits_long_is_told_that_it_was_seen(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "COURTESY_SECONDS", 0.0)
    executor = GatedExecutor()
    api.put(TASK_QUEUES, queue_object("first", priority="high", tasks=["a"]))
    api.put(TASK_QUEUES, queue_object("second", tasks=["b"]))
    async with station(api.connection, executor=executor, workers=1) as me:
        await eventually(lambda: phase(api, "second") == "Pending")
        assert status(api, "second")["message"] == "0 of 1 tasks done, waiting for a free worker"
        executor.release_all()
        await eventually(lambda: phase(api, "second") == "Completed")
        assert me.writes == 5


async def test_a_queue_that_the_planner_trips_over_does_not_stop_the_others(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(*arguments: Any, **named: Any) -> Any:
        if arguments[0].key.name == "poison":
            raise ZeroDivisionError("oops")
        return settle(*arguments, **named)

    settle = coordinator.settle
    monkeypatch.setattr(coordinator, "settle", trip)
    api.put(TASK_QUEUES, queue_object("poison", priority="critical"))
    api.put(TASK_QUEUES, queue_object("good"))
    async with station(api.connection, workers=1):
        await eventually(lambda: phase(api, "good") == "Completed")
        assert phase(api, "poison") == ""
        monkeypatch.setattr(coordinator, "settle", settle)
        await eventually(lambda: phase(api, "poison") == "Completed")
