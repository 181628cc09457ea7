# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A whole fabric for one run: deployed and removed by the project's own playbooks, away from every other one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.kinds import BARE, KOPF, OURS, definition
from benchmarks.processes import Usage, processes_below, usages
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig

REPOSITORY = Path(__file__).resolve().parent.parent
PLAY_DEADLINE = 1800.0  # seconds; only ends a hang
HUB = "kcp"
REGIONS = ("east", "west", "north", "south", "middle", "far", "near", "left", "right")  # west is the processor
STEERING = ("ANSIBLE_", "CONTROLLER_", "DEMO_", "K8S_AUTH_", "TMC_STATE", "KUBECONFIG")
Clients = dict[str, ApiClient]


class FabricError(Exception):
    """A playbook failed; the message has its output."""


@dataclass(frozen=True)
class Fabric:
    """A deployed fabric of the hub and `members`; `state` is its state directory."""

    directory: Path
    members: tuple[str, ...]
    environment: dict[str, str]

    @property
    def state(self) -> Path:
        return self.directory / "s"

    @property
    def names(self) -> list[str]:
        """All clusters, the hub first."""
        return [HUB, *self.members]

    def kubeconfig(self, cluster: str) -> Path:
        return self.state / "kubeconfigs" / f"controller-{cluster}.kubeconfig"

    def health_file(self, member: str) -> Path:
        return self.state / "run" / f"kcp-syncer-{member}.url"

    def usages(self) -> dict[str, Usage]:
        """What each process of this fabric uses, by name: `syncer east`, `kube-apiserver west`."""
        return usages(self.directory, self.names)

    def play(self, playbook: str, *arguments: str) -> None:
        """Run a playbook of the repository. Raises FabricError with its output."""
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        run = subprocess.run(
            [program, "-i", str(self.directory / "inventory.yml"), playbook, *arguments],
            cwd=REPOSITORY, env=self.environment, stdin=subprocess.DEVNULL, timeout=PLAY_DEADLINE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if run.returncode != 0:
            raise FabricError(f"{playbook} {' '.join(arguments)} failed ({run.returncode}):\n{run.stdout}")

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[Clients]:
        """The administrator's client of each cluster."""
        async with AsyncExitStack() as up:
            yield {
                name: await up.enter_async_context(ApiClient(load_kubeconfig(self.kubeconfig(name)), timeout=60.0))
                for name in self.names
            }


@contextmanager
def throwaway_fabric(members: int, executable: Path | None = None) -> Iterator[Fabric]:
    """A fabric with the benchmark's kinds, on embedded planes and free ports; removed whatever happens.

    `executable`: the `tmc` program that is measured, when it is not the one beside Ansible.
    """
    # Short: unix sockets lie below it.
    directory = Path(tempfile.mkdtemp(prefix="tmc-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
    fabric = Fabric(directory, REGIONS[:members], {})
    fabric.environment.update(environment(fabric))
    try:
        write_inputs(fabric)
        measured = ("-e", f"tmc_executable={executable.absolute()}") if executable else ()
        fabric.play("playbooks/deploy.yml", "-e", "tmc_provider=embedded", *measured)
        fabric.play("benchmarks/kinds.yml", "-e", f"bench_definitions={directory / 'definitions.yml'}")
        yield fabric
    finally:
        remove(fabric)


def environment(fabric: Fabric) -> dict[str, str]:
    """Steered by nothing but what is said here: settings are the product's own, ports are free ones."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(STEERING)}
    names = [f"CONTROLLER_{name.upper()}_PORT" for name in fabric.names]
    ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    chosen = {
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_HOME": str(REPOSITORY / ".ansible"),
        "TMC_STATE_DIR": str(fabric.state),
        "CONTROLLER_PROCESSING_DELAY": "0.2s",
    }
    return {**inherited, **chosen, **ports}


def write_inputs(fabric: Fabric) -> None:
    hosts = {"hub": {"hosts": {HUB: None}}, "members": {"hosts": dict.fromkeys(fabric.members)}}
    settings = {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "tmc_processor": "west"}
    inventory = {"all": {"children": hosts, "vars": {"ansible_connection": "local", **settings}}}
    (fabric.directory / "inventory.yml").write_text(yaml.safe_dump(inventory))
    definitions = "---\n".join(json.dumps(definition(kind)) + "\n" for kind in (OURS, BARE, KOPF))
    (fabric.directory / "definitions.yml").write_text(definitions)


def remove(fabric: Fabric) -> None:
    """The project's own clean-up; should it fail, what still runs from the directory is killed. Leaves nothing."""
    cleanup = ("-e", "tmc_provider=embedded", "-e", "cleanup_scope=full", "-e", "cleanup_force=true")
    try:
        if fabric.state.exists():
            fabric.play("playbooks/cleanup.yml", *cleanup)
    except (FabricError, subprocess.TimeoutExpired) as error:
        print(f"bench: {error}\nbench: what is left is killed", file=sys.stderr)
    finally:
        while left := processes_below(fabric.directory):  # a guardian may start another one meanwhile
            for pid in left.values():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        shutil.rmtree(fabric.directory, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _port in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
