# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading a TaskQueue."""

from __future__ import annotations

import hashlib

import pytest

from runtime.tests.controller.builders import queue, queue_object
from tmc.controller.durations import seconds_of
from tmc.controller.model import Unreadable, parse_queue, spec_hash


def test_the_hash_is_over_canonical_json() -> None:
    expected = hashlib.sha256(b'{"a":[1,"\\u00e4"],"b":{"c":true,"d":null}}').hexdigest()[:16]
    assert spec_hash({"b": {"d": None, "c": True}, "a": [1, "ä"]}) == expected


def test_the_origins_uid_identifies_a_copy_and_the_own_uid_an_original() -> None:
    assert queue().origin_uid == "uid-q"
    assert queue(metadata={"annotations": {"tmc.io/origin-uid": "there"}}).origin_uid == "there"


def test_defaults_of_an_object_older_than_its_crd() -> None:
    read = queue(tasks="a")
    assert (read.rank, read.parallelism, read.tasks[0].timeout) == (2, 5, 300.0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("200ms", 0.2), ("5s", 5.0), ("1h30m", 5400.0), ("0s", 0.0), ("999999h", 3599996400.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text, "timeout") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "-5m", "5 minutes", "1.5h", "5d", "1m "])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"timeout .* is not a duration"):
        seconds_of(text, "timeout")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"spec": None}, "NoneType"),
        ({"spec": {"region": "r"}}, "tasks"),
        ({"spec": {"tasks": [{"name": "a"}]}}, "command"),
        ({"spec": {"tasks": [], "priority": "urgent"}}, "spec.priority 'urgent'.*critical"),
        ({"spec": {"tasks": [{"name": "a", "command": "c", "timeout": "soon"}]}}, "timeout of task a 'soon'"),
        ({"spec": {"tasks": [{"name": "a", "command": "c"}] * 2}}, "name twice"),
        ({"status": {"tasks": [{"state": "Running"}]}}, "name"),
        ({"status": {"conditions": [7]}}, "int"),
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, object], named: str) -> None:
    made = queue_object(metadata={"uid": "u", "resourceVersion": "1"}) | change
    with pytest.raises(Unreadable, match=named):
        parse_queue(made)
