# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What comes after a syncer is killed with many objects there."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.error
import urllib.request

from benchmarks.fabric import Clients, Fabric
from benchmarks.figures import Row
from benchmarks.kinds import MANAGER, NAMESPACE, OURS, status, step_of
from benchmarks.lives import everywhere
from benchmarks.observe import View
from benchmarks.processes import processes_below

RECOVERY = "Recovery from kill -9"


async def recovery(
    fabric: Fabric, clusters: Clients, views: dict[str, View], member: str, prefix: str, count: int
) -> Row:
    """Kill a syncer; a change that is made while it is dead must go through it. The supervisor starts it again."""
    name = f"{prefix}-0"
    url = fabric.health_file(member).read_text()
    os.kill(processes_below(fabric.directory, fabric.names)[f"syncer {member}"], signal.SIGKILL)
    begun = time.perf_counter()
    ready = asyncio.create_task(_ready(fabric, member, url))
    step = (step_of(views["west"].objects[name]) or 0) + 1
    await clusters["west"].patch(OURS, name, NAMESPACE, status(step), field_manager=MANAGER, subresource="status")
    seen = await everywhere(views, lambda objects: step_of(objects.get(name, {})) == step, f"{name} shows {step}")
    again = await ready - begun
    note = f"a status written meanwhile is on all clusters; ready as a standby after {again:.1f} s, Lease of 9 s"
    return Row(RECOVERY, f"syncer of {member} with {count:,} objects", seen - begun, "s", 1, note=note)


async def _ready(fabric: Fabric, member: str, old: str) -> float:
    """When the new process said it was ready."""
    while True:
        await asyncio.sleep(0.1)
        try:
            url = fabric.health_file(member).read_text()
            if url != old and await asyncio.to_thread(_answers, url.strip() + "/readyz"):
                return time.perf_counter()
        except OSError:
            continue


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
