# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner: claims, outcomes, retries, resume, changed specs, stale claims."""

from __future__ import annotations

import pytest

from runtime.tests.controller.builders import ME, SUCCESSOR, T1, ended, queue, running, settled, states, step, success
from tmc.controller.executor import receipt
from tmc.controller.model import Task, Term
from tmc.controller.plan import MAX_ATTEMPTS, Outcome, Run
from tmc.controller.status import Author

PASSING = Outcome(False, message="hiccup", retry=True)
FATAL = Outcome(False, message="broken")


def test_a_new_queue_claims_all_it_may_in_one_write() -> None:
    decision = step(queue(tasks="abcde"))
    assert states(decision.status) == dict.fromkeys("abcde", ("Running", 1))
    assert [(claim.task.name, claim.attempt) for claim in decision.claims] == [(name, 1) for name in "abcde"]
    assert decision.status["processorIdentity"] == "me"
    assert decision.status["epoch"] == 3


def test_parallelism_limits_claims_and_counts_what_runs() -> None:
    first = step(queue(tasks="abcde", parallelism=2))
    assert [claim.task.name for claim in first.claims] == ["a", "b"]
    again = queue(tasks="abcde", parallelism=2, status=first.status)
    assert settled(again, running(first)).wanted == 0
    one_ended = running(first) | ended({"a": running(first)["a"]})
    assert settled(again, one_ended).wanted == 1
    assert states(step(again, one_ended).status) == {
        "a": ("Succeeded", 1),
        "b": ("Running", 1),
        "c": ("Running", 1),
        "d": ("Pending", 0),
        "e": ("Pending", 0),
    }


def test_workers_granted_limit_claims() -> None:
    decision = step(queue(tasks="abc"), grants=1)
    assert states(decision.status) == {"a": ("Running", 1), "b": ("Pending", 0), "c": ("Pending", 0)}


def test_all_outcomes_go_into_one_write() -> None:
    first = step(queue(tasks="ab"))
    last = step(queue(tasks="ab", status=first.status), ended(running(first)))
    assert (last.status["phase"], last.status["progress"]) == ("Completed", "2/2")
    assert last.claims == ()
    assert {each["result"] for each in last.status["tasks"]} == {
        receipt("uid-q", Task("a", "do a")),
        receipt("uid-q", Task("b", "do b")),
    }


def test_while_tasks_run_and_nothing_ended_there_is_nothing_to_write() -> None:
    first = step(queue())
    progress = settled(queue(status=first.status), running(first))
    assert not progress.due
    assert progress.wanted == 0
    assert progress.held == {"a", "b"}


def test_a_failed_task_does_not_stop_the_others_and_fails_the_queue_at_the_end() -> None:
    first = step(queue(tasks="ab", parallelism=1))
    second = step(queue(tasks="ab", parallelism=1, status=first.status), ended(running(first), a=FATAL))
    assert states(second.status) == {"a": ("Failed", 1), "b": ("Running", 1)}
    assert (second.status["phase"], second.status["failedTasks"]) == ("Running", 1)
    last = step(queue(tasks="ab", parallelism=1, status=second.status), ended(running(second)))
    assert (last.status["phase"], last.status["completedTasks"], last.status["failedTasks"]) == ("Failed", 1, 1)
    assert last.status["message"] == "1 of 2 tasks failed: a"


def test_a_failure_that_may_pass_is_tried_again_in_the_same_write() -> None:
    first = step(queue(tasks="a"))
    second = step(queue(tasks="a", status=first.status), ended(running(first), a=PASSING))
    assert states(second.status) == {"a": ("Running", 2)}
    assert second.claims[0].attempt == 2


def test_attempts_are_bounded() -> None:
    status, runs = None, {}
    for _ in range(MAX_ATTEMPTS):
        decision = step(queue(tasks="a", status=status), runs)
        status, runs = decision.status, ended(running(decision), a=PASSING)
    last = step(queue(tasks="a", status=status), runs)
    assert states(last.status) == {"a": ("Failed", MAX_ATTEMPTS)}
    assert last.status["tasks"][0]["message"] == "hiccup"


def test_resume_never_does_a_success_again_and_counts_the_interrupted_attempt() -> None:
    first = step(queue(tasks="abc", parallelism=2))
    crashed = step(
        queue(tasks="abc", parallelism=2, status=first.status), running(first) | ended({"a": running(first)["a"]})
    )
    resumed = step(queue(tasks="abc", parallelism=2, status=crashed.status), author=SUCCESSOR)
    assert states(resumed.status) == {"a": ("Succeeded", 1), "b": ("Running", 2), "c": ("Running", 2)}
    assert resumed.status["processorIdentity"] == "successor"
    assert "result" in resumed.status["tasks"][0]


def test_a_restarted_process_with_the_same_identity_does_not_trust_claims_it_does_not_remember() -> None:
    first = step(queue(tasks="a"))
    assert states(step(queue(tasks="a", status=first.status)).status) == {"a": ("Running", 2)}


def test_interruptions_alone_never_fail_a_task() -> None:
    status = None
    for number in range(MAX_ATTEMPTS + 2):
        status = step(queue(tasks="a", status=status), author=Author("west", f"p{number}", Term("west", 3))).status
    assert states(status) == {"a": ("Running", MAX_ATTEMPTS + 2)}


