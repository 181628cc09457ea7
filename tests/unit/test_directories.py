# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""State and cache directory mean one and the same place to everything that takes them, or are refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = """\
- hosts: localhost
  connection: local
  gather_facts: false
  roles: [tmc.cross_cluster.tmc]
  tasks:
    - ansible.builtin.debug: {msg: "state {{ tmc_state_dir }} cache {{ tmc_cache_dir }}"}
"""


def play(repository: Path, playbook: Path, *arguments: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Its end and its words, started in C(folder)."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "TMC_", "XDG_"))}
    chosen = {
        "ANSIBLE_CONFIG": str(repository / "ansible.cfg"),
        "ANSIBLE_HOME": str(repository / ".ansible"),
        "LC_ALL": "C.UTF-8",
    }
    ended = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), playbook, *arguments],
        cwd=folder, env={**inherited, **chosen, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip
    return ended.returncode, " ".join(ended.stdout.split())


def test_the_environment_may_name_them_relatively(repository: Path, tmp_path: Path) -> None:
    playbook, shell = tmp_path / "playbooks" / "show.yml", tmp_path / "shell"
    for folder in (playbook.parent, shell):
        folder.mkdir()
    playbook.write_text(SHOW)
    code, said = play(
        repository, playbook, folder=shell, TMC_STATE_DIR="rel", TMC_CACHE_DIR="~/cache", HOME=str(tmp_path)
    )
    assert code == 0, said
    assert f"state {shell / 'rel'} cache {tmp_path / 'cache'}" in said


def test_a_changed_collection_of_the_same_version_gets_its_own_runtime(repository: Path, tmp_path: Path) -> None:
    tasks = tmp_path / "roles" / "show" / "tasks" / "main.yml"  # a role that lies where those of a collection do
    tasks.parent.mkdir(parents=True)
    tasks.write_text("""- ansible.builtin.debug: {msg: "venv {{ tmc_runtime_venv }}"}""")
    (tmp_path / "show.yml").write_text(SHOW.replace("tmc]", "tmc, show]"))
    code = tmp_path / "runtime" / "src" / "tmc" / "sync" / "planner.py"
    code.parent.mkdir(parents=True)
    (tmp_path / "runtime" / "pyproject.toml").write_text('version = "0.1.0"')

    def venv() -> str:
        code, said = play(repository, tmp_path / "show.yml", folder=tmp_path, TMC_CACHE_DIR="cache")
        found = re.search(rf"venv {tmp_path}/cache/runtime/([\w.]+)", said)
        assert code == 0, said
        assert found, said
        return found[1]

    seen = [venv()]
    for content in ("one", "one", "two"):
        code.write_text(content)
        seen.append(venv())
    assert seen[1] == seen[2]
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("tmc_state_dir", "rel"), ("tmc_state_dir", "~/fabric"), ("tmc_state_dir", "/a:b"), ("tmc_cache_dir", "./c")],
)
def test_elsewhere_they_are_absolute(repository: Path, name: str, value: str) -> None:
    playbook = repository / "playbooks" / "preflight.yml"
    code, said = play(repository, playbook, "-e", f"{name}={value}", folder=repository)
    assert code != 0, said
    assert f"{name} '{value}' must be an absolute path" in said
