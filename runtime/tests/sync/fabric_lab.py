# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole syncers between fake clusters: a hub with declared kinds, a member, and definitions that tests may change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.sync.test_schema import NUMBER, TEXT, crd, struct
from runtime.tests.sync.trio import WIDGETS
from tmc.api.client import ApiClient
from tmc.api.resource import CUSTOM_RESOURCE_DEFINITIONS, EVENTS, LEASES, NAMESPACES
from tmc.sync.ends import Ends
from tmc.sync.fabric import MEMBERS, SYNCED_RESOURCES, TOMBSTONES
from tmc.sync.hub_memory import HubMemory
from tmc.sync.parameters import CONFIG_MAPS
from tmc.sync.syncer import Syncer

SPEC = {"group": "example.org", "version": "v1", "resource": "widgets", "processor": "kcp", "epoch": 1}
KIND = "widgets.example.org"
OTHER = "gadgets.example.org"
RESOURCES = (
    SYNCED_RESOURCES,
    MEMBERS,
    TOMBSTONES,
    WIDGETS,
    EVENTS,
    NAMESPACES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    LEASES,
)
FLOOR = 0.3
Object = dict[str, Any]

__all__ = ["NUMBER", "TEXT", "crd", "struct"]


@dataclass
class Cluster:
    """A fake API server that serves the kind while it has a definition of it."""

    api: FakeApi
    client: ApiClient

    def define(self, definition: Object, **metadata: Any) -> None:
        self.api.put(CUSTOM_RESOURCE_DEFINITIONS, {**definition, "metadata": {"name": KIND, **metadata}})

    def undefine(self) -> None:
        self.api.remove(CUSTOM_RESOURCE_DEFINITIONS, KIND)

    def serve(self) -> None:
        """Discovery, as it follows from the definition."""

        async def discover(call: Call) -> web.StreamResponse | None:
            if call.request.path != "/apis/example.org/v1":
                return None
            definition = self.api.objects[CUSTOM_RESOURCE_DEFINITIONS.name].get(("", KIND))
            if definition is None:
                return web.json_response({"reason": "NotFound", "code": 404}, status=404)
            spec = definition["spec"]
            entry = {"name": "widgets", "kind": spec["names"]["kind"], "namespaced": spec["scope"] == "Namespaced"}
            has_status = "subresources" in spec["versions"][0]
            return web.json_response({"resources": [entry, *([{**entry, "name": "widgets/status"}] * has_status)]})

        self.api.intercept(discover, times=10**6)


@dataclass
class Fabric:
    """A hub and one member, whose syncer runs in terms, one after the other."""

    hub: Cluster
    member: Cluster
    memory: HubMemory
    terms: list[asyncio.Task[None]] = field(default_factory=list)
    syncers: list[Syncer] = field(default_factory=list)
    uids: dict[str, str] = field(default_factory=lambda: {"member": "uid-east", "hub": "uid-kcp"})

    def begin(self) -> asyncio.Task[None]:
        clients = {"member": self.member.client, "hub": self.hub.client}
        ends = Ends(clients, "east", self.uids["member"], "kcp", self.uids["hub"])  # type: ignore[arg-type]
        self.syncers.append(Syncer(ends, floor=FLOOR, memory=self.memory))
        self.terms.append(asyncio.create_task(self.syncers[-1].run()))
        return self.terms[-1]

    async def end(self) -> None:
        for term in self.terms:
            term.cancel()
        await asyncio.wait(self.terms)

    def mirror_note(self, note: str = "hub-uid") -> str:
        """An annotation of the kind's mirror on the member; empty: there is none."""
        mirror = self.member.api.objects[SYNCED_RESOURCES.name].get(("", KIND), {"metadata": {}})
        return str((mirror["metadata"].get("annotations") or {}).get(f"tmc.io/{note}", ""))

    def annotate_mirror(self, note: str, value: str | None) -> None:
        """As a person does it; None takes the annotation off."""
        mirror = self.member.api.get(SYNCED_RESOURCES, KIND)
        notes = mirror["metadata"].setdefault("annotations", {})
        notes.pop(f"tmc.io/{note}", None)
        if value is not None:
            notes[f"tmc.io/{note}"] = value
        self.member.api.put(SYNCED_RESOURCES, mirror)

    def condition(self, kind: str = "Ready", member: str = "east") -> tuple[str, str]:
        """(status, reason) of the Member's condition; empty before it is said."""
        conditions = (self.hub.api.get(MEMBERS, member).get("status") or {}).get("conditions") or []
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == kind), ("", ""))

    def entry(self, member: str = "east", name: str = KIND) -> Object:
        entries = (self.hub.api.get(SYNCED_RESOURCES, name).get("status") or {}).get("members") or []
        return next((entry for entry in entries if entry["name"] == member), {})

    def kind_ready(self, name: str = KIND) -> tuple[str, str]:
        conditions = (self.hub.api.get(SYNCED_RESOURCES, name).get("status") or {}).get("conditions") or []
        return next(((c["status"], c["reason"]) for c in conditions), ("", ""))


def widget(name: str = "w", **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec or {"size": 1}}


@asynccontextmanager
async def fabric(*, definitions: bool = True, members: tuple[str, ...] = ("east",)) -> AsyncIterator[Fabric]:
    async with (
        FakeApi(*RESOURCES, name="kcp") as hub,
        FakeApi(*RESOURCES, name="east") as member,
        ApiClient(hub.connection) as remote,
        ApiClient(member.connection) as local,
    ):
        both = Fabric(Cluster(hub, remote), Cluster(member, local), HubMemory(local))
        for cluster, uid in ((both.hub, "uid-kcp"), (both.member, "uid-east")):
            cluster.serve()
            cluster.api.put(NAMESPACES, {"metadata": {"name": "kube-system", "uid": uid}})
            cluster.api.put(NAMESPACES, {"metadata": {"name": "default"}})
            if definitions:
                cluster.define(crd())
        for name in members:
            hub.put(MEMBERS, {"metadata": {"name": name}, "spec": {"clusterUID": f"uid-{name}"}})
        hub.put(SYNCED_RESOURCES, {"metadata": {"name": KIND}, "spec": SPEC})
        both.begin()
        try:
            yield both
        finally:
            await both.end()
