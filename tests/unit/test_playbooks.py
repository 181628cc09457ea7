# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Bad input of the playbooks: refused with a reason before any cluster is asked, also with --limit and --tags."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.unit.api_server import Objects, deployed, serving

STEERING = ("ANSIBLE_", "CONTROLLER_", "DEMO_", "K8S_AUTH_", "TMC_", "KUBECONFIG")


def play(
    repository: Path, state_dir: Path, name: str | Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(STEERING)}
    chosen = {
        "ANSIBLE_CONFIG": str(repository / "ansible.cfg"),
        "ANSIBLE_HOME": str(repository / ".ansible"),
        "LC_ALL": "C.UTF-8",
        "TMC_STATE_DIR": str(state_dir),
    }
    path = f"playbooks/{name}.yml" if isinstance(name, str) else str(name)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), path, *arguments]
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
    assert "embedded control planes run no Pods" in " ".join(run.stdout.split()), run.stdout


@pytest.fixture
def unreachable(tmp_path: Path) -> Path:
    return deployed(tmp_path, "https://127.0.0.1:9")


@pytest.mark.parametrize(("force", "fails"), [("false", True), ("true", False)])
def test_a_switch_on_the_command_line_is_no_text(repository: Path, unreachable: Path, force: str, fails: bool) -> None:
    arguments = ("-e", "cleanup_scope=demo", "-e", f"cleanup_force={force}", "-e", "tmc_debug=true")

    run = play(repository, unreachable, "cleanup", *arguments)

    assert (run.returncode != 0) is fails, run.stdout
    assert ("does not answer" in run.stdout) is fails


SYNCER = "/apis/apps/v1/namespaces/default/deployments/kcp-syncer"
Cluster = tuple[Path, list[str]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[[dict[str, object]], Cluster]]:
    """Starts an API server that has these objects, by path, and no other; its state directory, and what it is asked."""
    with ExitStack() as servers:

        def start(objects: dict[str, object]) -> Cluster:
            api = Objects(objects)
            return servers.enter_context(serving(tmp_path, api)), api.asked

        yield start


def syncer(image: str) -> dict[str, object]:
    containers = [{"name": "syncer", "image": image}]
    return {"metadata": {"name": "kcp-syncer"}, "spec": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.parametrize(
    ("deployment", "arguments", "said"),
    [
        (True, ("-e", "tmc_run_as=process"), "tmc_run_as is process, but the fabric runs as deployment"),
        (False, ("-e", "tmc_run_as=deployment"), "tmc_run_as is deployment, but the fabric runs as process"),
        (True, ("-e", "controller_image="), "controller_image is empty"),
        (True, ("--limit", "!east"), "--limit leaves out east"),
        (True, ("--limit", "east"), "--limit leaves out kcp"),
        (True, ("--limit", "kcp", "-e", "tmc_processor=kcp"), "No member takes part"),
    ],
)
def test_a_controller_that_could_not_run_keeps_the_kind_where_it_is(
    repository: Path,
    cluster: Callable[[dict[str, object]], Cluster],
    deployment: bool,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    state_dir, asked = cluster({SYNCER: syncer("localhost/tmc:1")} if deployment else {})

    run = play(repository, state_dir, "move-processor", "-e", "tmc_processor=east", *arguments)

    assert run.returncode != 0, run.stdout
    assert said in " ".join(run.stdout.split()), run.stdout
    assert set(asked) <= {f"GET {SYNCER}"}, "the hub was asked before all was looked at"


PROCESSOR = "/apis/fabric.tmc.io/v1alpha1/syncedresources/taskqueues.demo.tmc.io"


@pytest.mark.parametrize(
    ("processor", "arguments", "left_out"),
    [
        ("east", ("--limit", "east"), "kcp and west"),
        ("east", ("--limit", "east", "--check"), "kcp and west"),
        ("east", ("--limit", "members"), "kcp"),
        ("east", ("--limit", "kcp"), "west"),
        ("west", ("--limit", "kcp,east"), ""),
        ("", ("--limit", "east"), ""),
        ("east", ("--limit", "east", "-e", "tmc_processor=east", "-e", "controller_here=false"), ""),
    ],
)
def test_a_limit_takes_the_work_from_no_cluster(
    repository: Path,
    cluster: Callable[[dict[str, object]], Cluster],
    tmp_path: Path,
    processor: str,
    arguments: tuple[str, ...],
    left_out: str,
) -> None:
    objects: dict[str, object] = {"/version": {"gitVersion": "v1.35.0"}}
    objects["/apis/coordination.k8s.io/v1/namespaces/tmc-system/leases"] = {"metadata": {}, "items": []}
    if processor:
        objects[PROCESSOR] = {"metadata": {}, "spec": {"processor": processor, "epoch": 2}}
    state_dir, _asked = cluster(objects)
    tasks = [{"ansible.builtin.include_role": {"name": "tmc.cross_cluster.controller", "tasks_from": "agreed"}}]
    head = {"hosts": "hub:members", "connection": "local", "gather_facts": False, "any_errors_fatal": True}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{**head, "tasks": tasks}]))

    run = play(repository, state_dir, tmp_path / "play.yml", "-e", "tmc_run_as=process", *arguments)

    assert (run.returncode != 0) is bool(left_out), run.stdout
    told = f"The processor is east, the inventory says west, and --limit leaves out {left_out}: set tmc_processor=east"
    assert (told in " ".join(run.stdout.split())) is bool(left_out), run.stdout


def test_a_deployment_asks_who_works_before_it_changes_anything_that_runs(repository: Path) -> None:
    (deployment,) = [
        each for each in yaml.safe_load((repository / "playbooks" / "deploy.yml").read_text()) if "tasks" in each
    ]
    roles = [task["ansible.builtin.include_role"] for task in deployment["tasks"]]
    assert [role["name"].rpartition(".")[2] for role in roles[:2]] == ["control_planes", "controller"]
    assert roles[1]["tasks_from"] == "agreed"
    alone = yaml.safe_load((repository / "roles" / "controller" / "tasks" / "main.yml").read_text())
    assert alone[0]["ansible.builtin.include_tasks"] == "agreed.yml"


def test_the_controller_runs_as_the_syncers_run(
    repository: Path, cluster: Callable[[dict[str, object]], Cluster]
) -> None:
    state_dir, _asked = cluster({SYNCER: syncer("localhost/tmc:1")})

    run = play(repository, state_dir, "move-processor", "-e", "tmc_processor=east", "-v")

    assert '"tmc_run_as": "deployment"' in run.stdout
    assert '"tmc_image": "localhost/tmc:1"' in run.stdout
