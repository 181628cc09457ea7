# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""One observer: everything that one cluster shows of the probes, in the order in which it shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, NotFound, Unreachable
from tmc.api.resource import Resource
from tmc.validate.observations import Object, Observations, Sighting
from tmc.validate.probes import NAMESPACE

TASKQUEUES = Resource("demo.tmc.io", "v1", "taskqueues", "TaskQueue")

_WATCH_SECONDS = 300
_INACTIVITY_SECONDS = 90.0  # the server sends a bookmark about once a minute
_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class Changed:
    """Wakes who waits for a condition on the observations."""

    event: asyncio.Event

    def notify(self) -> None:
        self.event.set()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; it is looked at again after every sighting."""
        while not condition():
            self.event.clear()
            await self.event.wait()


class Watcher:
    """Records sightings of the named probes on one cluster, and its faults in `seen.trouble`."""

    def __init__(
        self, cluster: str, client: ApiClient, seen: Observations, names: frozenset[str], changed: Changed
    ) -> None:
        self._cluster, self._client, self._seen, self._names = cluster, client, seen, names
        self._changed = changed
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled; faults of the API server are noted and survived."""
        while True:
            try:
                version = await self._list()
                self.ready.set()
                await self._follow(version)
            except (ApiError, Unreachable) as error:
                self._seen.trouble[self._cluster] = str(error)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _list(self) -> int:
        """What is there now: catches up with whatever happened while no watch was open."""
        listed = await self._client.list(TASKQUEUES, NAMESPACE, metadata_only=True)
        present = {item["metadata"]["name"] for item in listed.items} & self._names
        for name in sorted(present):
            await self._look(name)
        for name in self._names - present:
            if self._last(name) is not None:
                self._sight(name, None)
        return listed.resource_version

    async def _look(self, name: str) -> None:
        try:
            self._sight(name, await self._client.get(TASKQUEUES, name, NAMESPACE))
        except NotFound:
            return  # it went since it was listed: the watch will tell

    async def _follow(self, version: int) -> None:
        stream = self._client.watch(
            TASKQUEUES, version, NAMESPACE, timeout_seconds=_WATCH_SECONDS, inactivity=_INACTIVITY_SECONDS
        )
        async with aclosing(stream) as events:
            async for event in events:
                name = event.object.get("metadata", {}).get("name", "")
                if event.type != "BOOKMARK" and name in self._names:
                    self._sight(name, None if event.type == "DELETED" else event.object)

    def _last(self, name: str) -> Object | None:
        sightings = self._seen.record(self._cluster, name).sightings
        return sightings[-1].object if sightings else None

    def _sight(self, name: str, obj: Object | None) -> None:
        """Add a sighting, unless it is a version seen already: after a list, the watch repeats what we read."""
        sightings = self._seen.record(self._cluster, name).sightings
        if obj is not None and any(_same_or_newer(sighting, obj) for sighting in sightings[-1:]):
            return
        sightings.append(Sighting(asyncio.get_running_loop().time(), obj))
        self._changed.notify()


def _same_or_newer(sighting: Sighting, obj: Object) -> bool:
    """Whether this observer has already seen this version of the object or a later one (one etcd, one counter)."""
    if sighting.object is None:
        return False
    return int(sighting.object["metadata"]["resourceVersion"]) >= int(obj["metadata"]["resourceVersion"])
