# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A whole fabric for tests: deployed and removed by the project's own playbooks, away from every other one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import xmlrpc.client
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

RUNNING = 20  # supervisor's process states
FAST = {"CONTROLLER_SYNC_INTERVAL": "2s", "CONTROLLER_PROCESSING_DELAY": "0.2s"}
PLAY_DEADLINE = 900.0  # seconds; only ends a hang


@dataclass(frozen=True)
class Fabric:
    """A deployed fabric: one hub and its members, each reached through `kubeconfig(cluster)`.

    Programs go by any part of the supervisor's name for them that only one has, in whole words: `syncer-east`,
    `taskqueue-controller`, `kcp-apiserver`, `west-etcd`.
    """

    repository: Path
    state_dir: Path
    environment: dict[str, str]
    hub: str = "kcp"
    members: tuple[str, ...] = ("east", "west")

    @property
    def clusters(self) -> dict[str, Any]:
        return {"hub": self.hub, "members": list(self.members)}

    @property
    def names(self) -> list[str]:
        """All clusters, the hub first."""
        return [self.hub, *self.members]

    def kubeconfig(self, cluster: str) -> Path:
        """The administrator's kubeconfig of a cluster."""
        return self.state_dir / "kubeconfigs" / f"controller-{cluster}.kubeconfig"

    def play(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `playbooks/<name>.yml`; its output is added to `log`. Does not raise on failure."""
        command = [ansible_playbook(), f"playbooks/{name}.yml", *arguments]
        run = subprocess.run(
            command, cwd=self.repository, env=self.environment, stdin=subprocess.DEVNULL, timeout=PLAY_DEADLINE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(command)}\n{run.stdout}\nexit code {run.returncode}\n")
        return run

    def play_or_fail(self, name: str, *arguments: str) -> str:
        """Like `play`, but raises RuntimeError with the whole output when the play fails."""
        run = self.play(name, *arguments)
        if run.returncode != 0:
            raise RuntimeError(f"playbooks/{name}.yml {' '.join(arguments)} failed ({run.returncode}):\n{run.stdout}")
        return run.stdout

    @property
    def log(self) -> Path:
        """What all plays of this fabric wrote (`.cache/fabric.log`)."""
        return self.repository / ".cache" / "fabric.log"

    def programs(self) -> list[str]:
        """Names of all programs of all supervisors of this fabric."""
        return [info["name"] for rpc in self.supervisors() for info in rpc.getAllProcessInfo()]

    def start(self, program: str) -> None:
        """Start a program and wait until the supervisor counts it as running."""
        rpc, name = self._of(program)
        rpc.startProcess(name)

    def stop(self, program: str) -> None:
        """Stop a program and wait until it has ended."""
        rpc, name = self._of(program)
        rpc.stopProcess(name)

    def pid(self, program: str) -> int:
        """Process id of a running program; raises LookupError when it does not run."""
        rpc, name = self._of(program)
        info = rpc.getProcessInfo(name)
        if info["state"] != RUNNING:
            raise LookupError(
                f"program {program} is {info['statename']}, not RUNNING: {info['spawnerr'] or info['description']}"
            )
        return int(info["pid"])

    def _of(self, program: str) -> tuple[Any, str]:
        """The supervisor that keeps `program`, and the name that this supervisor knows it by (`group:name`)."""
        found = [
            (rpc, f"{info['group']}:{info['name']}")
            for rpc in self.supervisors()
            for info in rpc.getAllProcessInfo()
            if f"-{program}-" in f"-{info['name']}-"
        ]
        if len(found) != 1:
            names = ", ".join(self.programs()) or "none"
            raise LookupError(f"{len(found)} programs go by {program!r}, one is needed; there are: {names}")
        return found[0]

    def supervisors(self) -> list[Any]:
        """The XML-RPC interface of every supervisord of this fabric."""
        sockets = sorted(path for path in self.state_dir.rglob("*.sock") if path.is_socket() and "superv" in str(path))
        return [supervisor_at(path) for path in sockets]


def supervisor_at(path: Path) -> Any:
    """The `supervisor` namespace of the supervisor that listens on a unix socket."""
    transport = SupervisorTransport(None, None, f"unix://{path}")
    return xmlrpc.client.ServerProxy("http://supervisor", transport=transport).supervisor


def ansible_playbook() -> str:
    """The ansible-playbook of the environment that runs the tests."""
    return str(Path(sys.executable).with_name("ansible-playbook"))


def new_fabric(repository: Path, state_dir: Path, ports: dict[str, str], binaries: Path) -> Fabric:
    """A fabric that is not deployed yet, steered by nothing but what is said here."""
    steering = ("ANSIBLE_", "CONTROLLER_", "DEMO_", "K8S_AUTH_", "TMC_STATE", "KUBECONFIG")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(steering)}
    chosen = {
        "ANSIBLE_CONFIG": str(repository / "ansible.cfg"),
        "ANSIBLE_HOME": str(repository / ".ansible"),
        "TMC_STATE_DIR": str(state_dir),
        "KUBEBUILDER_ASSETS": str(binaries),
    }
    return Fabric(repository, state_dir, {**inherited, **chosen, **ports, **FAST})


def leftovers(fabric: Fabric) -> list[str]:
    """What is left of a fabric that should be gone: processes, listening ports, files. Empty is good."""
    ports = [
        int(value) for key, value in fabric.environment.items() if key.endswith("_PORT") and key.startswith("CONTR")
    ]
    left = [f"port {port} still answers" for port in ports if answers(port)]
    left += [f"process {line}" for line in processes_naming(str(fabric.state_dir))]
    return left + [f"file {path}" for path in fabric.state_dir.rglob("*") if not path.is_dir()]


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes_naming(text: str) -> list[str]:
    """`pid command line` of every process whose command line contains `text` (nothing where there is no /proc)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # it has ended meanwhile
            continue
        if text in line and int(entry.parent.name) != os.getpid():
            found.append(f"{entry.parent.name} {line[:200]}")
    return found
