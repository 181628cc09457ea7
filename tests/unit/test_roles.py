# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for the tasks of all roles."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
EXPRESSION = re.compile(r"(?:^|[^\w./-])({})\b(?!\s*\|\s*bool|\s*\|\s*default\([^)]*\)\s*\|\s*bool|:)")


def switches() -> set[str]:
    """The variables that are true or false, as the roles' argument specs say."""
    found = set()
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            found |= {name for name, option in entry["options"].items() if option["type"] == "bool"}
    return found


def test_a_switch_is_judged_as_one_also_when_it_comes_as_a_text() -> None:
    named = re.compile(EXPRESSION.pattern.format("|".join(sorted(switches()))))
    plain = []
    for path in sorted(ROLES.glob("*/*/**/*.yml")):
        if path.parent.name == "meta":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            handed_on = re.search(r': "\{\{ \w+ \}\}"$', line)  # to a module or a role, which judges it
            if not line.lstrip().startswith("#") and not handed_on and named.search(line):
                plain.append(f"{path.relative_to(ROLES)}:{number}: {line.strip()}")
    assert not plain, "-e NAME=false is the text 'false': write NAME | bool\n" + "\n".join(plain)


def the_process(role: str) -> dict[str, Any]:
    """What the role's supervised process is made of."""
    tasks = yaml.safe_load((ROLES / role / "tasks" / "run_process.yml").read_text())
    (found,) = [task for task in tasks if "argv" in task.get("tmc.cross_cluster.supervised_process", {})]
    return dict(found["tmc.cross_cluster.supervised_process"])


@pytest.mark.parametrize(("role", "count"), [("controller", 1), ("member", 2)])
def test_a_process_is_restarted_on_each_kubeconfig_that_it_reads(role: str, count: int) -> None:
    process = the_process(role)
    read = [word.partition("=")[2] for word in process["argv"] if re.match("--(hub-)?kubeconfig=", word)]
    assert len(read) == count
    assert set(process["restart_on"]) == {*read, "{{ tmc_code }}"}


@pytest.mark.parametrize("role", ["controller", "member"])
def test_a_process_is_told_what_a_pod_is_told(role: str) -> None:
    deployment = yaml.safe_load((ROLES / role / "vars" / "main.yml").read_text())[f"{role}_deployment_settings"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    started = the_process(role)["argv"]

    for entry in container["env"]:
        flag = "--" + re.sub("^(TMC|CONTROLLER)_", "", entry["name"]).lower().replace("_", "-")
        value = entry["value"].replace(" | string", "")
        assert f"{flag}={value}" in started


def test_a_cluster_keeps_its_port_also_when_a_limit_leaves_others_out(repository: Path, tmp_path: Path) -> None:
    inventory = "all: {children: {hub: {hosts: {kcp: }}, members: {hosts: {east: , north: , west: , south: }}}}\n"
    (tmp_path / "hosts.yml").write_text(inventory)
    for name, port in (("kcp", 37443), ("east", 37444), ("west", 37445)):
        (tmp_path / "s" / "planes" / name).mkdir(parents=True)
        (tmp_path / "s" / "planes" / name / "plane.json").write_text(json.dumps({"port": port}))
    role = {"name": "tmc.cross_cluster.control_planes", "tasks_from": "provider", "public": True}
    tell = {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} has {{ cluster_port }}"}}
    play = {"hosts": "hub:members", "connection": "local", "gather_facts": False}
    play["tasks"] = [{"ansible.builtin.include_role": role}, tell]  # type: ignore[assignment]
    (tmp_path / "play.yml").write_text(json.dumps([play]))

    def told(*limit: str) -> set[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("CONTROLLER_", "TMC_"))}
        environment |= {"ANSIBLE_CONFIG": str(repository / "ansible.cfg"), "ANSIBLE_HOME": str(repository / ".ansible")}
        environment |= {"TMC_STATE_DIR": str(tmp_path / "s"), "CONTROLLER_EAST_PORT": "40000"}
        command = [str(Path(sys.executable).with_name("ansible-playbook")), str(tmp_path / "play.yml"), *limit]
        command += ["-i", str(tmp_path / "hosts.yml"), "-e", "tmc_provider=embedded", "--check"]
        run = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        return set(re.findall(r"\w+ has \d+", run.stdout))

    assert told() == {"kcp has 37443", "east has 40000", "north has 37446", "west has 37445", "south has 37447"}
    assert told("--limit", "south") == {"south has 37447"}
