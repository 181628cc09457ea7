# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The validator passes the real fabric, and fails every hollow one, naming what is hollow about it.

The `fabric` fixture (conftest.py) is a fabric that the playbooks deployed. Whatever a test replaces it puts back, and
it ends only when the validator passes again.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.integration.hollow import (
    POLICY,
    Forger,
    api,
    keep_warm,
    printing,
    refusal,
    repeating,
    without_parameters,
    without_policy,
)

HEALING_SECONDS = 120.0


@dataclass(frozen=True)
class Verdict:
    """What `tmc validate` said: exit code, what it printed, and its report."""

    code: int
    output: str
    report: dict[str, Any]

    def failed(self, name: str) -> dict[str, str]:
        """cluster -> reason, of the failed checks of that name."""
        checks = self.report["checks"]
        return {check["cluster"]: check["reason"] for check in checks if check["name"] == name and not check["ok"]}

    def failures(self) -> set[str]:
        return {check["name"] for check in self.report["checks"] if not check["ok"]}


Validate = Callable[..., Verdict]


def clusters_of(fabric: Any) -> list[str]:
    return [fabric.clusters["hub"], *fabric.clusters["members"]]


def command_line(fabric: Any, paths: dict[str, Path]) -> list[str]:
    hub, *members = clusters_of(fabric)
    command = [str(Path(sys.executable).with_name("tmc")), "validate", f"--hub={hub}={paths[hub]}"]
    return [*command, *(f"--member={name}={paths[name]}" for name in members)]


