# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""How a Job ended and why it does not start, as its user reads it."""

from __future__ import annotations

from typing import Any

import pytest

from tmc.controller.job_outcome import clean, is_finished, outcome_of, trouble_of
from tmc.controller.plan import Outcome

COMPLETE: dict[str, Any] = {"type": "Complete", "status": "True"}
FAILED: dict[str, Any] = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}
DEADLINE: dict[str, Any] = FAILED | {"reason": "DeadlineExceeded", "message": "Job was active too long"}


def job(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions)}}


def pod(code: int, reason: str = "Error", message: str = "", **status: Any) -> dict[str, Any]:
    ended = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return {"status": {"containerStatuses": [{"state": ended}]} | status}


def outcome(job_: dict[str, Any], *pods: dict[str, Any], note: str = "") -> Outcome:
    return outcome_of(job_, pods, 5.0, note, "receipt")


@pytest.mark.parametrize("condition", [COMPLETE, FAILED, DEADLINE])
def test_ended(condition: dict[str, Any]) -> None:
    assert is_finished(job({"type": "Suspended", "status": "False"}, condition))


@pytest.mark.parametrize(
    "conditions",
    [(), ({"type": "FailureTarget", "status": "True"},), ({"type": "Complete", "status": "False"},)],
)
def test_not_ended(conditions: tuple[dict[str, Any], ...]) -> None:
    assert not is_finished(job(*conditions))
    assert not is_finished({})


def test_success() -> None:
    assert outcome(job(COMPLETE), pod(0, "Completed")) == Outcome(True, result="receipt", message="exit code 0")
    assert outcome(job(COMPLETE), pod(0, "Completed", "42 rows")).message == "exit code 0: 42 rows"
    assert outcome(job(COMPLETE)).message == "exit code 0"


def test_a_command_that_fails_is_not_tried_again() -> None:
    assert outcome(job(FAILED), pod(3, message="no such row")) == Outcome(
        False, message="exit code 3 (Error): no such row"
    )
    assert outcome(job(FAILED), pod(137, "OOMKilled")).message == "exit code 137 (OOMKilled)"


def test_a_timeout_says_what_was_in_the_way() -> None:
    assert outcome(job(DEADLINE)) == Outcome(False, message="timed out after 5s")
    assert outcome(job(DEADLINE), note="ErrImagePull: x").message == "timed out after 5s: ErrImagePull: x"


def test_a_pod_that_was_lost_is_tried_again() -> None:
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}
    for pods in ([pod(143, conditions=[disrupted])], [{"status": {"reason": "Evicted", "message": "disk"}}], []):
        lost = outcome(job(FAILED), *pods)
        assert lost.retry
        assert lost.message.startswith("its pod was lost: ")
    assert "drained" in outcome(job(FAILED), pod(143, conditions=[disrupted])).message


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}]}}


def warning(reason: str, message: str, at: str) -> dict[str, Any]:
    return {"type": "Warning", "reason": reason, "message": message, "lastTimestamp": at}


def test_trouble() -> None:
    assert trouble_of([waiting("ImagePullBackOff", "back-off pulling x")], []) == "ImagePullBackOff: back-off pulling x"
    assert trouble_of([waiting("ContainerCreating")], []) == ""
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    assert trouble_of([{"status": {"conditions": [unschedulable]}}], []) == "Unschedulable: 0/1 nodes"
    events = [
        warning("FailedCreate", "exceeded quota: pods", "2026-01-01T00:00:02Z"),
        warning("FailedCreate", "older", "2026-01-01T00:00:01Z"),
        {"type": "Normal", "reason": "SuccessfulCreate", "message": "", "lastTimestamp": "2026-01-01T00:00:03Z"},
    ]
    assert trouble_of([], events) == "FailedCreate: exceeded quota: pods"
    assert trouble_of([], []) == ""


def test_what_programs_say_is_one_clean_line_of_bounded_length() -> None:
    assert clean("a\x1b[31m\n\tb\x00\u202e c\r\n") == "a[31m b c"
    long = clean("x" * 5000 + " the end")
    assert len(long) == 600
    assert long.startswith("...x")
    assert long.endswith("the end")
