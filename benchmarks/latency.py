# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""How long a status that is written on west takes until a watch on east has it, system by system in turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from benchmarks import mirrors
from benchmarks.fabric import Clients, Fabric
from benchmarks.figures import Row, paired_ratio, percentile, ratio
from benchmarks.kinds import BARE, KOPF, MANAGER, NAMESPACE, OURS, parcel, status, step_of
from benchmarks.observe import View, watched
from tmc.api.client import ApiClient
from tmc.api.errors import AlreadyExists, NotFound
from tmc.api.resource import Resource

SECTION = "Status latency, west to east through the hub"
OBJECTS = 10  # of each system; the rounds go through them
SPACING = 0.02  # seconds between changes: what is measured is latency, not throughput
WARM_UP = 20  # rounds that are not counted
SYSTEMS = {"fabric": OURS, "bare mirror": BARE, "kopf mirror": KOPF}
Delays = dict[str, list[float]]


@dataclass
class System:
    """One way for a status from west to east."""

    kind: Resource
    writer: ApiClient
    view: View
    steps: int = field(default_factory=lambda: time.time_ns() // 1_000_000)  # never one that an earlier run has left

    async def change(self) -> float:
        """Write one status on west; seconds from then until it is seen on east."""
        self.steps += 1
        step, name = self.steps, f"latency-{self.steps % OBJECTS}"
        begun = time.perf_counter()
        write = asyncio.create_task(
            self.writer.patch(self.kind, name, NAMESPACE, status(step), field_manager=MANAGER, subresource="status")
        )
        what = f"step {step} of {self.kind.name} {name} on east"
        seen = await self.view.until(lambda objects: step_of(objects.get(name, {})) == step, what)
        await write
        return seen - begun


async def measure(fabric: Fabric, rounds: int) -> Delays:
    """Seconds by system, round by round: one status for each system in turn, another one first each time."""
    with mirrors.running(fabric):
        async with fabric.clients() as clusters:
            return await compare(clusters, SYSTEMS, rounds)


async def compare(clusters: Clients, kinds: dict[str, Resource], rounds: int) -> Delays:
    async with AsyncExitStack() as up:
        systems = {}
        for name, kind in kinds.items():
            await _objects(clusters, kind)
            view = await up.enter_async_context(watched(clusters["east"], kind))
            systems[name] = System(kind, clusters["west"], view)
        delays: Delays = {name: [] for name in systems}
        order = list(systems)
        for number in range(-WARM_UP, rounds):
            for name in order[number % len(order) :] + order[: number % len(order)]:
                seconds = await systems[name].change()
                if number >= 0:
                    delays[name].append(seconds)
                await asyncio.sleep(SPACING)
    return delays


async def _objects(clusters: Clients, kind: Resource) -> None:
    """The objects of a system on all clusters: the fabric brings its own there, for mirrors they are made."""
    for cluster in ("east",) if kind is OURS else ("west", "kcp", "east"):
        for number in range(OBJECTS):
            with suppress(AlreadyExists):  # an earlier measurement has left it
                await clusters[cluster].create(kind, parcel(kind, f"latency-{number}"), field_manager=MANAGER)
    for client in clusters.values():
        for number in range(OBJECTS):
            await _present(client, kind, f"latency-{number}")


async def _present(client: ApiClient, kind: Resource, name: str) -> None:
    async with asyncio.timeout(300):
        while True:
            try:
                await client.get(kind, name, NAMESPACE)
                return
            except NotFound:
                await asyncio.sleep(0.1)


def rows(delays: Delays) -> list[Row]:
    """Percentiles of each system, and ours over each other's."""
    found = []
    for system, seconds in delays.items():
        for percent in (50, 95, 99):
            found.append(_row(f"{system}, p{percent}", percentile(seconds, percent) * 1000, "ms", seconds))
    ours, bare = delays["fabric"], delays["bare mirror"]
    found.append(_row("fabric / bare mirror, p50", ratio(ours, bare, 50), "", ours, 1.3))
    found.append(_row("fabric / bare mirror, p99", ratio(ours, bare, 99), "", ours, 1.5))
    found.append(_row("fabric / bare mirror, median of the rounds' ratios", paired_ratio(ours, bare), "", ours))
    for percent in (50, 99):
        found.append(_row(f"fabric / kopf mirror, p{percent}", ratio(ours, delays["kopf mirror"], percent), "", ours))
    return found


def _row(figure: str, value: float, unit: str, of: Sequence[float], target: float | None = None) -> Row:
    return Row(SECTION, figure, value, unit, len(of), target)
