# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The two mirrors that the fabric is compared with, each as two processes: west to hub, hub to east.

python -m benchmarks.mirrors SOURCE_KUBECONFIG TARGET_KUBECONFIG    the bare one: list, watch, patch; no engine
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager

from benchmarks.fabric import HUB, REPOSITORY, Fabric
from benchmarks.kinds import BARE, MANAGER, NAMESPACE
from tmc.api.client import ApiClient, Object
from tmc.api.kubeconfig import load_kubeconfig

PATH = (("west", HUB), (HUB, "east"))
HANDLERS = REPOSITORY / "benchmarks" / "kopf_mirror.py"


@contextmanager
def running(fabric: Fabric) -> Iterator[None]:
    """Both mirrors at work on the path that a status takes through the fabric."""
    with ExitStack() as up:
        for source, target in PATH:
            ends = [str(fabric.kubeconfig(source)), str(fabric.kubeconfig(target))]
            up.enter_context(_process(fabric, f"bare-{source}", [sys.executable, "-m", "benchmarks.mirrors", *ends]))
            kopf = [sys.executable, "-m", "kopf", "run", "--standalone", "--quiet", "-n", NAMESPACE, str(HANDLERS)]
            settings = {"KUBECONFIG": ends[0], "MIRROR_TARGET": ends[1]}
            up.enter_context(_process(fabric, f"kopf-{source}", kopf, settings))
        yield


@contextmanager
def _process(fabric: Fabric, name: str, command: list[str], settings: dict[str, str] | None = None) -> Iterator[None]:
    with (fabric.directory / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            command, cwd=REPOSITORY, env={**fabric.environment, **(settings or {})}, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield
        finally:
            child.terminate()
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


async def mirror(source: ApiClient, target: ApiClient) -> None:
    """Patch the status of each object to its namesake, as it comes."""
    listed = await source.list(BARE, NAMESPACE)
    for item in listed.items:
        await _carry(target, item)
    stream = source.watch(BARE, listed.resource_version, NAMESPACE, timeout_seconds=7200, inactivity=7200)
    async with aclosing(stream):
        async for event in stream:
            if event.type in ("ADDED", "MODIFIED"):
                await _carry(target, event.object)


async def _carry(target: ApiClient, obj: Object) -> None:
    if "status" in obj:
        patch = {"status": obj["status"]}
        name = obj["metadata"]["name"]
        await target.patch(BARE, name, NAMESPACE, patch, field_manager=MANAGER, subresource="status")


async def main(source: str, target: str) -> None:
    async with ApiClient(load_kubeconfig(source)) as up, ApiClient(load_kubeconfig(target)) as down:
        await mirror(up, down)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
