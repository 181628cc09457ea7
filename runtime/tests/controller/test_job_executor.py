# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Tasks as Jobs: every Job is made once, adopted by whoever comes next, and gone when its outcome is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from runtime.tests.controller.builders import queue_object, states
from runtime.tests.controller.jobs import KINDS, OPTIONS, Kubelet, job_station
from runtime.tests.controller.stations import Ledger
from runtime.tests.controller.test_coordinator import phase, status
from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import EVENTS
from tmc.controller import job_attempt
from tmc.controller.job import NODES, JobExecutor
from tmc.controller.job_manifest import JOBS
from tmc.controller.resources import TASK_QUEUES, Standing
from tmc.core.settings import SettingsError


@pytest_asyncio.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(*KINDS, name="west") as running:
        yield running


@pytest.fixture
def kubelet(api: FakeApi) -> Kubelet:
    return Kubelet(api)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_attempt, "_PATIENCE", 0.05)
    monkeypatch.setattr(job_attempt, "_LONGEST_PATIENCE", 0.05)


def created(api: FakeApi) -> list[str]:
    """Names of the Jobs that were ever created, in order."""
    return [c.body["metadata"]["name"] for c in api.calls if (c.verb, c.resource) == ("POST", JOBS.name)]


def task(name: str = "a", command: str = "do it", timeout: str = "5m") -> dict[str, Any]:
    return {"name": name, "command": command, "timeout": timeout}


async def test_done_recorded_and_cleaned_up(api: FakeApi, kubelet: Kubelet, ledger: Ledger) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with job_station(api, tidy_every=60.0):
        await kubelet.until_running("a", "b")
        kubelet.end("a", message="42 rows")
        kubelet.end("b", 3, "no such table")
        await eventually(lambda: phase(api) == "Failed")
        await eventually(lambda: kubelet.jobs == [], "Jobs are deleted once their outcome is recorded")
    a, b = status(api)["tasks"]
    assert (a["state"], a["message"], len(a["result"])) == ("Succeeded", "exit code 0: 42 rows", 16)
    assert (b["state"], b["message"], b["attempts"]) == ("Failed", "exit code 3 (Error): no such table", 1)
    ledger.assert_nothing_done_twice()


async def test_deleting_a_job_takes_its_pods(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api):
        await kubelet.until_running("a")
        kubelet.end("a")
        await eventually(lambda: kubelet.jobs == [])
    deletions = [call.body for call in api.calls if call.verb == "DELETE"]
    assert {body["propagationPolicy"] for body in deletions} == {"Background"}
    assert all(body["preconditions"]["uid"] for body in deletions)


async def test_a_command_that_cannot_be_split_fails_its_task_without_a_job(api: FakeApi) -> None:
    api.put(TASK_QUEUES, queue_object(tasks=[task(command="echo 'open")]))
    async with job_station(api):
        await eventually(lambda: phase(api) == "Failed")
    assert "cannot be split into words" in status(api)["tasks"][0]["message"]
    assert created(api) == []


async def test_a_successor_adopts_the_running_job(api: FakeApi, kubelet: Kubelet, ledger: Ledger) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with job_station(api, "first"):
        await kubelet.until_running("a", "b")
    uids = {job["metadata"]["uid"] for job in kubelet.jobs}
    async with job_station(api, "second"):
        await eventually(lambda: status(api).get("processorIdentity") == "second")
        kubelet.end("a")
        kubelet.end("b")
        await eventually(lambda: phase(api) == "Completed")
    assert states(status(api)) == dict.fromkeys("ab", ("Succeeded", 1))
    assert {job["metadata"]["uid"] for job in kubelet.jobs} <= uids
    ledger.assert_nothing_done_twice()
    assert len(ledger.attempts("started")) == len(ledger.attempts("resumed")) == 2


