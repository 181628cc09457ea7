# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A hub and two members in memory, with a real syncer of one kind for each member."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import EVENTS, NAMESPACES, Resource
from tmc.sync import executor
from tmc.sync.brake import Brake
from tmc.sync.buried import Buried
from tmc.sync.ends import Ends
from tmc.sync.fabric import TOMBSTONES
from tmc.sync.kind import KindSyncer
from tmc.sync.synced_kind import SyncedKind

WIDGETS = Resource("example.org", "v1", "widgets", "Widget")
KIND = SyncedKind("widgets.example.org", "example.org", "v1", "widgets", processor="west", epoch=1, grace=300.0)
Object = dict[str, Any]


@dataclass
class Known:
    """What the syncers know of the fabric."""

    members: frozenset[str] = frozenset({"east", "west"})
    buried: Buried = field(default_factory=lambda: Buried("west"))
    quarantined: bool = False
    mirror_lags: bool = False  # of the member that has become the processor
    losing: frozenset[str] = frozenset()  # what the hub loses: namespaces, and the kind by the name `kind`
    seen_losing: frozenset[str] = frozenset()  # what of it was seen by itself
    hub_namespaces_terminating: frozenset[str] = frozenset()
    gone_away: frozenset[str] = frozenset()  # members that do not carry the kind at present
    brakes: dict[str, Brake] = field(default_factory=dict)

    def brake(self, name: str) -> Brake:
        return self.brakes.setdefault(name, Brake())

    def away(self, _name: str) -> frozenset[str]:
        return self.gone_away

    def hub_kind_terminating(self, _name: str) -> bool:
        return "kind" in self.seen_losing

    def hub_namespace_terminating(self, namespace: str) -> bool:
        return namespace in self.seen_losing

    async def confirms_own_deletion(self, _name: str) -> bool:
        return True

    async def confirms_deletion(self, _name: str, namespace: str) -> bool:
        await asyncio.sleep(0)
        self.seen_losing = self.losing
        return not self.losing & {"kind", namespace}

    def takes_over(self, _name: str) -> bool:
        return self.mirror_lags

    def term(self, _name: str) -> int | None:
        return None if self.quarantined else 2

    async def stand_by(self, _name: str) -> None:
        pass

    def levelled(self, _name: str, _epoch: int) -> None:
        self.mirror_lags = False


@dataclass
class Trio:
    """A hub and two members, and a syncer for each member."""

    apis: dict[str, FakeApi]
    known: Known
    syncers: dict[str, KindSyncer] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def shown(self, cluster: str, name: str = "w") -> Object | None:
        return self.apis[cluster].objects[WIDGETS.name].get(("default", name))

    def create(self, cluster: str, name: str = "w", size: int = 1) -> Object:
        meta = {"name": name, "namespace": "default"}
        return self.apis[cluster].put(WIDGETS, {"metadata": meta, "spec": {"size": size}})

    async def everywhere(self, name: str = "w") -> None:
        await eventually(lambda: all(self.shown(c, name) for c in self.apis), f"{name} is everywhere")

    async def nowhere(self, name: str = "w") -> None:
        await eventually(lambda: not any(self.shown(c, name) for c in self.apis), f"{name} is nowhere")

    async def hub_loses(self, name: str) -> None:
        """The hub copy is gone without having been deleted, and cannot be made anew."""

        async def full(_: Call) -> web.StreamResponse | None:
            return web.Response(status=503)

        hub = self.apis["kcp"]
        hub.intercept(full, "POST", WIDGETS.name, times=10**6)
        lost = hub.get(WIDGETS, name, "default")
        hub.put(WIDGETS, {**lost, "metadata": {**lost["metadata"], "finalizers": []}})
        del hub.objects[WIDGETS.name][("default", name)]
        hub.version += 1
        hub._tell("DELETED", WIDGETS, lost | {"metadata": lost["metadata"] | {"resourceVersion": "9999"}})
        await eventually(lambda: hub.calls[-1].verb == "POST", "the loss was seen")

    async def end(self, member: str) -> None:
        """Stop the syncer that this member began with."""
        task = self.tasks.pop(member)
        task.cancel()
        await asyncio.wait([task])

    @asynccontextmanager
    async def another(self, member: str) -> AsyncIterator[None]:
        """One more syncer for this member, which begins with nothing."""
        async with ApiClient(self.apis[member].connection) as own, ApiClient(self.apis["kcp"].connection) as hub:
            ends = Ends({"member": own, "hub": hub}, member, f"uid-{member}", "kcp", "uid-kcp")
            syncer = KindSyncer(ends, KIND, {"member": WIDGETS, "hub": WIDGETS}, self.known, floor=30.0)  # type: ignore[arg-type]
            task = asyncio.create_task(syncer.run())
            try:
                yield
                assert not task.done(), "it ended by itself"
            finally:
                task.cancel()
                await asyncio.wait([task])

    def told_since(self, version: int, cluster: str) -> list[Object]:
        """The objects of the kind as a cluster has shown them after this version."""
        history = self.apis[cluster]._history
        return [obj for at, resource, _, obj in history if at > version and resource == WIDGETS.name]

    def writes(self, cluster: str) -> list[str]:
        calls = self.apis[cluster].calls
        return [c.verb for c in calls if c.verb in ("POST", "PATCH", "DELETE") and c.resource == WIDGETS.name]


@asynccontextmanager
async def running(*, kind: SyncedKind = KIND, floor: float = 30.0, resource: Resource = WIDGETS) -> AsyncIterator[Trio]:
    async with AsyncExitStack() as stack:
        apis = {
            name: await stack.enter_async_context(FakeApi(resource, EVENTS, NAMESPACES, TOMBSTONES, name=name))
            for name in ("kcp", "east", "west")
        }
        trio = Trio(apis, Known())
        for member in ("east", "west"):
            clients = {
                "member": await stack.enter_async_context(ApiClient(apis[member].connection)),
                "hub": await stack.enter_async_context(ApiClient(apis["kcp"].connection)),
            }
            ends = Ends(clients, member, f"uid-{member}", "kcp", "uid-kcp")  # type: ignore[arg-type]
            syncer = KindSyncer(ends, kind, {"member": resource, "hub": resource}, trio.known, floor=floor)  # type: ignore[arg-type]
            trio.syncers[member] = syncer
            trio.tasks[member] = asyncio.create_task(syncer.run())
        try:
            yield trio
            assert not any(task.done() for task in trio.tasks.values()), "a syncer ended by itself"
        finally:
            for member in list(trio.tasks):
                await trio.end(member)


@contextmanager
def quick_second_opinion() -> Iterator[None]:
    before = executor.SECOND_OPINION_SECONDS, executor.SLOW_LANE_SECONDS
    executor.SECOND_OPINION_SECONDS, executor.SLOW_LANE_SECONDS = 0.02, 0.1
    yield
    executor.SECOND_OPINION_SECONDS, executor.SLOW_LANE_SECONDS = before
