# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The command line and its environment: what cannot be used is refused, naming the setting and what is allowed."""

from __future__ import annotations

import argparse

import pytest

from tmc.controller.model import Term
from tmc.controller.resources import Standing, standing
from tmc.controller.settings import Settings, add_arguments, read_settings
from tmc.core.settings import SettingsError


def read(*flags: str, **env: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_settings(parser.parse_args(["--cluster", "west", "--kubeconfig", "k", *flags]), env)


def test_defaults() -> None:
    settings = read()
    assert (settings.workers, settings.processing_delay, settings.floor) == (5, 2.0, 10.0)
    assert (settings.namespace, settings.executor) == ("default", "simulate")


def test_the_environment_and_the_flags_over_it() -> None:
    env = {"CONTROLLER_WORKERS": "7", "CONTROLLER_PROCESSING_DELAY": "200ms", "CONTROLLER_SYNC_INTERVAL": "30s"}
    settings = read(**env)
    assert (settings.workers, settings.processing_delay, settings.floor) == (7, 0.2, 30.0)
    settings = read("--workers", "9", "--processing-delay", "0s", "--sync-interval", "1m", **env)
    assert (settings.workers, settings.processing_delay, settings.floor) == (9, 0.0, 60.0)


@pytest.mark.parametrize("value", ["five", "0", "-1", "65", "10000", "2.5"])
def test_workers_that_cannot_be(value: str) -> None:
    with pytest.raises(SettingsError, match=f"CONTROLLER_WORKERS='{value}'.*1-64"):
        read(CONTROLLER_WORKERS=value)
    with pytest.raises(SettingsError, match=f"--workers='{value}'.*1-64"):
        read(f"--workers={value}")


@pytest.mark.parametrize("value", ["10", "2h", "-1s", "soon"])
def test_delays_that_cannot_be(value: str) -> None:
    with pytest.raises(SettingsError, match=f"CONTROLLER_PROCESSING_DELAY='{value}'.*allowed: 0s to 1h"):
        read(CONTROLLER_PROCESSING_DELAY=value)


@pytest.mark.parametrize("value", ["10", "0s", "1us"])
def test_sync_intervals_that_cannot_be(value: str) -> None:
    with pytest.raises(SettingsError, match=f"CONTROLLER_SYNC_INTERVAL='{value}'.*allowed: 1s to 1h"):
        read(CONTROLLER_SYNC_INTERVAL=value)


def test_an_executor_that_there_is_not() -> None:
    with pytest.raises(SettingsError, match="--executor='shell' must be one of: job, simulate"):
        read("--executor", "shell")


@pytest.mark.parametrize(
    ("synced_resource", "expected"),
    [
        ({"spec": {"processor": "west", "epoch": 4}}, Standing(Term("west", 4))),
        ({"spec": {"processor": "east", "epoch": 4}}, "processor of taskqueues.demo.tmc.io is 'east', this is 'west'"),
        ({"spec": {}}, "no usable spec.processor"),
        ({}, "no usable spec.processor"),
        (None, "no SyncedResource 'taskqueues.demo.tmc.io' on cluster 'west'"),
    ],
)
def test_whether_this_cluster_may_work(synced_resource: dict[str, object] | None, expected: object) -> None:
    found = standing("west", synced_resource)
    if isinstance(expected, Standing):
        assert found == expected
    else:
        assert found.term is None
        assert str(expected) in found.reason
