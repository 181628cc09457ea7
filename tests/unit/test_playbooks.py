# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Bad input of the playbooks: refused with a reason before any cluster is asked, also with --limit and --tags."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STEERING = ("ANSIBLE_", "CONTROLLER_", "DEMO_", "K8S_AUTH_", "TMC_", "KUBECONFIG")


def play(
    repository: Path, state_dir: Path, name: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(STEERING)}
    chosen = {
        "ANSIBLE_CONFIG": str(repository / "ansible.cfg"),
        "ANSIBLE_HOME": str(repository / ".ansible"),
        "LC_ALL": "C.UTF-8",
        "TMC_STATE_DIR": str(state_dir),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), f"playbooks/{name}.yml", *arguments]
    return subprocess.run(
        command, cwd=repository, env={**inherited, **chosen, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip


ONLY_EAST = ("--limit", "east")


@pytest.mark.parametrize(
    ("playbook", "arguments", "environment", "said"),
    [
        ("cleanup", ("--check", *ONLY_EAST), {"CONTROLLER_WORKERS": "five"}, "CONTROLLER_WORKERS='five' must be"),
        ("run-demo", ("--tags", "clenup", *ONLY_EAST), {}, "tag 'clenup' is not one of: cleanup"),
        ("validate", ONLY_EAST, {}, "there is no fabric"),
        ("cleanup", ("-i", "lonely,"), {}, "exactly one cluster must be in the inventory group 'hub', got: none"),
        ("remove-member", ("-e", "member=nobody", *ONLY_EAST), {}, "member 'nobody' is none of the group 'members'"),
        ("remove-member", ("-e", "member=west", *ONLY_EAST), {}, "--limit leaves out 'west'"),
    ],
)
def test_a_limit_or_an_empty_inventory_does_not_pass_the_checks_over(
    repository: Path, tmp_path: Path, playbook: str, arguments: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    run = play(repository, tmp_path / "s", playbook, *arguments, **environment)

    assert run.returncode != 0, run.stdout
    assert said in " ".join(run.stdout.split()), run.stdout
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("tmc_sync_interval=10", "tmc_sync_interval='10' needs a number and a unit"),
        ("tmc_run_as=Deployment", "tmc_run_as='Deployment' must be process or deployment; try tmc_run_as=process"),
    ],
)
def test_a_bad_setting_is_named_before_anything_is_started(
    repository: Path, tmp_path: Path, setting: str, said: str
) -> None:
    run = play(repository, tmp_path / "s", "deploy", "--check", "-e", "tmc_provider=embedded", "-e", setting)

    assert run.returncode != 0, run.stdout
    assert said in " ".join(run.stdout.split()), run.stdout


def test_a_setting_of_one_host_alone_is_looked_at(repository: Path, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    hosts = "{east: {tmc_controller_workers: 0}, west: }"
    inventory.write_text(f"all: {{children: {{hub: {{hosts: {{kcp: }}}}, members: {{hosts: {hosts}}}}}}}\n")

    run = play(repository, tmp_path / "s", "deploy", "--check", "-i", str(inventory), "-e", "tmc_provider=embedded")

    assert run.returncode != 0, run.stdout
    assert "east: tmc_controller_workers='0' must be an integer 1-64" in " ".join(run.stdout.split()), run.stdout


def test_what_runs_no_pods_is_refused_for_deployments(repository: Path, tmp_path: Path) -> None:
    arguments = ("-e", "tmc_provider=embedded", "-e", "tmc_run_as=deployment")

    run = play(repository, tmp_path / "s", "deploy", "--check", *arguments)

    assert run.returncode != 0, run.stdout
    assert "tmc_run_as is deployment, but embedded control planes run no Pods" in " ".join(run.stdout.split()), run.stdout


UNREACHABLE = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: u, user: {token: none}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


@pytest.fixture
def unreachable(tmp_path: Path) -> Path:
    """The state directory of a fabric whose clusters do not answer."""
    folder = tmp_path / "s" / "kubeconfigs"
    folder.mkdir(parents=True)
    for name in ("kcp", "east", "west"):
        (folder / f"controller-{name}.kubeconfig").write_text(UNREACHABLE)
    return tmp_path / "s"


@pytest.mark.parametrize(("force", "fails"), [("false", True), ("true", False)])
def test_a_switch_on_the_command_line_is_no_text(repository: Path, unreachable: Path, force: str, fails: bool) -> None:
    arguments = ("-e", "cleanup_scope=demo", "-e", f"cleanup_force={force}", "-e", "tmc_debug=true")

    run = play(repository, unreachable, "cleanup", *arguments)

    assert (run.returncode != 0) is fails, run.stdout
    assert ("✗ TaskQueues removed" in run.stdout) is fails
