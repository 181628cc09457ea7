# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What more members cost: the same small measurements on fabrics of two, three and five."""

from __future__ import annotations

from benchmarks import latency, lives
from benchmarks.fabric import HUB, Fabric
from benchmarks.figures import Row, percentile, writes_ratio
from benchmarks.kinds import OURS

SECTION = "Cost as members grow"


async def measure(fabric: Fabric, rounds: int, number: int) -> list[Row]:
    """Status latency from west to east, writes of `number` lives from either end, and memory, on one fabric."""
    members = len(fabric.members)
    async with fabric.clients() as clusters:
        delays = (await latency.compare(clusters, {"fabric": OURS}, rounds))["fabric"]
        counted = {origin: await lives.parcels(clusters, number, origin) for origin in ("east", HUB)}
    memory = {name: now.memory for name, now in fabric.usages().items()}
    syncers = [mib for name, mib in memory.items() if name.startswith("syncer")]
    return [
        Row(SECTION, f"{members} members: status latency, p50", percentile(delays, 50) * 1000, "ms", rounds),
        Row(SECTION, f"{members} members: status latency, p99", percentile(delays, 99) * 1000, "ms", rounds),
        *_writes(members, counted["east"], number, "", lives.TARGET),
        # No target: here each member must put its finalizer on an object that somebody else has made, a write more.
        *_writes(members, counted[HUB], number, ", created on the hub", None),
        Row(SECTION, f"{members} members: memory of a syncer", max(syncers), "MiB", len(syncers), note="the largest"),
        Row(SECTION, f"{members} members: memory of all processes", sum(memory.values()), "MiB", len(memory)),
    ]


def _writes(members: int, counted: lives.Counts, number: int, origin: str, target: float | None) -> list[Row]:
    spent, what = sum(counted.values()) / number, lives.by_write(counted, number)
    over_least = writes_ratio(spent, members + 1, lives.STATUSES + 2)
    return [
        Row(SECTION, f"{members} members: writes a life{origin}", spent, "", number, note=what),
        Row(SECTION, f"{members} members: writes / (clusters x states){origin}", over_least, "", number, target),
    ]
