# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The Job of an attempt: what it is called, what it may do, and that a command is words and nothing else."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from runtime.tests.controller.builders import queue
from tmc.controller.executor import Attempt
from tmc.controller.job_manifest import JobOptions, argv_of, job_key, job_manifest
from tmc.controller.model import Task

OPTIONS = JobOptions("tools:1", "50m", "64Mi")


def attempt(command: str = "true", number: int = 1, *, timeout: float = 300.0, **metadata: str) -> Attempt:
    return Attempt(queue(metadata=metadata), Task("a", command, timeout), number)


def manifest(command: str = "true", **more: Any) -> dict[str, Any]:
    made = attempt(command, **more)
    return job_manifest(made, argv_of(made.task.command), OPTIONS)


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo hello", ["echo", "hello"]),
        ("echo 'one word' \"two words\"", ["echo", "one word", "two words"]),
        ("echo $HOME; rm -rf / && `id`", ["echo", "$HOME;", "rm", "-rf", "/", "&&", "`id`"]),
        ("cat a | tee > x", ["cat", "a", "|", "tee", ">", "x"]),
        ("run # not a comment", ["run", "#", "not", "a", "comment"]),
    ],
)
def test_a_command_is_split_and_nothing_else(command: str, words: list[str]) -> None:
    assert argv_of(command) == words


@pytest.mark.parametrize("command", ["echo 'open", 'say "', "ends with \\"])
def test_a_command_that_cannot_be_split_is_said_to_be(command: str) -> None:
    with pytest.raises(ValueError, match="cannot be split into words: No"):
        argv_of(command)


@pytest.mark.parametrize("command", ["  ", "''", "'' x"])
def test_a_command_without_a_program(command: str) -> None:
    with pytest.raises(ValueError, match="names no program"):
        argv_of(command)


def test_kubernetes_puts_no_variables_in() -> None:
    words = container(manifest("echo $(KUBERNETES_SERVICE_HOST) $$ $x"))["command"]
    assert words == ["echo", "$$(KUBERNETES_SERVICE_HOST)", "$$$$", "$$x"]


def test_no_shell_and_the_whole_entry_point() -> None:
    made = container(manifest("prog a b"))
    assert made["command"] == ["prog", "a", "b"]
    assert "args" not in made
    assert made["image"] == "tools:1"


def test_the_name_follows_from_the_work_and_the_attempt() -> None:
    same = job_key(attempt())
    assert job_key(attempt(resourceVersion="9", generation="7")) == same
    others = [
        attempt(number=2),
        attempt("false"),
        attempt(timeout=5.0),
        replace(attempt(), task=Task("b", "true")),
        Attempt(queue("q", metadata={"uid": "another"}), Task("a", "true"), 1),
    ]
    assert len({job_key(each) for each in others} | {same}) == len(others) + 1


def test_a_copy_made_anew_has_the_same_name_for_the_same_work() -> None:
    annotations = {"tmc.io/origin-uid": "o"}
    first = Attempt(queue("q", metadata={"uid": "1", "annotations": annotations}), Task("a", "c"), 1)
    second = Attempt(queue("q", metadata={"uid": "2", "annotations": annotations}), Task("a", "c"), 1)
    assert job_key(first) == job_key(second)


def test_long_names_stay_dns_labels() -> None:
    made = Attempt(queue("a.b-" * 15 + "end"), Task("t" * 63, "c"), 12345)
    name = job_key(made).name
    assert len(name) <= 63
    assert all(each.isalnum() or each == "-" for each in name)
    assert name[-1].isalnum()


def test_it_goes_with_its_queue_and_starts_suspended() -> None:
    job = manifest()
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("TaskQueue", "q", "uid-q", True)
    assert job["metadata"]["namespace"] == "default"
    assert job["spec"]["suspend"] is True
    assert (job["spec"]["backoffLimit"], job["spec"]["completions"]) == (0, 1)
    assert job["spec"]["ttlSecondsAfterFinished"] >= 3600


@pytest.mark.parametrize(("timeout", "deadline"), [(0.2, 1), (1.0, 1), (1.5, 2), (300.0, 300)])
def test_the_timeout_is_kept_by_kubernetes_too(timeout: float, deadline: int) -> None:
    assert manifest(timeout=timeout)["spec"]["activeDeadlineSeconds"] == deadline


def test_the_pod_is_restricted() -> None:
    pod = manifest()["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["restartPolicy"] == "Never"
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert security["runAsUser"] > 0
    inner = pod["containers"][0]["securityContext"]
    assert inner["allowPrivilegeEscalation"] is False
    assert inner["readOnlyRootFilesystem"] is True
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "50m", "memory": "64Mi"}


def test_the_queue_has_no_say_in_image_or_rights() -> None:
    spiteful = queue(tasks=[{"name": "a", "command": "c", "image": "evil", "securityContext": {"privileged": True}}])
    job = job_manifest(Attempt(spiteful, spiteful.tasks[0], 1), ["c"], OPTIONS)
    assert "evil" not in str(job)
    assert "privileged" not in str(job)


def test_words_survive_as_they_are() -> None:
    words = ["a b", "'", '"', "\\", "ü", "-"]
    assert argv_of(shlex.join(["p", *words])) == ["p", *words]
