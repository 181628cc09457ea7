# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Deploying as an operator does it: looking first, being interrupted, running again, adding a region."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.conftest import free_ports
from tests.integration.deployed_fabric import Fabric, ansible_playbook, leftovers, new_fabric

FOUR_REGIONS = ("-i", "docs/examples/four-regions.yml")
EMBEDDED = ("-e", "tmc_provider=embedded")
PORTS = ("CONTROLLER_KCP_PORT", "CONTROLLER_EAST_PORT", "CONTROLLER_WEST_PORT", "CONTROLLER_SOUTH_PORT")
DEADLINE = 120.0  # seconds; only ends a hang


@pytest.fixture
def fresh(repository: Path, binaries: Path) -> Iterator[Fabric]:
    """A fabric that is not deployed yet, with a state folder that does not exist yet."""
    folder = Path(tempfile.mkdtemp(prefix="tmc-", dir="/tmp"))
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    fabric = new_fabric(repository, folder / "s", ports, binaries)
    yield fabric
    if fabric.state_dir.exists():
        fabric.play_or_fail("cleanup", *FOUR_REGIONS, *EMBEDDED, "-e", "cleanup_scope=full")
    left = leftovers(fabric)
    shutil.rmtree(folder)
    assert not left, "\n".join(left)


def changed(recap: str) -> dict[str, int]:
    """Host -> changed tasks, as the recap says."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", recap, re.MULTILINE)}


def test_looking_first_writes_nothing(fresh: Fabric) -> None:
    for playbook in ("deploy", "run-demo"):
        output = fresh.play_or_fail(playbook, "--check", *EMBEDDED)
        assert "failed=0" in output
        assert not fresh.state_dir.exists()


def test_a_second_run_changes_nothing(fabric: Fabric) -> None:
    counts = changed(fabric.play_or_fail("deploy", *EMBEDDED))
    assert {"kcp", "east", "west"} <= set(counts)
    assert set(counts.values()) == {0}


def test_an_interrupted_deploy_is_completed_and_grows_by_a_host_of_the_inventory(fresh: Fabric) -> None:
    interrupt_when_there_is(fresh, "kubeconfigs/controller-*.kubeconfig")
    fresh.play_or_fail("deploy", *EMBEDDED)
    fresh.play_or_fail("validate", *EMBEDDED)

    counts = changed(fresh.play_or_fail("deploy", *FOUR_REGIONS, *EMBEDDED))
    assert counts["south"] > 0
    assert counts["east"] == 0, "adding a region changed another member"
    report = fresh.play_or_fail("validate", *FOUR_REGIONS, *EMBEDDED)
    assert re.search(r"PASSED: \d+ checks on 4 clusters", report)
    assert set(changed(fresh.play_or_fail("deploy", *FOUR_REGIONS, *EMBEDDED)).values()) == {0}


def interrupt_when_there_is(fabric: Fabric, pattern: str) -> None:
    """Start a deploy and send Ctrl-C as soon as a file of this name is there."""
    command = [ansible_playbook(), "playbooks/deploy.yml", *EMBEDDED]
    with subprocess.Popen(
        command, cwd=fabric.repository, env=fabric.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as running:  # fmt: skip
        end = time.monotonic() + DEADLINE
        while not list(fabric.state_dir.glob(pattern)):
            assert running.poll() is None, "the deploy ended before it could be interrupted"
            assert time.monotonic() < end, f"no {pattern} within {DEADLINE:g} s"
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert running.wait(DEADLINE) != 0


def test_a_port_that_is_taken_is_named_before_anything_is_started(fresh: Fabric) -> None:
    taken = {**fresh.environment, "CONTROLLER_WEST_PORT": fresh.environment["CONTROLLER_EAST_PORT"]}
    run = replace(fresh, environment=taken).play("deploy", *EMBEDDED)
    assert run.returncode != 0
    assert fresh.environment["CONTROLLER_EAST_PORT"] in run.stdout
    assert re.search(r"used by both '(east|west)' and '(east|west)'", run.stdout)
    assert not fresh.state_dir.exists()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CONTROLLER_WORKERS", "five", "1-64"),
        ("CONTROLLER_WORKERS", "0", "1-64"),
        ("CONTROLLER_WORKERS", "10000", "1-64"),
        ("CONTROLLER_SYNC_INTERVAL", "10", "10s"),
        ("CONTROLLER_SYNC_INTERVAL", "0s", "1s"),
        ("DEMO_DEBUG", "yess", "true or false"),
        ("CONTROLLER_KCP_PORT", "70000", "65535"),
        ("CONTROLLER_KCP_PORT", "abc", "abc"),
    ],
)
def test_a_bad_variable_is_named_before_anything_is_started(
    fresh: Fabric, variable: str, value: str, said: str
) -> None:
    run = replace(fresh, environment={**fresh.environment, variable: value}).play("run-demo", *EMBEDDED)
    assert run.returncode != 0
    assert variable in run.stdout or "cluster_port" in run.stdout
    assert said in run.stdout
    assert not fresh.state_dir.exists()
