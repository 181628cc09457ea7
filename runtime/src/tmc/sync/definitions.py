# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The custom resource definitions of the kinds that are carried, on both clusters, followed one by one.

A whole list of definitions can be many megabytes, so each is a small reflection of its own, selected by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from tmc.api.client import ApiClient
from tmc.api.errors import NotFound
from tmc.api.resource import CUSTOM_RESOURCE_DEFINITIONS
from tmc.core.keys import ObjectKey
from tmc.core.reflector import Reflector
from tmc.sync.objects import Object, is_deleting
from tmc.sync.operations import Side
from tmc.sync.shared_read import SharedRead


class Definitions:
    """`on_change` is called when a definition that is followed has changed on either cluster."""

    def __init__(self, clients: Mapping[Side, ApiClient], *, floor: float, on_change: Callable[[], None]) -> None:
        self._clients = clients
        self._floor = floor
        self._on_change = on_change
        self._followed: dict[str, dict[Side, Reflector]] = {}
        self._reads: dict[tuple[Side, str], SharedRead] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def follow(self, group: asyncio.TaskGroup, names: Collection[str]) -> None:
        """Follow exactly these definitions; `group` runs what that needs."""
        for name in set(self._followed) - set(names):
            del self._followed[name]
            for task in self._tasks.pop(name):
                task.cancel()
        for name in set(names) - set(self._followed):
            reflectors = {side: self._reflector(client, name) for side, client in self._clients.items()}
            self._followed[name] = reflectors
            self._tasks[name] = [group.create_task(reflector.run()) for reflector in reflectors.values()]

    def get(self, side: Side, name: str) -> Object | None:
        """The definition as it was seen last; None: there is none, or it is not known yet."""
        reflector = self._followed.get(name, {}).get(side)
        return reflector.store.get(ObjectKey("", name)) if reflector is not None else None

    async def read(self, side: Side, name: str) -> Object | None:
        """The definition as it is now; it is known from then on. Raises ApiError, Unreachable."""
        try:
            definition: Object = await self._clients[side].get(CUSTOM_RESOURCE_DEFINITIONS, name)
        except NotFound:
            return None
        self.remember(side, definition)
        return definition

    async def is_going(self, side: Side, name: str) -> bool:
        """Whether a cluster is losing the whole kind, by a live read that begins after the call.

        A kind without a definition is served by an aggregated API, which does not lose it in this way.

        Raises:
            ApiError, Unreachable: the cluster does not answer.
        """
        read = self._reads.setdefault((side, name), SharedRead(lambda: self.read(side, name)))
        try:
            found = await read.fresh()
        finally:
            self._reads.pop((side, name), None)  # who waits keeps it; nobody is served by an old answer
        return found is not None and is_deleting(found)

    def remember(self, side: Side, definition: Object) -> None:
        """Take in what was read elsewhere."""
        reflector = self._followed.get(definition["metadata"]["name"], {}).get(side)
        if reflector is not None:
            reflector.store.remember(definition)

    def _reflector(self, client: ApiClient, name: str) -> Reflector:
        return Reflector(
            client,
            CUSTOM_RESOURCE_DEFINITIONS,
            on_change=lambda _: self._on_change(),
            floor=self._floor,
            field_selector=f"metadata.name={name}",
        )
