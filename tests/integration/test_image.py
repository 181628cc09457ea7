# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The image that syncers and controllers run from, built by the role with the engine of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

LARGEST = 50_000_000  # bytes above the base
BASE = os.environ.get("TMC_IMAGE_BASE") or "python:3.13-slim"


@dataclass(frozen=True)
class Image:
    """An image, and the program of the engine that holds it."""

    engine: str
    name: str

    def run(self, *arguments: str, entrypoint: str = "tmc", options: tuple[str, ...] = ()) -> str:
        """What it prints, with as few rights as its pods have."""
        strict = ("--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges")
        return output(self.engine, "run", *strict, f"--entrypoint={entrypoint}", *options, self.name, *arguments)

    def inspect(self, name: str = "") -> dict[str, object]:
        found: dict[str, object] = json.loads(output(self.engine, "image", "inspect", name or self.name))[0]
        return found


def output(*command: str) -> str:
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, f"{' '.join(command)} failed:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def answering() -> str:
    """The container engine that answers; skips when none does or it cannot get the base."""
    for program in ("docker", "podman"):
        if shutil.which(program) and subprocess.run([program, "info"], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("no container engine answers here (docker info, podman info)")
    for look in (("image", "inspect"), ("pull",)):
        if subprocess.run([program, *look, BASE], capture_output=True).returncode == 0:
            return program
    pytest.skip(f"{program} cannot get the base image {BASE}; name another in TMC_IMAGE_BASE")


def play(repository: Path, cache: Path) -> str:
    """One run of playbooks/images.yml; what it printed."""
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(repository / "ansible.cfg"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TMC_CACHE_DIR": str(cache),
    }
    command = ["ansible-playbook", str(repository / "playbooks" / "images.yml")]
    ended = subprocess.run(command, cwd=repository, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def image(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    engine = answering()
    said = play(repository, tmp_path_factory.mktemp("cache"))
    (name,) = {line.strip() for line in said.splitlines() if line.strip().startswith("localhost/tmc-cross-cluster:")}
    return Image(engine, name)


def test_the_program_runs_without_a_writable_file_system_or_any_right(image: Image) -> None:
    assert "syncer" in image.run("--help")
    assert "--health-address" in image.run("controller", "--help")


def test_it_runs_as_a_user_whom_a_kubelet_can_tell_from_root(image: Image) -> None:
    config = image.inspect()["Config"]
    assert isinstance(config, dict)
    assert config["User"].split(":")[0].isdigit()
    assert int(image.run("-c", "import os; print(os.getuid())", entrypoint="python3")) == 65532


def test_it_holds_neither_compiler_nor_installer_nor_what_an_installer_leaves(image: Image) -> None:
    seek = (
        "import pathlib, shutil; top = pathlib.Path('/opt/tmc');"
        "print([p for p in ('cc', 'gcc', 'clang', 'make') if shutil.which(p)],"
        "[p.name for p in top.glob('lib/python*/site-packages/*') if p.name.startswith(('pip', 'hatchling'))],"
        "[str(p) for p in (*pathlib.Path('/').glob('*/.cache'), pathlib.Path('/build')) if p.exists()])"
    )
    assert image.run("-c", seek, entrypoint="python3", options=("--user=0",)).split() == ["[]", "[]", "[]"]


def test_its_tag_tells_its_content(image: Image) -> None:
    config = image.inspect()["Config"]
    assert isinstance(config, dict)
    assert config["Labels"]["io.tmc.content"] == image.name.rpartition(":")[2]


def test_it_is_small(image: Image) -> None:
    size, base = (int(str(image.inspect(name)["Size"])) for name in (image.name, BASE))
    print(f"image {size / 1e6:.0f} MB, {(size - base) / 1e6:.0f} MB above {BASE}")
    assert size - base <= LARGEST


def test_a_second_time_builds_nothing(image: Image, repository: Path, tmp_path: Path) -> None:
    said = play(repository, tmp_path)
    assert image.name in said
    assert "changed=0" in said
