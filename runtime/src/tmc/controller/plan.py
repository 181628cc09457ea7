# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner: what the object says and what this process runs -> what the status should say next. No I/O, no clock.

A *claim* is a task in state Running together with `status.processorIdentity` and its number of attempts. Claims are
made by one conditional write per queue before a task starts; only a claim that is still in the status, under this
process's identity, may record its outcome. Everything else that is found Running was interrupted: nobody knows how far
it came, so it is tried again, visibly, as one more attempt. Interruptions alone never make a task Failed.

Where attempts outlive the process (`resumable`), an attempt that another process here claimed is an *orphan*:
it stays Running, and whoever gets to it claims it anew under the same number, to take it up and not to begin it again.

A changed spec starts over, but for what is certainly the same work: successes with the same name and command, and own
runs of a task that did not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tmc.controller.model import Queue, Status, Task, TaskState
from tmc.controller.status import DONE, Author, render_status

MAX_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended. `retry`: the failure may pass, so the task may be tried again."""

    succeeded: bool
    result: str = ""
    message: str = ""
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt that this process started; `outcome` is None while it lasts."""

    task: Task
    attempt: int
    outcome: Outcome | None = None
    finish_time: str = ""
    note: str = ""  # why it does not get on, for the queue's user


@dataclass(frozen=True, slots=True)
class Claim:
    """`resumed`: another process made this claim before."""

    task: Task
    attempt: int
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A queue brought up to date with the outcomes at hand, before new claims.

    `states` follows the order of spec.tasks. `held`: runs that go on. `recorded`: runs whose outcome `states` contains.
    `stale`: runs whose claim is no longer ours: to be cancelled and forgotten. `orphans`: attempts that go on with
    nobody who looks after them. `noted`: runs with something to tell. `frozen`: nothing may be written.
    """

    queue: Queue
    states: tuple[TaskState, ...] = ()
    held: frozenset[str] = frozenset()
    recorded: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    orphans: frozenset[str] = frozenset()
    noted: frozenset[str] = frozenset()
    frozen: bool = False

    @property
    def wanted(self) -> int:
        """How many workers it could use now."""
        if self.frozen:
            return 0
        pending = sum(state.state == "Pending" for state in self.states)
        return max(0, min(pending + len(self.orphans), self.queue.parallelism - len(self.held)))

    @property
    def due(self) -> bool:
        """There is something to write even when no worker is free."""
        news = bool(self.recorded or self.noted)
        return not self.frozen and (news or all(state.state in DONE for state in self.states))

    @property
    def unacknowledged(self) -> bool:
        """Nobody has told the user yet that this spec was seen."""
        status = self.queue.status
        return not self.frozen and (status is None or status.spec_hash != self.queue.spec_hash)


@dataclass(frozen=True, slots=True)
class Decision:
    """One status write, and what may start once it is acknowledged."""

    status: dict[str, Any]
    claims: tuple[Claim, ...] = ()


@dataclass(slots=True)
class _Sorting:
    held: set[str] = field(default_factory=set)
    recorded: set[str] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)
    noted: set[str] = field(default_factory=set)


def settle(
    queue: Queue,
    author: Author,
    runs: Mapping[str, Run],
    result_of: Callable[[str, Task], str | None],
    *,
    resumable: bool = False,
) -> Progress:
    """Bring `queue` up to date with `runs` (by task name).

    `result_of(origin uid, task)` is what a success of the task would have recorded, or None when that cannot be known:
    a success under a former spec is kept only when it proves in this way that name and command are the same.
    `resumable`: attempts outlive the process that began them, on the cluster where it ran.
    """
    fenced = queue.status is not None and queue.status.epoch > author.term.epoch
    if queue.deleting or queue.waiting or queue.settled or fenced:
        return Progress(queue, stale=frozenset(runs), frozen=True)
    sorting = _Sorting()
    states = tuple(_settle_task(queue, task, author, runs.get(task.name), result_of, sorting) for task in queue.tasks)
    stale = frozenset(runs) - sorting.held - sorting.recorded
    if resumable and queue.status is not None and queue.status.processing_cluster == author.name:
        states = tuple(_left_running(queue.status, state, sorting) for state in states)
    return Progress(
        queue,
        states,
        frozenset(sorting.held),
        frozenset(sorting.recorded),
        stale,
        frozenset(sorting.orphans),
        frozenset(sorting.noted),
    )


def _left_running(status: Status, state: TaskState, sorting: _Sorting) -> TaskState:
    """Take back that an attempt was interrupted."""
    before = status.tasks.get(state.name)
    if before is None or before.state != "Running" or (state.state, state.attempts) != ("Pending", before.attempts):
        return state
    if state.name in sorting.recorded:
        return state  # it is Pending because its outcome says so
    sorting.orphans.add(state.name)
    return before


def _settle_task(
    queue: Queue,
    task: Task,
    author: Author,
    run: Run | None,
    result_of: Callable[[str, Task], str | None],
    sorting: _Sorting,
) -> TaskState:
    before = queue.status.tasks.get(task.name) if queue.status else None
    if queue.status is None or before is None:
        return TaskState(task.name)
    if _claim_is_ours(queue.status.identity, before, author, run, task):
        assert run is not None
        if run.outcome is None:
            sorting.held.add(task.name)
            if not run.note or run.note == before.message:
                return before
            sorting.noted.add(task.name)
            return replace(before, message=run.note)
        sorting.recorded.add(task.name)
        return _after(before, run.outcome, run.finish_time)
    if queue.status.spec_hash != queue.spec_hash:
        same_work = before.state == "Succeeded" and before.result == result_of(queue.origin_uid, task)
        return before if same_work else TaskState(task.name)
    if before.state == "Running":
        return replace(before, state="Pending", message=f"attempt {before.attempts} was interrupted")
    return before


def _claim_is_ours(identity: str, before: TaskState, author: Author, run: Run | None, task: Task) -> bool:
    if run is None or identity != author.identity:
        return False
    return before.state == "Running" and before.attempts == run.attempt and run.task == task


def _after(before: TaskState, outcome: Outcome, finish_time: str) -> TaskState:
    if outcome.succeeded:
        return replace(
            before, state="Succeeded", finish_time=finish_time, result=outcome.result, message=outcome.message
        )
    if outcome.retry and before.attempts < MAX_ATTEMPTS:
        message = f"attempt {before.attempts} of {MAX_ATTEMPTS} failed: {outcome.message}"
        return replace(before, state="Pending", finish_time="", message=message)
    return replace(before, state="Failed", finish_time=finish_time, result="", message=outcome.message)


def decide(progress: Progress, grants: int, author: Author, now: str) -> Decision:
    """The status to write when the queue is given `grants` (at most `progress.wanted`) workers at `now` (RFC 3339)."""
    tasks = {task.name: task for task in progress.queue.tasks}
    orphans = [state for state in progress.states if state.name in progress.orphans]
    claims = [Claim(tasks[state.name], state.attempts, resumed=True) for state in orphans[:grants]]
    states: list[TaskState] = []
    for state in progress.states:
        if state.state == "Pending" and len(claims) < grants:
            state = TaskState(state.name, "Running", state.attempts + 1, start_time=now)
            claims.append(Claim(tasks[state.name], state.attempts))
        states.append(state)
    return Decision(render_status(progress.queue, states, author, now), tuple(claims))
