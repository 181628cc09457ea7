# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the files of the repository say of each other agrees."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml


def test_collection_and_runtime_have_one_version(repository: Path) -> None:
    collection = yaml.safe_load((repository / "galaxy.yml").read_text())["version"]
    runtime = tomllib.loads((repository / "runtime" / "pyproject.toml").read_text())["project"]["version"]
    assert collection == runtime


def test_every_requirement_has_a_reason(repository: Path) -> None:
    reasons = (repository / "docs" / "dependencies.md").read_text()
    for file in ("demo.txt", "test.txt"):
        pinned = re.findall(r"(?m)^([A-Za-z0-9-]+)==(\S+)", (repository / "requirements" / file).read_text())
        assert pinned
        assert [name for name, version in pinned if f"`{name}`" not in reasons or version not in reasons] == []


def test_group_defaults_name_modules_that_exist(repository: Path) -> None:
    group = yaml.safe_load((repository / "meta" / "runtime.yml").read_text())["action_groups"]["all"]
    modules = {path.stem for path in (repository / "plugins" / "modules").glob("[a-z]*.py")}
    assert set(group) <= modules