@pytest.fixture
def validate(fabric: Any, tmp_path: Path) -> Validate:
    """Runs `tmc validate` as a user would; `kubeconfigs` replaces those of the fabric."""

    def run(kubeconfigs: dict[str, Path] | None = None, timeout: str = "20s") -> Verdict:
        paths = kubeconfigs or {name: fabric.kubeconfig(name) for name in clusters_of(fabric)}
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        command = [*command_line(fabric, paths), f"--timeout={timeout}", f"--report={report}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert "\x1b" not in done.stdout, "escape codes although nobody looks at a terminal"
        return Verdict(done.returncode, done.stdout, json.loads(report.read_text()))

    return run


@contextmanager
def replaced(fabric: Any, validate: Validate, *programs: str) -> Iterator[None]:
    """Stop programs of the fabric for a while; afterwards wait until the fabric is whole again.

    A provider may put a cluster's name around the program's: each is looked for by the part that all have.
    """
    found = [next(name for name in fabric.programs() if part in name) for part in programs]
    for program in found:
        fabric.stop(program)
    try:
        yield
    finally:
        for program in found:
            fabric.start(program)
        wait_until_whole(validate)


def wait_until_whole(validate: Validate) -> None:
    deadline = time.monotonic() + HEALING_SECONDS
    while (verdict := validate()).code != 0:
        assert time.monotonic() < deadline, f"the fabric does not recover:\n{verdict.output}"


def processor_of(fabric: Any) -> tuple[str, int]:
    """Name and epoch, as declared on the hub."""
    objects = client.CustomObjectsApi(api(fabric.kubeconfig(fabric.clusters["hub"])))
    declared = objects.get_cluster_custom_object(
        "fabric.tmc.io", "v1alpha1", "syncedresources", "taskqueues.demo.tmc.io"
    )
    return declared["spec"]["processor"], declared["spec"]["epoch"]


def left_probes(fabric: Any) -> list[str]:
    names = []
    for cluster in clusters_of(fabric):
        objects = client.CustomObjectsApi(api(fabric.kubeconfig(cluster)))
        listed = objects.list_namespaced_custom_object("demo.tmc.io", "v1", "default", "taskqueues")
        names += [item["metadata"]["name"] for item in listed["items"]]
    return [name for name in names if name.startswith("tmc-probe-")]


def test_the_real_fabric_passes(fabric: Any, validate: Validate) -> None:
    verdict = validate(timeout="60s")
    assert verdict.code == 0, verdict.output
    assert verdict.report["ok"]
    assert set(verdict.report["clusters"]) == set(clusters_of(fabric))
    assert {check["group"] for check in verdict.report["checks"]} == {"clusters", "sync", "status", "controller"}
    assert verdict.report["latency"]["all"]["count"] > 0
    assert left_probes(fabric) == []


def dead_kubeconfig(alive: Path, folder: Path) -> Path:
    """A copy of the kubeconfig that leads to a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    content = yaml.safe_load(alive.read_text())
    content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    dead = folder / f"dead-{alive.parent.name}-{alive.name}"
    dead.touch(mode=0o600)
    dead.write_text(yaml.safe_dump(content))
    return dead


def test_no_cluster_answers(fabric: Any, validate: Validate, tmp_path: Path) -> None:
    kubeconfigs = {}
    for name in clusters_of(fabric):
        kubeconfigs[name] = dead_kubeconfig(fabric.kubeconfig(name), tmp_path)

    verdict = validate(kubeconfigs)

    assert verdict.code == 1
    reasons = verdict.failed("reachable")
    assert set(reasons) == set(clusters_of(fabric))
    assert all("does not answer" in reason for reason in reasons.values())
    assert all(name in verdict.output for name in clusters_of(fabric))


def test_one_cluster_does_not_answer(fabric: Any, validate: Validate, tmp_path: Path) -> None:
    dead = fabric.clusters["members"][0]
    kubeconfigs = {name: fabric.kubeconfig(name) for name in clusters_of(fabric)}
    kubeconfigs[dead] = dead_kubeconfig(kubeconfigs[dead], tmp_path)

    verdict = validate(kubeconfigs)

    assert verdict.code == 1
    assert set(verdict.failed("reachable")) == {dead}
    assert "Connect call failed" in verdict.failed("reachable")[dead]
    assert left_probes(fabric) == []


@pytest.mark.parametrize("warm", [False, True], ids=["silent lease", "lease renewed by hand"])
def test_the_syncers_only_print(fabric: Any, validate: Validate, warm: bool) -> None:
    hub, members = fabric.clusters["hub"], fabric.clusters["members"]
    syncers = [f"syncer-{member}" for member in members]
    with replaced(fabric, validate, *syncers), ExitStack() as hollow:
        for syncer in syncers:
            hollow.enter_context(printing("connected", "copy created", "status synced"))
            if warm:
                hollow.enter_context(repeating(keep_warm(fabric.kubeconfig(hub), "tmc-system", syncer), 1.0))
        verdict = validate()

    assert verdict.code == 1
    crossing = verdict.failed("probe-crossed")
    assert set(crossing) == set(clusters_of(fabric))
    assert all("never appeared" in reason and "syncer" in reason for reason in crossing.values())
    for syncer in syncers:
        assert (f"lease tmc-system/{syncer}" in verdict.failures()) is not warm
        assert warm or f"Lease {syncer}" in verdict.output


@pytest.mark.parametrize("warm", [False, True], ids=["silent lease", "lease renewed by hand"])
def test_the_controller_only_prints(fabric: Any, validate: Validate, warm: bool) -> None:
    processor, _epoch = processor_of(fabric)
    lease = keep_warm(fabric.kubeconfig(processor), "default", "taskqueue-controller")
    with replaced(fabric, validate, "taskqueue-controller"), ExitStack() as hollow:
        hollow.enter_context(printing("leading", "task started", "task succeeded", "TaskQueue completed"))
        if warm:
            hollow.enter_context(repeating(lease, 1.0))
        verdict = validate()

    assert verdict.code == 1
    assert verdict.failed("probe-crossed") == {}
    assert set(verdict.failed("probe-status")) == set(clusters_of(fabric))
    assert f"no controller on {processor} works on it" in verdict.failed("probe-status")[processor]
    assert ("lease default/taskqueue-controller" in verdict.failures()) is not warm
    assert left_probes(fabric) == []


def test_a_forged_status_is_refused_while_admission_is_in_place(fabric: Any, validate: Validate) -> None:
    processor, epoch = processor_of(fabric)
    forger = Forger(fabric.kubeconfig(processor), processor, epoch)
    lease = keep_warm(fabric.kubeconfig(processor), "default", "taskqueue-controller")
    with replaced(fabric, validate, "taskqueue-controller"), repeating(lease, 1.0), repeating(forger.forge, 0.1):
        verdict = validate()

    assert forger.refusals
    assert all(POLICY in refusal for refusal in forger.refusals)
    assert verdict.code == 1
    assert f"no controller on {processor} works on it" in verdict.failed("probe-status")[processor]
    assert verdict.failed("status-guard") == {}


def test_a_perfect_forgery_is_found_when_the_policies_are_gone(fabric: Any, validate: Validate) -> None:
    """Everything looks right, on every cluster. What gives it away is that anybody could have written it."""
    processor, epoch = processor_of(fabric)
    forger = Forger(fabric.kubeconfig(processor), processor, epoch)
    lease = keep_warm(fabric.kubeconfig(processor), "default", "taskqueue-controller")
    kubeconfigs = [fabric.kubeconfig(name) for name in clusters_of(fabric)]
    with ExitStack() as attack:
        attack.enter_context(replaced(fabric, validate, "taskqueue-controller"))
        attack.enter_context(without_policy(kubeconfigs))
        attack.enter_context(repeating(lease, 1.0))
        attack.enter_context(repeating(forger.forge, 0.1))
        verdict = validate()

    assert len(forger.finished) == len(kubeconfigs), "the forgery itself did not succeed, so nothing was tested"
    assert verdict.code == 1
    guards = verdict.failed("status-guard")
    assert set(guards) == set(clusters_of(fabric))
    assert all("ACCEPTED" in reason and POLICY in reason for reason in guards.values())
    assert verdict.failed("results") == {}, "the forged results are right: this is not what it was caught by"


def test_policies_without_their_parameters_are_no_guard(fabric: Any, validate: Validate) -> None:
    """They refuse forgeries, too. But they refuse everything, which the validator says in so many words.

    Without syncers, which would put them back.
    """
    kubeconfigs = [fabric.kubeconfig(name) for name in clusters_of(fabric)]
    syncers = [f"syncer-{member}" for member in fabric.clusters["members"]]
    with replaced(fabric, validate, *syncers), without_parameters(kubeconfigs):
        for kubeconfig in kubeconfigs:
            wait_until(lambda one=kubeconfig: "no params" in refusal(one), "nobody misses it")  # type: ignore[misc]
        verdict = validate()

    assert verdict.code == 1
    created = verdict.failed("probe-created")
    assert set(created) == set(clusters_of(fabric))
    assert all("no params found" in reason for reason in created.values()), created


@contextmanager
def validating(fabric: Any) -> Iterator[subprocess.Popen[str]]:
    """A validation that has created its probes and waits for them (the controller must be stopped)."""
    command = command_line(fabric, {name: fabric.kubeconfig(name) for name in clusters_of(fabric)})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: len(left_probes(fabric)) == len(clusters_of(fabric)) ** 2, "probes do not appear")
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + HEALING_SECONDS
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_an_interrupted_validation_takes_its_probes_away(fabric: Any, validate: Validate, number: int) -> None:
    with replaced(fabric, validate, "taskqueue-controller"), validating(fabric) as process:
        process.send_signal(number)
        output, _ = process.communicate(timeout=HEALING_SECONDS)
        assert process.returncode not in (0, None), "an interrupted validation has proved nothing"
        assert "interrupted" in output
        wait_until(lambda: left_probes(fabric) == [], "probes are left")


def test_the_probes_of_a_killed_validation_are_taken_away_by_the_next(fabric: Any, validate: Validate) -> None:
    with replaced(fabric, validate, "taskqueue-controller"), validating(fabric) as process:
        process.kill()
        process.wait()
        assert left_probes(fabric), "nothing was left, so nothing is tested"
    wait_until(lambda: left_probes(fabric) == [], "probes are left")
