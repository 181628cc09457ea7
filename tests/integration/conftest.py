# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures on real control planes. Nothing here is a stand-in: a test that passes has talked to a kube-apiserver."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.deployed_fabric import Fabric, leftovers, new_fabric
from tests.integration.module_pair import Pair, install
from tests.integration.throwaway_plane import Plane, throwaway_plane

PORTS = range(15000, 31000)


@pytest.fixture(scope="session")
def binaries(repository: Path) -> Path:
    """The folder with kube-apiserver, etcd and the rest; built or fetched when they are not in the cache."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = os.environ.get("TMC_CACHE_DIR") or str(user_cache / "tmc-cross-cluster")
    command = [sys.executable, str(repository / "controlplane" / "binaries.py"), "--cache", cache]
    run = subprocess.run(command, cwd=repository, check=False, text=True, stdout=subprocess.PIPE)
    assert run.returncode == 0, f"controlplane/binaries.py failed:\n{run.stdout}"
    folder = Path(run.stdout.strip().splitlines()[-1])
    assert (folder / "kube-apiserver").is_file(), (
        f"controlplane/binaries.py named {folder}, which has no kube-apiserver"
    )
    return folder


@pytest.fixture(scope="session")
def short_path() -> Iterator[Path]:
    """An empty temporary directory with a name short enough for unix sockets below it; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="tmc-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def plane(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """One real API server, shared by all tests of a run: give what you create names of your own."""
    client, peer, secure = free_ports(3)
    with throwaway_plane(binaries, tmp_path_factory.mktemp("plane"), (client, peer, secure)) as running:
        yield running


@pytest.fixture(scope="session")
def fabric(repository: Path, binaries: Path, short_path: Path) -> Iterator[Fabric]:
    """A fabric of three clusters with syncers and controller, deployed by playbooks/deploy.yml.

    Shared by all tests of a run; who stops a program starts it again. When the run ends, the project's own clean-up
    takes it down and nothing may be left.
    """
    ports = dict(
        zip(("CONTROLLER_KCP_PORT", "CONTROLLER_EAST_PORT", "CONTROLLER_WEST_PORT"), free_ports(3), strict=True)
    )
    deployed = new_fabric(repository, short_path / "s", {name: str(port) for name, port in ports.items()}, binaries)
    try:
        deployed.play_or_fail("deploy", "-e", "tmc_provider=embedded")
        yield deployed
    finally:
        deployed.play_or_fail(
            "cleanup", "-e", "tmc_provider=embedded", "-e", "cleanup_scope=full", "-e", "cleanup_force=true"
        )
    left = leftovers(deployed)
    assert not left, "cleanup.yml left behind:\n" + "\n".join(left)


@pytest.fixture(scope="module")
def hub_plane(binaries: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    client, peer, secure = free_ports(3)
    with throwaway_plane(binaries, tmp_path_factory.mktemp("hub"), (client, peer, secure)) as running:
        install(running.kubeconfig, repository / "manifests", "fabric", "taskqueue", "hub")
        yield running


@pytest.fixture(scope="module")
def member_plane(binaries: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    client, peer, secure = free_ports(3)
    with throwaway_plane(binaries, tmp_path_factory.mktemp("member"), (client, peer, secure)) as running:
        install(running.kubeconfig, repository / "manifests", "fabric", "taskqueue", "member")
        yield running


@pytest.fixture
def pair(hub_plane: Plane, member_plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    return Pair(hub_plane.kubeconfig, member_plane.kubeconfig, tmp_path, monkeypatch)


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on now.

    They are below those that systems give to connections: one of those may be taken before a server listens on it.
    """
    shuffled = random.sample(PORTS, len(PORTS))
    found = list(itertools.islice(filter(is_free, shuffled), count))
    assert len(found) == count, f"{count} free ports of {PORTS} are needed, there are {len(found)}"
    return found


def is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
