# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Many objects at once: until they are everywhere, what they cost, and what a syncer then weighs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from benchmarks import latency
from benchmarks.fabric import Clients, Fabric
from benchmarks.figures import Row, difference, percentile
from benchmarks.kinds import BARE, MANAGER, NAMESPACE, OURS, parcel
from benchmarks.lives import everywhere
from benchmarks.observe import View, of_resource, settled, watched
from benchmarks.processes import Usage
from benchmarks.recovery import recovery
from tmc.api.client import ApiClient
from tmc.api.resource import Resource

IN_FLIGHT = 32
IDLE = 20.0  # seconds over which idle processor time is taken
SYNCER_MIB = 150.0
BURST = "Many objects, created on east until they are on all clusters"
PROCESSES = "Processes"


async def measure(
    fabric: Fabric, counts: list[int], rounds: int, tell: Callable[[list[Row]], None], *, recover: bool
) -> None:
    """The bursts one after the other; what is left of the largest stays, for memory and recovery."""
    async with fabric.clients() as clusters, AsyncExitStack() as up:
        views = {name: await up.enter_async_context(watched(client, OURS)) for name, client in clusters.items()}
        for count in counts:
            prefix = f"many-{count}"
            tell(await burst(fabric, clusters, views, prefix, count))
            if count == counts[0] and len(counts) > 1:
                tell(await floor(clusters, count))
                tell(await removal(clusters, views, prefix, count))
        tell(await idle(fabric, counts[-1]))
        tell(await busy(clusters, counts[-1], rounds))
        if recover:
            for member in ("east", "west"):
                tell([await recovery(fabric, clusters, views, member, f"many-{counts[-1]}", counts[-1])])


async def burst(fabric: Fabric, clusters: Clients, views: dict[str, View], prefix: str, count: int) -> list[Row]:
    before, used = await settled(clusters, OURS.plural), fabric.usages()
    begun = time.perf_counter()
    arrived = asyncio.create_task(
        everywhere(views, lambda objects: len(objects) >= count and _have(objects, prefix) == count, "all objects")
    )
    await create(clusters["east"], OURS, prefix, count)
    accepted = time.perf_counter() - begun
    present = await arrived - begun
    spent = difference(of_resource(before, OURS.plural), of_resource(await settled(clusters, OURS.plural), OURS.plural))
    what = f"{count:,} objects"
    return [
        Row(BURST, f"{what}: accepted on east", accepted, "s", count),
        Row(
            BURST,
            f"{what}: on all {len(clusters)} clusters",
            present,
            "s",
            count,
            note=f"{count / present:.0f} a second",
        ),
        Row(BURST, f"{what}: writes in all", sum(spent.values()), "", count, note=_listed(spent)),
        *_processor(what, used, fabric.usages(), count),
    ]


def _processor(what: str, before: dict[str, Usage], after: dict[str, Usage], count: int) -> list[Row]:
    """Processor time of each process while they were carried, and memory afterwards."""
    return [
        Row(
            PROCESSES, f"{name}: memory at {what}", now.memory, "MiB", count,
            SYNCER_MIB if name.startswith("syncer") else None,
            note=f"{now.cpu - before.get(name, Usage(0, 0)).cpu:.1f} s of processor while they were created",
        )
        for name, now in sorted(after.items())
    ]  # fmt: skip


async def create(client: ApiClient, kind: Resource, prefix: str, count: int) -> None:
    """Create that many with `IN_FLIGHT` requests at a time."""
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            await client.create(kind, parcel(kind, f"{prefix}-{number}"), field_manager=MANAGER)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(one_after_the_other())


async def floor(clusters: Clients, count: int) -> list[Row]:
    """The same objects created on each cluster directly: what the API servers take without any fabric."""
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for client in clusters.values():
            group.create_task(create(client, BARE, "direct", count))
    seconds = time.perf_counter() - begun
    note = "no fabric: one write an object and cluster, no finalizers"
    return [Row(BURST, f"{count:,} objects: created on each cluster directly", seconds, "s", count, note=note)]


async def removal(clusters: Clients, views: dict[str, View], prefix: str, count: int) -> list[Row]:
    begun = time.perf_counter()
    path = OURS.path(NAMESPACE)
    await clusters["east"].request("DELETE", path)
    gone = await everywhere(views, lambda objects: len(objects) < count and _have(objects, prefix) == 0, "no objects")
    return [Row(BURST, f"{count:,} objects: deleted on east until gone everywhere", gone - begun, "s", count)]


async def idle(fabric: Fabric, count: int) -> list[Row]:
    before, begun = fabric.usages(), time.monotonic()
    await asyncio.sleep(IDLE)
    after, seconds = fabric.usages(), time.monotonic() - begun
    return [
        Row(
            PROCESSES,
            f"{name}: idle with {count:,} objects",
            (now.cpu - before[name].cpu) / seconds * 100,
            "% of a core",
        )
        for name, now in sorted(after.items())
        if name in before and name.split()[0] in ("syncer", "controller")
    ]


async def busy(clusters: Clients, count: int, rounds: int) -> list[Row]:
    """Status latency again, with all those objects there."""
    seconds = (await latency.compare(clusters, {"fabric": OURS}, rounds))["fabric"]
    return [
        Row(BURST, f"{count:,} objects: status latency west to east, p{percent}", value * 1000, "ms", rounds)
        for percent in (50, 99)
        for value in [percentile(seconds, percent)]
    ]


def _have(objects: Iterable[str], prefix: str) -> int:
    """How many are of a burst; dear, so it is asked only when there may be enough."""
    return sum(name.startswith(f"{prefix}-") for name in objects)


def _listed(spent: dict[tuple[str, str], int]) -> str:
    return ", ".join(f"{cluster} {write}: {n}" for (cluster, write), n in sorted(spent.items()))
