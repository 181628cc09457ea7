# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The examples of the documentation are read by the programs that users would give them to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
DOCUMENTS = {path: yaml.safe_load_all(path.read_text()) for path in sorted(EXAMPLES.glob("*.yml"))}
FIRST = {path: next(documents) for path, documents in DOCUMENTS.items()}
PLAYBOOKS = [path for path, first in FIRST.items() if isinstance(first, list)]
INVENTORIES = [path for path, first in FIRST.items() if isinstance(first, dict) and "all" in first]


def run(program: str, *arguments: str | Path, folder: Path) -> str:
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / ".ansible"),
    }
    command = [Path(sys.executable).with_name(program), *arguments]
    ended = subprocess.run(
        command, cwd=folder, env=environment, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_every_example_is_known_here_and_in_the_table(repository: Path) -> None:
    assert len(PLAYBOOKS) >= 4
    assert len(INVENTORIES) >= 2
    table = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in EXAMPLES.glob("*.yml") if path.name not in table] == []


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_a_playbook_can_be_read(repository: Path, path: Path) -> None:
    inventory = EXAMPLES / "existing-clusters.yml"
    run("ansible-playbook", "--syntax-check", "-i", inventory, "-e", "member=tokyo", path, folder=repository)


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: path.name)
def test_an_inventory_is_a_fabric(repository: Path, path: Path) -> None:
    listed = json.loads(run("ansible-inventory", "-i", path, "--list", folder=repository))
    assert len(listed["hub"]["hosts"]) == 1
    assert len(listed["members"]["hosts"]) >= 3


def test_each_existing_cluster_says_where_it_is(repository: Path) -> None:
    listed = json.loads(run("ansible-inventory", "-i", EXAMPLES / "existing-clusters.yml", "--list", folder=repository))
    hosts = listed["_meta"]["hostvars"]
    assert len(hosts) == 5
    assert all(known["cluster_context"] and known["tmc_provider"] == "existing" for known in hosts.values())


def test_an_execution_environment_can_be_made_of_the_definition(repository: Path, tmp_path: Path) -> None:
    definition = EXAMPLES / "execution-environment.yml"
    run(
        "ansible-builder",
        "create",
        "-f",
        definition,
        "-c",
        tmp_path,
        "--output-filename",
        "Containerfile",
        folder=repository,
    )
    assert "tmc-io/cross_cluster" in (tmp_path / "_build" / "requirements.yml").read_text()
    assert "subdirectory=runtime" in (tmp_path / "_build" / "requirements.txt").read_text()
    own = yaml.safe_load((repository / "meta" / "execution-environment.yml").read_text())
    assert (repository / own["dependencies"]["python"]).is_file()
