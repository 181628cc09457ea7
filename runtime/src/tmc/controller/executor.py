"""What carries a task out. An executor is one file beside `simulate.py` and one entry in `EXECUTORS`.

A command is data for the executor. No executor may give it to a shell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from tmc.controller.model import Task
from tmc.controller.plan import Claim, Outcome
from tmc.controller.simulate import SimulateExecutor


class Executor(Protocol):
    async def execute(self, origin_uid: str, task: Task, attempt: int) -> Outcome:
        """Carry out one attempt; `origin_uid` is the queue's identity where it was created.

        Cancellation stops it: at the time-out, and when the claim is lost.
        """
        ...

    def result_of(self, origin_uid: str, task: Task) -> str | None:
        """What a success would record; None when that is only known afterwards."""
        ...


EXECUTORS: Final[Mapping[str, Callable[[float], Executor]]] = {"simulate": SimulateExecutor}


async def attempt_within_timeout(executor: Executor, origin_uid: str, claim: Claim) -> Outcome:
    """One attempt, bounded by the task's timeout. An executor that breaks fails the task, never the controller."""
    try:
        async with asyncio.timeout(claim.task.timeout) as limit:
            return await executor.execute(origin_uid, claim.task, claim.attempt)
    except TimeoutError:
        if not limit.expired():
            raise
        # Like a Job's active deadline: whoever ran into it once would run into it again.
        return Outcome(False, message=f"timed out after {claim.task.timeout:g}s")
