# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs kind: clusters are created at the same time, each with a kubeconfig of its own.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import tail
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import WORK_SECONDS, Engine, KindError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_state import KindState, kind_name

POLL_SECONDS = 0.1
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Kind:
    """The kind program with the engine that it shall use."""

    program: str
    engine: Engine
    node_image: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KIND_EXPERIMENTAL_PROVIDER": self.engine.name}

    def create_command(self, cluster: str, config: Path, kubeconfig: Path) -> list[str]:
        # --retain: kind would remove what it failed to make by its name, which may be another run's by then. Its own
        # kubeconfig is thrown away: kind locks the file it writes to, and a kind that was killed leaves the lock.
        command = [self.program, "create", "cluster", "--retain", "--name", kind_name(cluster)]
        command += ["--config", str(config), "--kubeconfig", str(kubeconfig)]
        return [*command, "--image", self.node_image] if self.node_image else command

    def kubeconfig(self, cluster: str) -> str:
        """The administrator's kubeconfig, for use on this machine. Raises KindError."""
        command = [self.program, "get", "kubeconfig", "--name", kind_name(cluster)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WORK_SECONDS, check=False,
            env=self.environment,
        )  # fmt: skip
        if done.returncode:
            raise KindError(f"{' '.join(command)} failed: {done.stderr.strip()}")
        return done.stdout


def create_all(kind: Kind, state: KindState, names: list[str], lock: int, seconds: float) -> dict[str, str]:
    """Create these clusters at the same time; name -> what went wrong, of those that failed."""
    ends = time.monotonic() + seconds
    with ExitStack() as stack:
        running: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(_end_all, running)
        for name in names:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tmc-kind-"))
            command = kind.create_command(name, state.config(name), Path(folder) / "kubeconfig")
            running[name] = _start(command, kind.environment, state.log(name), lock)
        while time.monotonic() < ends and any(process.poll() is None for process in running.values()):
            time.sleep(POLL_SECONDS)
        return {
            name: _complaint(name, process.returncode, state.log(name), seconds)
            for name, process in running.items()
            if process.returncode != 0
        }


def _start(command: list[str], environment: dict[str, str], log: Path, lock: int) -> subprocess.Popen[bytes]:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(log, "wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, pass_fds=[lock],
            preexec_fn=_tie(),
        )  # fmt: skip


def _tie() -> Callable[[], None] | None:
    """What makes a child die with us, so that a killed run leaves no kind at work. Only Linux can."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _end_all(running: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in running.values():
        if process.poll() is None:
            process.kill()
            process.wait()


def _complaint(name: str, code: int | None, log: Path, seconds: float) -> str:
    end = f"was not done after {seconds:.0f} s" if code is None else f"ended with code {code}"
    return f"creating cluster '{name}' {end}; it is kept for a look (log: {log}):\n{tail(log, 8)}"
