# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container engine, asked through its command line: docker or podman, as kind itself does.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

ENGINES = ("docker", "podman")
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ANSWER_SECONDS = 20.0
WORK_SECONDS = 120.0


class KindError(Exception):
    """A fault that a person can do something about; the message says what. Modules turn it into a failure."""


@dataclass(frozen=True)
class EngineFacts:
    """What an engine says of the machine that it runs on. Sizes in bytes; 0 and "" where it does not tell."""

    memory: int = 0
    root: str = ""
    system: str = ""

    @property
    def here(self) -> bool:
        """Whether it runs on this machine itself, not in a virtual machine or elsewhere."""
        return bool(self.root) and os.path.isdir(self.root) and "Desktop" not in self.system


class Engine:
    """docker or podman. Methods raise KindError with the engine's own words when it refuses."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *arguments: str, seconds: float = WORK_SECONDS) -> str:
        """What a command of the engine prints. Raises KindError when it fails."""
        command = [self.name, *arguments]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
            )
        except FileNotFoundError as error:
            raise KindError(f"{self.name} is not installed (no such program on PATH)") from error
        except subprocess.TimeoutExpired as error:
            raise KindError(f"{' '.join(command)} has not answered for {seconds:.0f} s") from error
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
            raise KindError(f"{' '.join(command[:3])} failed: {said}")
        return done.stdout

    def facts(self) -> EngineFacts:
        """Asks the engine itself, not only its command line. Raises KindError naming what is wrong and the fix."""
        if shutil.which(self.name) is None:
            raise KindError(f"{self.name} is not installed (no such program on PATH)")
        try:
            answer = json.loads(self.run("info", "--format", "{{json .}}", seconds=ANSWER_SECONDS))
        except KindError as error:
            raise KindError(_explained(self.name, str(error))) from error
        except ValueError as error:
            raise KindError(f"{self.name} info does not answer with JSON: {error}") from error
        errors = answer.get("ServerErrors") or []  # docker's command line succeeds even where no engine runs
        if errors:
            raise KindError(_explained(self.name, "; ".join(errors)))
        return _facts(answer)

    def inspect(self, *filters: str) -> list[dict[str, Any]]:
        """All containers, running or not, that one of these filters (C(label=...), C(name=...)) finds."""
        ids: list[str] = []
        for one in filters:
            ids += self.run("ps", "--all", "--no-trunc", "--filter", one, "--format", "{{.ID}}").split()
        found: list[dict[str, Any]] = json.loads(self.run("inspect", *dict.fromkeys(ids))) if ids else []
        return found

    def start(self, container: str) -> None:
        self.run("start", container)

    def unpause(self, container: str) -> None:
        self.run("unpause", container)

    def remove(self, container: str) -> None:
        """Remove a container, running or not, with its anonymous volumes."""
        self.run("rm", "--force", "--volumes", container)

    def shell(self, container: str, script: str) -> str:
        """What a shell script prints inside a running container."""
        return self.run("exec", container, "sh", "-c", script)

    def images_called(self, name: str) -> list[str]:
        """The images that the engine has whose repository ends with ``/<name>``, with their tags, the newest first."""
        listed = self.run("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        return [image for image in listed if f"/{image}".rpartition(":")[0].endswith(f"/{name}")]

    def has_image(self, image: str) -> bool:
        try:
            self.run("image", "inspect", "--format", "{{.Id}}", image)
        except KindError:
            return False
        return True


def _explained(name: str, said: str) -> str:
    """The engine's words, with what to do about them."""
    lower = said.lower()
    if "permission denied" in lower:
        return (
            f"no permission on the socket of {name}: add yourself to its group (usermod -aG {name} USER, log in again)"
        )
    if "cannot connect" in lower or "connection refused" in lower or "is the docker daemon running" in lower:
        return f"{name} is installed, but its engine does not run: start it (Docker Desktop, or systemctl start {name})"
    return said


def _facts(answer: dict[str, Any]) -> EngineFacts:
    host, store = answer.get("host"), answer.get("store")
    if isinstance(host, dict):  # podman
        root = str((store or {}).get("graphRoot", ""))
        return EngineFacts(int(host.get("memTotal") or 0), root, str(host.get("os", "")))
    system = str(answer.get("OperatingSystem", ""))
    return EngineFacts(int(answer.get("MemTotal") or 0), str(answer.get("DockerRootDir", "")), system)


def first_that_answers(wanted: str = "") -> tuple[Engine, EngineFacts]:
    """The engine C(wanted), or the first that answers; KIND_EXPERIMENTAL_PROVIDER is asked as kind does.

    Raises KindError telling of each engine why it cannot be used.
    """
    chosen = wanted or os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "")
    if chosen and chosen not in ENGINES:
        raise KindError(f"container engine '{chosen}' is not supported; allowed: {', '.join(ENGINES)}")
    complaints: list[str] = []
    for name in (chosen,) if chosen else ENGINES:
        engine = Engine(name)
        try:
            return engine, engine.facts()
        except KindError as error:
            complaints.append(str(error))
    raise KindError(f"no container engine answers: {'; '.join(complaints)}")
