# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The collecting shell: looks at a fabric, sends probes through it, and always takes them away again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, NotFound, Unreachable
from tmc.api.resource import NAMESPACES, Resource
from tmc.validate.attempts import edit_spec, forge_status
from tmc.validate.cleanup import remove_abandoned, remove_probes
from tmc.validate.comparison import differences
from tmc.validate.contract import RESOURCE_NAME, TERMINAL_PHASES, VALIDATOR_MANAGER, comparable_status
from tmc.validate.judgement.controller import expected_leases
from tmc.validate.leases import sample_until_live
from tmc.validate.observations import Cluster, Comparison, Fabric, Object, Observations, Probe
from tmc.validate.probes import manifest, new_probe
from tmc.validate.watching import TASKQUEUES, Changed, Watcher

SYNCED_RESOURCES = Resource("fabric.tmc.io", "v1alpha1", "syncedresources", "SyncedResource", namespaced=False)
MEMBERS = Resource("fabric.tmc.io", "v1alpha1", "members", "Member", namespaced=False)

CLEANUP_SECONDS = 10.0
_COMPARE_EVERY_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When each phase must have ended, on the event loop's clock: shares of the whole time."""

    watching: float
    followed: float
    examined: float
    gone: float

    @classmethod
    def of(cls, timeout: float) -> Deadlines:
        start = asyncio.get_running_loop().time()
        return cls(start + 0.2 * timeout, start + 0.6 * timeout, start + 0.7 * timeout, start + timeout)


