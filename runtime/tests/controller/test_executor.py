# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Attempts: the simulating executor, time-outs, and executors that break."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from runtime.tests.controller.builders import queue
from tmc.controller.executor import Attempt, attempt_within_timeout
from tmc.controller.model import Simulation, Task
from tmc.controller.plan import Outcome
from tmc.controller.simulate import SimulateExecutor, simulated_outcome


def test_the_result_is_derived_from_who_created_it_and_what_it_asks() -> None:
    expected = hashlib.sha256(b"uid/name/command \xc3\xa4").hexdigest()[:16]
    assert simulated_outcome("uid", Task("name", "command ä"), 1) == Outcome(True, result=expected)


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_fail_is_for_good(attempt: int) -> None:
    outcome = simulated_outcome("uid", Task("a", "c", simulate=Simulation(fail=True)), attempt)
    assert not outcome.succeeded
    assert not outcome.retry


def test_failures_pass() -> None:
    task = Task("a", "c", simulate=Simulation(failures=2))
    outcomes = [simulated_outcome("uid", task, attempt) for attempt in (1, 2, 3)]
    assert [outcome.succeeded for outcome in outcomes] == [False, False, True]
    assert all(outcome.retry for outcome in outcomes[:2])


async def test_a_task_that_takes_too_long_fails_for_good() -> None:
    task = Task("a", "c", timeout=0.01, simulate=Simulation(duration=3600.0))
    outcome = await attempt_within_timeout(SimulateExecutor(0.0), Attempt(queue(), task, 1))
    assert outcome == Outcome(False, message="timed out after 0.01s")


async def test_duration_overrides_the_delay() -> None:
    task = Task("a", "c", timeout=60.0, simulate=Simulation(duration=0.0))
    assert (await attempt_within_timeout(SimulateExecutor(3600.0), Attempt(queue(), task, 1))).succeeded


async def test_a_time_out_of_the_executors_own_is_not_taken_for_the_tasks() -> None:
    class Broken(SimulateExecutor):
        async def execute(self, attempt: Attempt) -> Outcome:
            raise TimeoutError("something of its own")

    with pytest.raises(TimeoutError, match="something of its own"):
        await attempt_within_timeout(Broken(0.0), Attempt(queue(), Task("a", "c"), 1))


async def test_cancellation_stops_an_attempt() -> None:
    attempt = asyncio.create_task(attempt_within_timeout(SimulateExecutor(3600.0), Attempt(queue(), Task("a", "c"), 1)))
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
