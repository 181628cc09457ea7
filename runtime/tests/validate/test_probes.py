# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Probes: fresh every time, and told from those that a running validation still waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tmc.validate.observations import Object
from tmc.validate.probes import OWNER_ANNOTATION, is_abandoned, manifest, new_probe

NOW = datetime.now(UTC)


def owned(**changes: Any) -> Object:
    """A probe of this very process, with changes to who it says its owner is."""
    obj = manifest(new_probe("east"))
    owner = json.loads(obj["metadata"]["annotations"][OWNER_ANNOTATION]) | changes
    obj["metadata"]["annotations"][OWNER_ANNOTATION] = json.dumps(owner)
    return obj


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_nobody_can_know_a_probe_beforehand() -> None:
    one, other = new_probe("east"), new_probe("east")
    assert one.nonce != other.nonce
    first = manifest(one)
    assert one.nonce in first["metadata"]["name"]
    assert all(one.nonce in task["command"] for task in first["spec"]["tasks"])


def test_the_probes_of_a_running_validation_are_left_alone() -> None:
    assert not is_abandoned(owned(), NOW)
    assert not is_abandoned(owned(host="elsewhere", pid=1), NOW)


@pytest.mark.parametrize(
    "since", ["2020-01-01T00:00:00+00:00", (NOW - timedelta(minutes=11)).isoformat()], ids=["years", "minutes"]
)
def test_a_probe_that_is_too_old_is_abandoned(since: str) -> None:
    assert is_abandoned(owned(host="elsewhere", since=since), NOW)


def test_a_probe_whose_process_is_gone_is_abandoned() -> None:
    assert is_abandoned(owned(pid=ended_process()), NOW)


def test_a_process_that_is_dead_but_not_collected_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    try:
        assert is_abandoned(owned(pid=process.pid), NOW)
    finally:
        process.wait()


@pytest.mark.parametrize("annotation", [None, "{", "[]", '{"host": "a"}', '{"host": "a", "pid": "x", "since": "y"}'])
def test_a_probe_that_does_not_say_whose_it_is_is_abandoned(annotation: str | None) -> None:
    obj = manifest(new_probe("east"))
    obj["metadata"]["annotations"] = {OWNER_ANNOTATION: annotation} if annotation else None
    assert is_abandoned(obj, NOW)