async def test_what_ended_while_nobody_looked_is_recorded_and_not_done_again(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with job_station(api, "first"):
        await kubelet.until_running("a", "b")
    kubelet.end("a", message="made once")
    kubelet.end("b", 1)
    async with job_station(api, "second"):
        await eventually(lambda: phase(api) == "Failed")
    assert states(status(api)) == {"a": ("Succeeded", 1), "b": ("Failed", 1)}
    assert status(api)["tasks"][0]["message"] == "exit code 0: made once"
    assert len(set(created(api))) == 2


async def test_a_crash_between_outcome_and_record_does_nothing_again(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    stuck = asyncio.Event()

    async def never(call: Call) -> None:
        if "Succeeded" in str(call.body):
            stuck.set()
            await asyncio.Event().wait()

    async with job_station(api, "first"):
        await kubelet.until_running("a")
        api.intercept(never, "PATCH", TASK_QUEUES.name, times=100)  # type: ignore[arg-type]
        kubelet.end("a")
        await stuck.wait()
        assert len(kubelet.jobs) == 1
    api._intercepts.clear()
    async with job_station(api, "second"):
        await eventually(lambda: phase(api) == "Completed")
    assert states(status(api)) == {"a": ("Succeeded", 1)}
    assert len(set(created(api))) == 1


async def test_a_create_whose_answer_was_lost_is_not_made_twice(api: FakeApi, kubelet: Kubelet) -> None:
    async def lose_the_answer(call: Call) -> Any:
        api._create(call)
        assert call.request.transport is not None
        call.request.transport.abort()
        return None

    api.intercept(lose_the_answer, "POST", JOBS.name)
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api):
        await kubelet.until_running("a")
        kubelet.end("a")
        await eventually(lambda: phase(api) == "Completed")
    assert len(set(created(api))) == 1
    assert status(api)["tasks"][0]["attempts"] == 1


async def test_a_process_that_lost_its_claim_starts_nothing(api: FakeApi, kubelet: Kubelet) -> None:
    """It slept between its claim and its create; meanwhile another did the work, recorded it and cleaned up."""
    late = asyncio.Event()

    async def delay(_call: Call) -> None:
        await late.wait()

    api.intercept(delay, "POST", JOBS.name)  # type: ignore[arg-type]
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api, "sleeper") as sleeper:
        await eventually(lambda: created(api), "the sleeper's create is under way")
        sleeper.move(Standing(None, "asleep"))
        async with job_station(api, "successor", tidy_every=60.0):
            await kubelet.until_running("a")
            kubelet.end("a")
            await eventually(lambda: phase(api) == "Completed")
            await eventually(lambda: kubelet.jobs == [])
            late.set()
            await eventually(lambda: len(kubelet.jobs) == 1, "the late create arrives")
        assert kubelet.running() == []
        async with job_station(api, "next"):
            await eventually(lambda: kubelet.jobs == [], "nobody needs it")
    releases = [call for call in api.calls if (call.verb, call.resource) == ("PATCH", JOBS.name)]
    assert len(releases) == 1
    assert states(status(api)) == {"a": ("Succeeded", 1)}


async def test_a_claim_is_confirmed_live_before_a_job_runs(api: FakeApi, kubelet: Kubelet, ledger: Ledger) -> None:
    """Its view lags: only a live read shows that the queue is another controller's by now."""

    async def taken(_call: Call) -> None:
        obj = api.get(TASK_QUEUES, "q", "default")
        obj["status"]["processorIdentity"] = "successor"
        api.put(TASK_QUEUES, obj)

    api.intercept(taken, "POST", JOBS.name)  # type: ignore[arg-type]
    api.drop = lambda _kind, obj: (obj.get("status") or {}).get("processorIdentity") == "successor"
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api, "sleeper"):
        await eventually(lambda: ledger.attempts("finished"), "the attempt is given up")
    assert kubelet.running() == []
    assert len(kubelet.jobs) == 1
    assert status(api)["tasks"][0]["state"] == "Running"


async def test_trouble_is_told_while_it_lasts_and_then_it_times_out(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks=[task(timeout="30s")]))
    async with job_station(api):
        await kubelet.until_running("a")
        state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image tools:1"}}
        kubelet.pod(kubelet.job("a"), {"containerStatuses": [{"state": state}]})
        await eventually(lambda: status(api)["tasks"][0].get("message"), "the user is told")
        assert status(api)["tasks"][0] | {"message": ""} == {
            "name": "a",
            "state": "Running",
            "attempts": 1,
            "startTime": status(api)["tasks"][0]["startTime"],
            "message": "",
        }
        kubelet.conclude(kubelet.job("a"), "Failed", "DeadlineExceeded")
        await eventually(lambda: phase(api) == "Failed")
    told = "timed out after 30s: ImagePullBackOff: no such image tools:1"
    assert status(api)["tasks"][0]["message"] == told


async def test_a_warning_about_a_job_without_pods_is_told(api: FakeApi, kubelet: Kubelet) -> None:
    event = {"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota"}

    async def answer(call: Call) -> web.Response:
        uid = call.request.query["fieldSelector"].removeprefix("involvedObject.uid=")
        return web.json_response({"items": [event] if uid == kubelet.job("a")["metadata"]["uid"] else []})

    api.intercept(answer, "LIST", EVENTS.name, times=1000)
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api):
        await eventually(lambda: "FailedCreate: exceeded quota" in str(status(api).get("tasks")))


async def test_a_refused_job_is_told_and_times_out_by_itself(api: FakeApi) -> None:
    api.fail("POST", 403, "Forbidden", resource=JOBS.name, times=1000)
    api.put(TASK_QUEUES, queue_object(tasks=[task(timeout="300ms")]))
    async with job_station(api):
        await eventually(lambda: phase(api) == "Failed")
    message = status(api)["tasks"][0]["message"]
    assert message.startswith("timed out after 0.3s: its Job cannot be begun: 403 Forbidden")


