# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a throwaway fabric needs so that it meets no other: free ports and a short state directory."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLUSTERS = ("KCP", "EAST", "WEST")


def cache_dir() -> Path:
    """Where control-plane binaries are kept between runs and between checkouts."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TMC_CACHE_DIR") or user_cache / "tmc-cross-cluster")


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _port in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def port_environment() -> dict[str, str]:
    """The seed's `CONTROLLER_<CLUSTER>_PORT` variables with free ports."""
    ports = free_ports(len(CLUSTERS))
    return {f"CONTROLLER_{name}_PORT": str(port) for name, port in zip(CLUSTERS, ports, strict=True)}


def short_directory() -> Path:
    """A new directory whose name leaves room for unix sockets (their paths end at 107 bytes)."""
    base = "/tmp" if os.access("/tmp", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="tmc-", dir=base))


def molecule_environment() -> dict[str, str]:
    """Environment of `molecule test` as a gate: it may run beside a demo and beside another checkout's.

    Molecule's own memory is forgotten, or it would skip what an interrupted run has done.
    """
    memory = ROOT / ".cache" / "molecule"
    shutil.rmtree(memory, ignore_errors=True)
    places = {"MOLECULE_EPHEMERAL_DIRECTORY": str(memory), "TMC_MOLECULE_STATE_DIR": str(short_directory())}
    return {**places, **port_environment()}