def test_an_outcome_whose_claim_another_took_over_is_not_recorded() -> None:
    mine = step(queue(tasks="a"))
    taken = step(queue(tasks="a", status=mine.status), author=SUCCESSOR)
    progress = settled(queue(tasks="a", status=taken.status), ended(running(mine)))
    assert progress.recorded == frozenset()
    assert progress.stale == {"a"}


def test_an_outcome_is_not_recorded_when_another_started_over_with_the_same_number_of_attempts() -> None:
    mine = step(queue(tasks="a"))
    taken = step(queue(tasks="a", region="other", status=mine.status), author=SUCCESSOR)
    assert states(taken.status) == {"a": ("Running", 1)}
    progress = settled(queue(tasks="a", region="other", status=taken.status), ended(running(mine)))
    assert progress.stale == {"a"}


def test_an_outcome_of_a_former_attempt_is_not_recorded() -> None:
    status = step(queue(tasks="a")).status
    retried = step(queue(tasks="a", status=status))
    late = {"a": Run(Task("a", "do a"), 1, success(Task("a", "do a")), T1)}
    assert settled(queue(tasks="a", status=retried.status), late).stale == {"a"}


def test_an_object_of_the_same_name_inherits_nothing() -> None:
    mine = step(queue(tasks="a"))
    progress = settled(queue(tasks="a", metadata={"uid": "another"}), ended(running(mine)))
    assert progress.stale == {"a"}
    assert [state.attempts for state in progress.states] == [0]


@pytest.mark.parametrize(
    "what",
    [
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"metadata": {"annotations": {"tmc.io/status-pending": "true"}}},
        {"status": {"phase": "Completed"}},
        {"status": {"phase": "Failed"}},
        {"status": {"phase": "Running", "epoch": 4}},
    ],
    ids=["deleted", "made anew without its status yet", "completed", "failed", "of a newer term"],
)
def test_nothing_is_written_or_run_on_a_queue_that_is(what: dict[str, dict[str, str]]) -> None:
    plain = queue()
    status = {"epoch": 3, "observedSpecHash": plain.spec_hash} | what["status"] if "status" in what else None
    progress = settled(queue(status=status, metadata=what.get("metadata", {})), {"a": Run(Task("a", "do a"), 1, None)})
    assert progress.frozen
    assert not progress.due
    assert not progress.unacknowledged
    assert progress.wanted == 0
    assert progress.stale == {"a"}


def completed(**spec: object) -> dict[str, object]:
    first = step(queue(tasks="ab", **spec))
    return step(queue(tasks="ab", status=first.status, **spec), ended(running(first))).status


def test_a_changed_spec_has_another_hash_and_starts_over() -> None:
    changed = queue(tasks=[{"name": "a", "command": "other"}, {"name": "c", "command": "new"}], status=completed())
    status = step(changed, grants=0).status
    assert states(status) == {"a": ("Pending", 0), "c": ("Pending", 0)}
    assert (status["phase"], status["completedTasks"]) == ("Pending", 0)
    assert status["observedSpecHash"] == changed.spec_hash
    assert "startTime" not in status
    assert "completionTime" not in status


def test_a_success_with_the_same_name_and_command_is_kept_when_the_spec_changes() -> None:
    changed = queue(tasks=["a", {"name": "b", "command": "other"}, "c"], status=completed())
    assert states(step(changed).status) == {"a": ("Succeeded", 1), "b": ("Running", 1), "c": ("Running", 1)}


def test_a_new_priority_of_a_finished_queue_runs_nothing_again() -> None:
    progress = settled(queue(tasks="ab", priority="critical", status=completed()))
    assert progress.due
    assert progress.wanted == 0
    assert step(queue(tasks="ab", priority="critical", status=completed())).status["phase"] == "Completed"


def test_a_failed_task_gets_another_chance_when_the_spec_changes() -> None:
    first = step(queue(tasks="a"))
    failed = step(queue(tasks="a", status=first.status), ended(running(first), a=FATAL))
    assert states(step(queue(tasks="a", region="other", status=failed.status)).status) == {"a": ("Running", 1)}


def test_what_runs_goes_on_when_another_part_of_the_spec_changes() -> None:
    first = step(queue(tasks="ab"))
    changed = queue(tasks=["a", {"name": "b", "command": "other"}], status=first.status)
    progress = settled(changed, running(first))
    assert progress.held == {"a"}
    assert progress.stale == {"b"}
    assert states(step(changed, running(first)).status) == {"a": ("Running", 1), "b": ("Running", 1)}


def test_a_success_under_another_uid_is_not_taken_for_the_same_work() -> None:
    copied = queue(tasks="ab", region="other", status=completed(), metadata={"uid": "another"})
    assert states(step(copied).status) == {"a": ("Running", 1), "b": ("Running", 1)}


def test_a_seen_queue_is_acknowledged_without_a_claim() -> None:
    assert settled(queue()).unacknowledged
    status = step(queue(), grants=0).status
    assert (status["phase"], status["message"]) == ("Pending", "0 of 2 tasks done, waiting for a free worker")
    assert not settled(queue(status=status)).unacknowledged


def test_a_new_epoch_keeps_own_claims() -> None:
    first = step(queue(tasks="a"))
    newer = Author("west", "me", Term("west", 4))
    last = step(queue(tasks="a", status=first.status), ended(running(first)), author=newer)
    assert (last.status["phase"], last.status["epoch"]) == ("Completed", 4)


def test_the_planner_is_pure() -> None:
    of, runs = queue(tasks="ab"), {}
    assert step(of, runs) == step(of, runs)
    assert ME.identity == "me"