async def test_when_kubernetes_never_ends_it_the_own_clock_does(
    api: FakeApi, kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_attempt, "GRACE_SECONDS", 0.1)
    api.put(TASK_QUEUES, queue_object(tasks=[task(timeout="200ms")]))
    async with job_station(api):
        await eventually(lambda: phase(api) == "Failed")
        await eventually(lambda: kubelet.jobs == [])
    assert status(api)["tasks"][0]["message"] == "timed out after 0.2s"


async def test_a_lost_pod_is_tried_again_visibly(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api):
        await kubelet.until_running("a")
        kubelet.conclude(kubelet.job("a"), "Failed", "BackoffLimitExceeded")
        await eventually(lambda: status(api)["tasks"][0]["attempts"] == 2)
        await kubelet.until_running("a")
        kubelet.end("a")
        await eventually(lambda: phase(api) == "Completed")
    assert len(set(created(api))) == 2


async def test_a_job_that_somebody_deletes_is_a_new_attempt(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api):
        await kubelet.until_running("a")
        api.remove(JOBS, kubelet.job("a")["metadata"]["name"], "default")
        await eventually(lambda: status(api)["tasks"][0]["attempts"] == 2)


async def test_a_changed_command_calls_the_old_job_off(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks=[task(command="old")]))
    async with job_station(api):
        await kubelet.until_running("a")
        old = kubelet.job("a")["metadata"]["uid"]
        changed = api.get(TASK_QUEUES, "q", "default")
        changed["spec"]["tasks"][0]["command"] = "new"
        api.put(TASK_QUEUES, changed)
        await eventually(lambda: kubelet.jobs and old not in [job["metadata"]["uid"] for job in kubelet.jobs])
        await kubelet.until_running("a")
        assert kubelet.job("a")["spec"]["template"]["spec"]["containers"][0]["command"] == ["new"]


async def test_a_changed_priority_interrupts_nothing_and_keeps_what_is_done(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="ab"))
    async with job_station(api, "first"):
        await kubelet.until_running("a", "b")
        kubelet.end("a")
        await eventually(lambda: status(api)["completedTasks"] == 1)
    changed = api.get(TASK_QUEUES, "q", "default")
    changed["spec"]["priority"] = "critical"
    api.put(TASK_QUEUES, changed)
    async with job_station(api, "second"):
        await eventually(lambda: status(api)["processorIdentity"] == "second")
        kubelet.end("b")
        await eventually(lambda: phase(api) == "Completed")
    assert len(set(created(api))) == 2


async def test_a_changed_spec_tries_a_failure_again(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api, tidy_every=60.0):
        await kubelet.until_running("a")
        failed = kubelet.job("a")
        kubelet.end("a", 1)
        await eventually(lambda: phase(api) == "Failed")
        await eventually(lambda: kubelet.jobs == [])
        kubelet.conclude(failed, "Failed")  # as if a crash had left it
        changed = api.get(TASK_QUEUES, "q", "default")
        changed["spec"]["priority"] = "high"
        api.put(TASK_QUEUES, changed)
        await kubelet.until_running("a")
        kubelet.end("a")
        await eventually(lambda: phase(api) == "Completed")


async def test_a_queue_that_is_deleted_takes_its_jobs(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="a", metadata={"finalizers": ["somebody/else"]}))
    async with job_station(api):
        await kubelet.until_running("a")
        api.remove(TASK_QUEUES, "q", "default")
        await eventually(lambda: kubelet.jobs == [])


async def test_where_the_processor_is_elsewhere_work_stops(api: FakeApi, kubelet: Kubelet) -> None:
    api.put(TASK_QUEUES, queue_object(tasks="a"))
    async with job_station(api) as me:
        await kubelet.until_running("a")
        me.move(Standing(None, "idle: the Lease has run out"))
        await asyncio.sleep(0)
        assert kubelet.running() == ["a"], "a successor here takes it up"
        me.move(Standing(None, "idle: the processor is 'east'", moved=True))
        await eventually(lambda: kubelet.jobs == [])


async def test_a_cluster_without_nodes_is_refused(api: FakeApi) -> None:
    async with ApiClient(api.connection) as client:
        executor = JobExecutor(client, OPTIONS, floor=1.0)
        with pytest.raises(SettingsError, match="'west' has no Node; use --executor=simulate there"):
            await executor.prepare()
        api.put(NODES, {"metadata": {"name": "n"}})
        await executor.prepare()
        api.fail("LIST", 403, "Forbidden", resource=NODES.name)
        with pytest.raises(SettingsError, match=r"controller-jobs-rbac\.yaml"):
            await executor.prepare()
