# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The status of the wire contract."""

from __future__ import annotations

from runtime.tests.controller.builders import T0, T1, ended, queue, running, step
from tmc.controller.plan import Outcome


def conditions(status: dict[str, object]) -> dict[str, tuple[str, str]]:
    found: list[dict[str, str]] = status["conditions"]  # type: ignore[assignment]
    return {each["type"]: (each["status"], each["reason"]) for each in found}


def test_every_field_of_the_contract() -> None:
    first = step(queue(tasks="a", metadata={"generation": 4}))
    status = step(queue(tasks="a", metadata={"generation": 4}, status=first.status), ended(running(first))).status
    assert {key: value for key, value in status.items() if key not in ("tasks", "conditions", "observedSpecHash")} == {
        "phase": "Completed",
        "totalTasks": 1,
        "completedTasks": 1,
        "failedTasks": 0,
        "progress": "1/1",
        "processingCluster": "west-controller",
        "processorIdentity": "me",
        "epoch": 3,
        "observedGeneration": 4,
        "message": "the task succeeded",
        "startTime": T1,
        "lastProcessed": T1,
        "completionTime": T1,
    }
    assert status["tasks"] == [
        {
            "name": "a",
            "state": "Succeeded",
            "attempts": 1,
            "startTime": T1,
            "finishTime": T1,
            "result": status["tasks"][0]["result"],
        }
    ]
    assert len(status["observedSpecHash"]) == 16


def test_conditions_while_it_runs_and_at_both_ends() -> None:
    first = step(queue(tasks="a"))
    assert conditions(first.status) == {
        "Progressing": ("True", "TasksRunning"),
        "Complete": ("False", "TasksRemaining"),
        "Failed": ("False", "TasksRemaining"),
    }
    succeeded = step(queue(tasks="a", status=first.status), ended(running(first))).status
    assert conditions(succeeded) == {
        "Progressing": ("False", "Finished"),
        "Complete": ("True", "AllTasksSucceeded"),
        "Failed": ("False", "AllTasksSucceeded"),
    }
    failed = step(queue(tasks="a", status=first.status), ended(running(first), a=Outcome(False))).status
    assert conditions(failed)["Failed"] == ("True", "TasksFailed")


def test_a_condition_that_did_not_change_keeps_its_time() -> None:
    first = step(queue(tasks="a")).status
    for condition in first["conditions"]:
        condition["lastTransitionTime"] = T0
    second = step(queue(tasks="a", status=first)).status
    assert {each["lastTransitionTime"] for each in second["conditions"]} == {T0}


def test_start_time_is_the_first_claims() -> None:
    first = step(queue(tasks="a")).status | {"startTime": T0}
    assert step(queue(tasks="a", status=first)).status["startTime"] == T0


def test_a_long_list_of_failures_stays_readable() -> None:
    names = [f"t{number}" for number in range(9)]
    first = step(queue(tasks=names, parallelism=9))
    broken = {name: Outcome(False) for name in names}
    last = step(queue(tasks=names, parallelism=9, status=first.status), ended(running(first), **broken))
    assert last.status["message"] == "9 of 9 tasks failed: t0, t1, t2, t3, t4 and 4 more"


def test_a_message_never_exceeds_what_the_crd_admits() -> None:
    first = step(queue(tasks="a"))
    last = step(queue(tasks="a", status=first.status), ended(running(first), a=Outcome(False, message="x" * 5000)))
    assert len(last.status["tasks"][0]["message"]) == 1024
