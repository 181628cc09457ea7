# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A reflector at work on one kind of a fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import Connection
from tmc.api.resource import Resource
from tmc.core.keys import ObjectKey
from tmc.core.reflector import Reflector

WIDGETS = Resource("demo.test", "v1", "widgets", "Widget")
NEVER = 3600.0  # a floor that no test lives to see: what arrives came by list or watch


def widget(name: str, size: int = 1, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "a", **metadata}, "spec": {"size": size}}


def key(name: str) -> ObjectKey:
    return ObjectKey("a", name)


@dataclass
class World:
    api: FakeApi
    client: ApiClient
    reflector: Reflector
    changes: list[ObjectKey]

    def size(self, name: str) -> int | None:
        held = self.reflector.store.get(key(name))
        return held["spec"]["size"] if held and "spec" in held else None

    def count(self, verb: str) -> int:
        return sum(call.verb == verb for call in self.api.calls)


@asynccontextmanager
async def world(
    api: FakeApi,
    *,
    floor: float = NEVER,
    synced: bool = True,
    grace: float | None = None,
    connection: Connection | None = None,
    timeout: float = 5,
    **options: Any,
) -> AsyncIterator[World]:
    changes: list[ObjectKey] = []
    async with ApiClient(connection or api.connection, timeout=timeout) as client:
        reflector = Reflector(client, WIDGETS, on_change=changes.append, floor=floor, **options)
        if grace is not None:
            reflector._grace = grace
        task = asyncio.create_task(reflector.run())
        try:
            if synced:
                await asyncio.wait_for(reflector.wait_synced(), 10)
                await eventually(lambda: api.watches, "the watch")
            yield World(api, client, reflector, changes)
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), f"the reflector ended by itself: {task.exception()!r}"
