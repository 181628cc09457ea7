# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The executor that only pretends: it waits, then reports what the task's `simulate` field asks for."""

from __future__ import annotations

import asyncio

from tmc.controller.executor import Attempt, Executor, receipt
from tmc.controller.model import Task
from tmc.controller.plan import Outcome


class SimulateExecutor(Executor):
    """`delay`: seconds that an attempt takes unless the task's `simulate.duration` says otherwise."""

    def __init__(self, delay: float) -> None:
        self._delay = delay

    async def execute(self, attempt: Attempt) -> Outcome:
        task = attempt.task
        await asyncio.sleep(self._delay if task.simulate.duration is None else task.simulate.duration)
        return simulated_outcome(attempt.queue.origin_uid, task, attempt.number)

    def result_of(self, origin_uid: str, task: Task) -> str | None:
        return receipt(origin_uid, task)


def simulated_outcome(origin_uid: str, task: Task, attempt: int) -> Outcome:
    """`fail` is for good at once; `failures: N` makes the attempts up to the Nth fail, each of which may be retried."""
    if task.simulate.fail:
        return Outcome(False, message="simulated failure")
    if attempt <= task.simulate.failures:
        return Outcome(False, message="simulated failure of this attempt", retry=True)
    return Outcome(True, result=receipt(origin_uid, task))