class Collector:
    """Fills `seen`. `clients`: one for each cluster of the fabric, opened. `left`: what could not be cleaned up."""

    def __init__(self, seen: Observations, clients: dict[str, ApiClient]) -> None:
        self._seen, self._clients = seen, clients
        self._changed = Changed(asyncio.Event())
        self.left: list[str] = []

    async def run(self, timeout: float) -> None:
        """Observe within `timeout` seconds (plus 10 s for cleaning up). Faults of clusters become observations."""
        deadlines = Deadlines.of(timeout)
        await _by(deadlines.watching, self._identify())
        if not all(cluster.reachable for cluster in self._seen.clusters.values()):
            return
        await _by(deadlines.watching, self._declaration())
        fabric = self._seen.fabric()
        if fabric is None or fabric.processor not in self._seen.names:
            return
        with suppress(ApiError, Unreachable):  # whatever stops this stops our own probes too, and is told there
            await _by(deadlines.watching, remove_abandoned(self._clients))
        await self._probe(fabric, deadlines)

    async def _identify(self) -> None:
        """Ask every cluster who it is. One that has not answered in time counts as unreachable."""
        for name in self._seen.names:
            self._seen.clusters[name] = Cluster(name, False, error="no answer in time")
        await asyncio.gather(*(self._identify_one(name) for name in self._seen.names))

    async def _identify_one(self, name: str) -> None:
        client = self._clients[name]
        try:
            version = str((await client.request("GET", "/version")).get("gitVersion", ""))
            uid = str((await client.get(NAMESPACES, "kube-system"))["metadata"]["uid"])
        except (ApiError, Unreachable) as error:
            self._seen.clusters[name] = Cluster(name, False, error=str(error))
        else:
            self._seen.clusters[name] = Cluster(name, True, version, uid)

    async def _declaration(self) -> None:
        found = await asyncio.gather(*(self._synced(name) for name in self._seen.names))
        self._seen.synced = dict(zip(self._seen.names, found, strict=True))
        try:
            members = (await self._clients[self._seen.hub].list(MEMBERS)).items
        except (ApiError, Unreachable) as error:
            self._seen.trouble[self._seen.hub] = str(error)
        else:
            self._seen.member_uids = {m["metadata"]["name"]: m.get("spec", {}).get("clusterUID", "") for m in members}

    async def _synced(self, cluster: str) -> Object | None:
        try:
            return await self._clients[cluster].get(SYNCED_RESOURCES, RESOURCE_NAME)
        except (ApiError, Unreachable) as error:
            self._seen.trouble[cluster] = str(error)
            return None

    async def _probe(self, fabric: Fabric, deadlines: Deadlines) -> None:
        """Create the probes, look at everything, delete them; they are asked to go however this ends."""
        seen = self._seen
        seen.probes = [new_probe(name) for name in seen.names]
        names = frozenset(probe.name for probe in seen.probes)
        watchers = [Watcher(name, self._clients[name], seen, names, self._changed) for name in seen.names]
        background = [asyncio.create_task(watcher.run()) for watcher in watchers]
        try:
            await _by(deadlines.watching, asyncio.gather(*(watcher.ready.wait() for watcher in watchers)))
            aside = [
                asyncio.create_task(_by(deadlines.examined, work))
                for work in (
                    sample_until_live(self._clients, expected_leases(seen, fabric), seen.leases),
                    self._compare(fabric),
                )
            ]
            background += aside
            await self._follow(fabric, deadlines)
            await asyncio.gather(*aside)
            await self._delete(deadlines)
            seen.synced_after = await self._synced(seen.hub)
        finally:
            for task in background:
                task.cancel()
            self.left = await _uninterrupted(remove_probes(self._clients, seen.probes), CLEANUP_SECONDS)
        for ended in await asyncio.gather(*background, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended  # a defect of ours: never to be mistaken for a silent cluster

    async def _follow(self, fabric: Fabric, deadlines: Deadlines) -> None:
        """Create the probes, wait until all clusters show them finished, then look at each closely."""
        seen, start = self._seen, asyncio.get_running_loop().time()
        await _by(deadlines.followed, asyncio.gather(*(self._create(probe) for probe in seen.probes)))
        await _by(deadlines.followed, self._changed.wait_for(lambda: _settled(seen, fabric)))
        seen.followed_for = asyncio.get_running_loop().time() - start
        looks = [self._examine(name, probe, fabric) for name in seen.names for probe in seen.probes]
        await _by(deadlines.examined, asyncio.gather(*looks))

    async def _create(self, probe: Probe) -> None:
        created_at = asyncio.get_running_loop().time()
        try:
            stored = await self._clients[probe.origin].create(
                TASKQUEUES, manifest(probe), field_manager=VALIDATOR_MANAGER
            )
        except (ApiError, Unreachable) as error:
            probe.error = str(error)
        else:
            probe.stored, probe.created_at = stored, created_at

    async def _examine(self, cluster: str, probe: Probe, fabric: Fabric) -> None:
        """One probe on one cluster: the object with its managedFields, then the writes that must be refused."""
        client, view = self._clients[cluster], self._seen.record(cluster, probe.name)
        try:
            view.final = await client.get(TASKQUEUES, probe.name, probe.namespace)
        except NotFound:
            return
        except (ApiError, Unreachable) as error:
            self._seen.trouble[cluster] = str(error)
            return
        view.status_attempt = await forge_status(client, probe, view.final, fabric)
        if cluster != probe.origin:
            view.spec_attempt = await edit_spec(client, probe)

    async def _compare(self, fabric: Fabric) -> None:
        """Compare all TaskQueues until each has agreed once: what runs is not equal at every moment."""
        comparison = self._seen.comparison = Comparison(error="not done in time")
        uids = {name: cluster.uid for name, cluster in self._seen.clusters.items()}
        first_round = True
        while first_round or comparison.unresolved:
            try:
                lists = await asyncio.gather(*(client.list(TASKQUEUES) for client in self._clients.values()))
            except (ApiError, Unreachable) as error:
                comparison.error = str(error)
            else:
                snapshot = {name: found.items for name, found in zip(self._clients, lists, strict=True)}
                compared, found = differences(snapshot, uids, fabric.processor)
                if first_round:
                    comparison.compared, comparison.unresolved = compared, found
                comparison.unresolved = {key: found[key] for key in comparison.unresolved if key in found}
                comparison.error, first_round = "", False
            if first_round or comparison.unresolved:
                await asyncio.sleep(_COMPARE_EVERY_SECONDS)

    async def _delete(self, deadlines: Deadlines) -> None:
        """Delete the probes on their origins and wait until they are gone everywhere, then make sure of it."""
        seen = self._seen
        seen.deletion_at = asyncio.get_running_loop().time()
        self.left = await remove_probes(self._clients, seen.probes)
        await _by(deadlines.gone, self._changed.wait_for(lambda: _all_gone(seen)))
        await asyncio.gather(*(self._confirm_gone(name, probe) for name in seen.names for probe in seen.probes))

    async def _confirm_gone(self, cluster: str, probe: Probe) -> None:
        view = self._seen.record(cluster, probe.name)
        try:
            await self._clients[cluster].get(TASKQUEUES, probe.name, probe.namespace)
        except NotFound:
            went_at = view.sightings[-1].at if view.sightings else self._seen.deletion_at
            view.gone_after = (went_at or 0.0) - (self._seen.deletion_at or 0.0)
        except (ApiError, Unreachable) as error:
            self._seen.trouble[cluster] = str(error)


def _settled(seen: Observations, fabric: Fabric) -> bool:
    """Whether every probe is finished and every cluster shows the processor's status."""
    for probe in seen.probes:
        statuses = [comparable_status(_last(seen, name, probe)) for name in (fabric.processor, *seen.names)]
        if statuses[0].get("phase") not in TERMINAL_PHASES or any(status != statuses[0] for status in statuses):
            return False
    return True


def _all_gone(seen: Observations) -> bool:
    return all(_last(seen, name, probe) is None for name in seen.names for probe in seen.probes)


def _last(seen: Observations, cluster: str, probe: Probe) -> Object | None:
    sightings = seen.view(cluster, probe).sightings
    return sightings[-1].object if sightings else None


async def _by(deadline: float, work: Awaitable[object]) -> None:
    """Do the work, for as long as there is time: what is not done by then is seen in the observations."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            await work


async def _uninterrupted(work: Awaitable[list[str]], seconds: float) -> list[str]:
    """Finish the work although our task is being cancelled (a second Ctrl-C too), for at most so many seconds."""
    task = asyncio.ensure_future(work)
    end = asyncio.get_running_loop().time() + seconds
    interrupted: asyncio.CancelledError | None = None
    while not task.done() and (rest := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.wait({task}, timeout=rest)
        except asyncio.CancelledError as error:
            interrupted = error
    if not task.done():
        task.cancel()
    if interrupted is not None:
        raise interrupted
    return task.result() if task.done() else ["probes could not be removed in time"]
