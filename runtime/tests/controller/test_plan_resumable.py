# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner where attempts outlive the process that began them: taken up, not begun again."""

from __future__ import annotations

from dataclasses import replace

from runtime.tests.controller.builders import ME, SUCCESSOR, ended, queue, running, settled, states, step
from tmc.controller.model import Term
from tmc.controller.plan import Claim, Outcome
from tmc.controller.status import Author


def test_an_attempt_of_a_predecessor_is_claimed_under_its_own_number() -> None:
    first = step(queue(tasks="ab"), resumable=True)
    taken = step(queue(tasks="ab", status=first.status), author=SUCCESSOR, resumable=True)
    assert states(taken.status) == dict.fromkeys("ab", ("Running", 1))
    assert [replace(claim, resumed=True) for claim in first.claims] == list(taken.claims)
    assert taken.status["processorIdentity"] == "successor"


def test_it_keeps_its_time_of_start() -> None:
    first = step(queue(tasks="a"), resumable=True)
    first.status["tasks"][0]["startTime"] = "2025-01-01T00:00:00Z"
    taken = step(queue(tasks="a", status=first.status), author=SUCCESSOR, resumable=True)
    assert taken.status["tasks"][0]["startTime"] == "2025-01-01T00:00:00Z"


def test_until_a_worker_is_free_for_it_it_stays_running_and_is_still_taken_up_later() -> None:
    first = step(queue(tasks="ab"), resumable=True)
    one = step(queue(tasks="ab", status=first.status), grants=1, author=SUCCESSOR, resumable=True)
    assert states(one.status) == dict.fromkeys("ab", ("Running", 1))
    (claim,) = one.claims
    next_one = step(queue(tasks="ab", status=one.status), running(one), author=SUCCESSOR, resumable=True)
    assert [(each.task.name, each.attempt, each.resumed) for each in next_one.claims] == [("b", 1, True)]
    assert claim.task.name == "a"


def test_what_runs_already_goes_before_what_waits() -> None:
    first = step(queue(tasks="ab", parallelism=1), resumable=True)
    a, b = first.status["tasks"]
    swapped = {**first.status, "tasks": [b | {"name": "a"}, a | {"name": "b"}]}
    (claim,) = step(queue(tasks="ab", parallelism=1, status=swapped), author=SUCCESSOR, resumable=True).claims
    assert (claim.task.name, claim.resumed) == ("b", True)


def test_parallelism_counts_it() -> None:
    first = step(queue(tasks="abc", parallelism=2), resumable=True)
    assert settled(queue(tasks="abc", parallelism=2, status=first.status), author=SUCCESSOR, resumable=True).wanted == 2


def test_what_another_cluster_began_is_begun_again_visibly() -> None:
    first = step(queue(tasks="a"), resumable=True)
    elsewhere = Author("east", "me", Term("east", 4))
    moved = step(queue(tasks="a", status=first.status), author=elsewhere, resumable=True)
    assert states(moved.status) == {"a": ("Running", 2)}
    assert not moved.claims[0].resumed


def test_a_changed_spec_begins_anew() -> None:
    first = step(queue(tasks="a"), resumable=True)
    changed = step(queue(tasks="a", priority="high", status=first.status), author=SUCCESSOR, resumable=True)
    assert [(claim.attempt, claim.resumed) for claim in changed.claims] == [(1, False)]


def test_a_failure_that_may_pass_is_a_new_attempt() -> None:
    first = step(queue(tasks="a"), resumable=True)
    failed = ended(running(first), a=Outcome(False, message="lost", retry=True))
    again = step(queue(tasks="a", status=first.status), failed, resumable=True)
    assert list(again.claims) == [Claim(first.claims[0].task, 2)]


def test_a_note_is_written_once() -> None:
    first = step(queue(tasks="a"), resumable=True)
    runs = {"a": replace(running(first)["a"], note="ErrImagePull: no such image")}
    progress = settled(queue(tasks="a", status=first.status), runs, resumable=True)
    assert progress.due
    told = step(queue(tasks="a", status=first.status), runs, resumable=True)
    assert told.status["tasks"][0] == first.status["tasks"][0] | {"message": "ErrImagePull: no such image"}
    assert told.claims == ()
    assert not settled(queue(tasks="a", status=told.status), runs, ME, resumable=True).due
