# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""How many writes an object's life costs, as the API servers count them."""

from __future__ import annotations

from contextlib import AsyncExitStack

from benchmarks.fabric import Clients, Fabric
from benchmarks.figures import Row, difference, writes_ratio
from benchmarks.kinds import MANAGER, NAMESPACE, OURS, TASK_QUEUES, parcel, status, step_of, task_queue
from benchmarks.observe import Object, View, of_resource, settled, watched
from tmc.api.resource import Resource

SECTION = "API writes of an object's life"
STATUSES = 5
TARGET = 1.2
Counts = dict[tuple[str, str], int]


async def measure(fabric: Fabric, lives: int, queues: int) -> list[Row]:
    """Lives of parcels, whose statuses are written here, and of TaskQueues, which the fabric's controller completes."""
    async with fabric.clients() as clusters:
        spent = await parcels(clusters, lives)
        found = _rows(f"Parcel, {STATUSES} statuses", spent, lives, len(clusters), STATUSES)
        if queues:
            spent, statuses = await task_queues(clusters, queues)
            found += _rows("TaskQueue of 5 tasks", spent, queues, len(clusters), statuses / queues)
    return found


async def parcels(clusters: Clients, lives: int, origin: str = "east") -> Counts:
    """Created on `origin`, its status changed on west when everybody has seen the last change, deleted on `origin`."""
    async with AsyncExitStack() as up:
        views = await _views(up, clusters, OURS)
        before = await settled(clusters, OURS.plural)
        for number in range(lives):
            name = f"life-{number}"
            made = await clusters[origin].create(OURS, parcel(OURS, name), field_manager=MANAGER)
            await everywhere(views, lambda objects, name=name: name in objects, f"{name} is there")
            for step in range(1, STATUSES + 1):
                await clusters["west"].patch(
                    OURS, name, NAMESPACE, status(step), field_manager=MANAGER, subresource="status"
                )
                await everywhere(
                    views, lambda objects, n=name, s=step: step_of(objects.get(n, {})) == s, f"{name} shows {step}"
                )
            await clusters[origin].delete(OURS, name, NAMESPACE, uid=made["metadata"]["uid"])
            await everywhere(views, lambda objects, name=name: name not in objects, f"{name} is gone")
        return difference(
            of_resource(before, OURS.plural), of_resource(await settled(clusters, OURS.plural), OURS.plural)
        )


async def task_queues(clusters: Clients, lives: int) -> tuple[Counts, int]:
    """Writes, and how many statuses the processor has shown of all of them."""
    async with AsyncExitStack() as up:
        views = await _views(up, clusters, TASK_QUEUES)
        plural, processor = TASK_QUEUES.plural, views["west"]
        before, shown = await settled(clusters, plural), processor.statuses.total()
        for number in range(lives):
            name = f"life-{number}"
            made = await clusters["east"].create(TASK_QUEUES, task_queue(name), field_manager=MANAGER)
            await everywhere(views, lambda objects, name=name: completed(objects.get(name, {})), f"{name} is completed")
            await clusters["east"].delete(TASK_QUEUES, name, NAMESPACE, uid=made["metadata"]["uid"])
            await everywhere(views, lambda objects, name=name: name not in objects, f"{name} is gone")
        after = await settled(clusters, plural)
        return difference(of_resource(before, plural), of_resource(after, plural)), processor.statuses.total() - shown


def completed(obj: Object) -> bool:
    return bool(obj.get("status", {}).get("phase") == "Completed")


async def everywhere(views: dict[str, View], holds: object, what: str) -> float:
    """When the last cluster was seen to have it."""
    return max([await view.until(holds, f"{what} on {name}") for name, view in views.items()])  # type: ignore[arg-type]


async def _views(up: AsyncExitStack, clusters: Clients, kind: Resource) -> dict[str, View]:
    return {name: await up.enter_async_context(watched(client, kind)) for name, client in clusters.items()}


def by_write(spent: Counts, lives: int) -> str:
    """Each cluster's writes of one life, for people."""
    return ", ".join(f"{cluster} {write}: {n / lives:g}" for (cluster, write), n in sorted(spent.items()))


def _rows(what: str, spent: Counts, lives: int, clusters: int, statuses: float) -> list[Row]:
    total = sum(spent.values()) / lives
    states = statuses + 2  # it is there; each status; it is gone
    return [
        Row(SECTION, f"{what}: writes a life", total, "", lives, note=by_write(spent, lives)),
        Row(
            SECTION, f"{what}: writes / (clusters x states)", writes_ratio(total, clusters, states), "", lives, TARGET,
            note=f"{clusters} clusters, {states:g} states: created, {statuses:g} statuses, gone",
        ),
    ]  # fmt: skip
