# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""On what was measured: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.fabric import REPOSITORY, Fabric
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig

PACKAGES = ("tmc", "aiohttp", "orjson", "kopf", "kubernetes", "ansible-core")


def described() -> dict[str, str]:
    """The machine, the versions, the commit, and how busy the machine was with other things."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} x {_model()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {ssl.OPENSSL_VERSION}",
        **{f"package {name}": version(name) for name in PACKAGES},
        "commit": _commit(),
        "load average at the start": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


async def kubernetes_version(fabric: Fabric) -> str:
    async with ApiClient(load_kubeconfig(fabric.kubeconfig("east"))) as client:
        return str((await client.request("GET", "/version"))["gitVersion"])


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The commit, with a mark when tracked files differ from it."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    return run.stdout.strip() or "not a git checkout"
