# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What carries a task out. An executor is one file beside `simulate.py` and one entry in `executors.py`.

A command is data for the executor. No executor may give it to a shell.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from tmc.controller.model import Queue, Task
from tmc.controller.plan import Outcome
from tmc.controller.resources import Standing


def _unheard(_note: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One acknowledged claim: `identity` signed it, and `status.tasks[]` says Running with `number` attempts.

    `say(text)` tells the queue's user why the attempt does not get on; the last text counts.
    """

    queue: Queue
    task: Task
    number: int
    identity: str = ""
    say: Callable[[str], None] = field(default=_unheard, compare=False)


class Executor(ABC):
    """What all executors have in common; `execute` and `result_of` are an executor's own.

    `resumable`: an attempt goes on when this process ends, so that whoever claims the task next takes up the same
    attempt again instead of beginning another. `grace`: seconds after the task's timeout that `execute`, which watches
    the timeout itself then, may need to say how the attempt ended.
    """

    resumable: bool = False
    grace: float = 0.0

    @abstractmethod
    async def execute(self, attempt: Attempt) -> Outcome:
        """Carry out one attempt. Cancelled when the claim is lost, which says nothing about whether it should stop."""

    @abstractmethod
    def result_of(self, origin_uid: str, task: Task) -> str | None:
        """What a success would record; None when that is only known afterwards."""

    def discard(self, queue: Queue, task: Task, attempt: int) -> None:
        """The API server has the outcome of this attempt: what was kept for it is not needed any more."""
        return

    async def prepare(self) -> None:
        """Before anything is claimed. Raises SettingsError when it can never work on this cluster."""
        return

    async def run(self) -> None:
        """What has to go on all the time, leading or not."""
        return

    async def tend(self, standing: Callable[[], Standing]) -> None:
        """What has to go on while this process leads."""
        return


async def attempt_within_timeout(executor: Executor, attempt: Attempt) -> Outcome:
    """One attempt, bounded by the task's timeout. An executor that breaks fails the task, never the controller."""
    timeout = attempt.task.timeout
    try:
        async with asyncio.timeout(timeout + executor.grace) as limit:
            return await executor.execute(attempt)
    except TimeoutError:
        if not limit.expired():
            raise
        # Like a Job's active deadline: whoever ran into it once would run into it again.
        return Outcome(False, message=f"timed out after {timeout:g}s")


def receipt(origin_uid: str, task: Task) -> str:
    """First 16 hex digits of SHA-256 of `<origin uid>/<task name>/<command>`: only who saw the object knows it."""
    return hashlib.sha256(f"{origin_uid}/{task.name}/{task.command}".encode()).hexdigest()[:16]
