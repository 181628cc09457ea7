# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Programs that run already: restarted when what they read at their start is another, replaced when run elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_supervisor import Supervisor
from tests.unit.api_server import Objects, serving

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="supervision needs Linux")

PLAY = """
- hosts: east
  connection: local
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - ansible.builtin.include_role: {name: tmc.cross_cluster.runtime}
      when: tmc_run_as == 'process'
    - ansible.builtin.include_role: {name: "tmc.cross_cluster.{{ role }}", tasks_from: "run_{{ tmc_run_as }}"}
"""
# Runs as tmc does: a program that says when it is up, and ends when it is told to.
PROGRAM = """#!/bin/sh
for word; do
  case $word in --health-file=*) file=${word#*=}; mkdir -p "${file%/*}"; echo up > "$file";; esac
done
exec sleep 600
"""
PROGRAMS = {"member": "kcp-syncer", "controller": "taskqueue-controller"}
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVED = {
    f"/apis/{group}": {"resources": [{"name": f"{kind.lower()}s", "kind": kind, "namespaced": True} for kind in kinds]}
    for group, kinds in {
        "apps/v1": ["Deployment"],
        "policy/v1": ["PodDisruptionBudget"],
        "rbac.authorization.k8s.io/v1": ["Role", "RoleBinding"],
    }.items()
}


@dataclass
class Machine:
    """This one, with a fabric whose clusters are all one little API server."""

    repository: Path
    folder: Path
    state_dir: Path
    api: Objects

    @property
    def credentials(self) -> Path:
        return self.state_dir / "credentials" / "east"

    @property
    def code(self) -> Path:
        return self.folder / "elsewhere" / "tmc" / "planner.py"

    def run(self, role: str, run_as: str, *arguments: str, **variables: Any) -> bool:
        """Whether the role changed something as it ran its program."""
        given = {
            "role": role,
            "tmc_run_as": run_as,
            "tmc_executable": str(self.folder / "program" / "bin" / "tmc"),
            "tmc_processor": "east",
            "tmc_image": "localhost/tmc:1",
            **variables,
        }
        (self.folder / "play.yml").write_text(PLAY)
        command = [str(Path(sys.executable).with_name("ansible-playbook")), str(self.folder / "play.yml")]
        inventory = str(self.repository / "inventory" / "clusters.yml")
        environment = {
            "ANSIBLE_CONFIG": str(self.repository / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.repository / ".ansible"),
            "TMC_STATE_DIR": str(self.state_dir),
            "TMC_CACHE_DIR": str(self.folder / "cache"),
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
        }
        ran = subprocess.run(
            [*command, "-i", inventory, "-e", json.dumps(given), *arguments],
            cwd=self.repository, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout
        return "changed=0" not in ran.stdout

    def pid(self, role: str) -> int:
        """Of the supervised program; 0 when it does not run."""
        supervisor = Supervisor(State(str(self.state_dir)))
        return int(supervisor.processes().get(f"{PROGRAMS[role]}-east", {}).get("pid", 0))


@pytest.fixture
def machine(repository: Path, tmp_path: Path) -> Iterator[Machine]:
    api = Objects(SERVED)
    with serving(tmp_path, api) as state_dir:
        made = Machine(repository, tmp_path, state_dir, api)
        for name in ("local.kubeconfig", "hub.kubeconfig", "controller.kubeconfig", "hub.token"):
            (made.credentials / name).parent.mkdir(parents=True, exist_ok=True)
            (made.credentials / name).write_text("one")
        install(tmp_path / "program", made.code)
        yield made
        supervisor = Supervisor(State(str(state_dir)))
        if supervisor.keeper_pid() or supervisor.pid():
            supervisor.shut_down()


def install(environment: Path, code: Path) -> None:
    """An environment with the program, whose code is somewhere else, as after `pip install --editable`."""
    venv.create(environment)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "tmc.pth").write_text(str(code.parent.parent))
    code.parent.mkdir(parents=True)
    (code.parent / "__init__.py").touch()
    code.write_text("one")
    (environment / "bin" / "tmc").write_text(PROGRAM)
    (environment / "bin" / "tmc").chmod(0o755)


def test_a_process_is_restarted_when_its_kubeconfig_or_its_code_is_another_and_else_not(machine: Machine) -> None:
    assert machine.run("member", "process")
    first = machine.pid("member")
    (machine.credentials / "hub.token").write_text("renewed")
    assert not machine.run("member", "process")
    assert machine.pid("member") == first

    (machine.credentials / "hub.kubeconfig").write_text("another CA")
    assert machine.run("member", "process", "--check")
    assert machine.pid("member") == first
    assert machine.run("member", "process")
    second = machine.pid("member")
    assert second not in (0, first)

    machine.code.write_text("two")
    assert machine.run("member", "process")
    assert machine.pid("member") not in (0, first, second)


def test_new_code_that_is_not_installed_yet_does_not_stop_a_look(machine: Machine) -> None:
    machine.run("member", "process")

    assert machine.run("member", "process", "--check", tmc_executable=str(machine.folder / "cache" / "bin" / "tmc"))


def test_pods_are_replaced_when_the_way_to_the_hub_is_another_and_else_not(machine: Machine) -> None:
    assert machine.run("member", "deployment", member_joined={"hub_kubeconfig_digest": "one"})
    machine.api.writes()
    assert not machine.run("member", "deployment", member_joined={"hub_kubeconfig_digest": "one"})
    assert not machine.api.writes()

    assert machine.run("member", "deployment", member_joined={"hub_kubeconfig_digest": "two"})

    assert machine.api.writes() == [f"PATCH {DEPLOYMENTS}/kcp-syncer"]
    pod = machine.api.held[f"{DEPLOYMENTS}/kcp-syncer"]["spec"]["template"]
    assert pod["metadata"]["annotations"]["tmc.io/hub-kubeconfig"] == "two"


def test_who_runs_in_another_way_leaves_nothing_of_the_old_one(machine: Machine) -> None:
    machine.run("member", "process")
    machine.api.writes()
    old = machine.pid("member")

    assert machine.run("member", "deployment", "--check")
    assert (machine.pid("member"), machine.api.writes()) == (old, [])
    assert machine.run("member", "deployment")
    assert machine.pid("member") == 0
    assert not machine.run("member", "deployment")

    machine.api.writes()
    assert machine.run("member", "process", "--check")
    assert (machine.pid("member"), machine.api.writes()) == (0, [])
    assert machine.run("member", "process")
    assert machine.pid("member")
    assert machine.api.held == SERVED
    assert not machine.run("member", "process")


def test_a_controller_is_stopped_however_it_ran_also_where_none_is_to_run(machine: Machine) -> None:
    machine.run("controller", "process")
    assert machine.run("controller", "deployment")
    assert machine.pid("controller") == 0
    assert f"{DEPLOYMENTS}/taskqueue-controller" in machine.api.held

    assert machine.run("controller", "process", tmc_processor="west")
    assert machine.pid("controller") == 0
    assert machine.api.held == SERVED
    assert not machine.run("controller", "process", tmc_processor="west")
