# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the hub loses as a whole: a kind whose definition is being deleted, a namespace that is.

All their objects are then being deleted on the hub, and that says nothing of their origins: it is no evidence.
"""

from __future__ import annotations

from collections.abc import Callable

from tmc.api.client import ApiClient
from tmc.api.errors import NotFound
from tmc.api.resource import NAMESPACES
from tmc.core.keys import ObjectKey
from tmc.core.reflector import Reflector
from tmc.sync.definitions import Definitions
from tmc.sync.objects import Object, is_deleting
from tmc.sync.shared_read import SharedRead


class HubScope:
    """`on_change` is called when another set of namespaces is being deleted on the hub."""

    def __init__(
        self, hub: ApiClient, definitions: Definitions, *, floor: float, on_change: Callable[[], None]
    ) -> None:
        self._hub = hub
        self._definitions = definitions
        self._on_change = on_change
        self._namespaces = Reflector(hub, NAMESPACES, on_change=self._looked, floor=floor)
        self._going: frozenset[str] = frozenset()
        self._reads: dict[str, SharedRead] = {}

    async def run(self) -> None:
        """Follow the hub's namespaces until cancelled."""
        await self._namespaces.run()

    async def wait_synced(self) -> None:
        await self._namespaces.wait_synced()

    @property
    def namespaces_terminating(self) -> frozenset[str]:
        """The hub's namespaces that are being deleted, as far as was seen."""
        return self._going

    def kind_terminating(self, name: str) -> bool:
        """Whether the hub is losing the whole kind, as far as was seen; `name` is that of its definition."""
        definition = self._definitions.get("hub", name)
        return definition is not None and is_deleting(definition)

    async def confirms(self, name: str, namespace: str) -> bool:
        """Whether a live read shows that neither the kind nor the namespace is being deleted on the hub, or gone.

        The read begins after the call, and is shared by those who call meanwhile: whoever saw an object being deleted
        before it knows then that this was done to the object itself. `namespace` is empty for a cluster-scoped kind.

        Raises:
            ApiError, Unreachable: the hub does not answer.
        """
        if await self._definitions.is_going("hub", name):
            return False
        return not namespace or not await self._is_going(namespace)

    async def _is_going(self, namespace: str) -> bool:
        read = self._reads.setdefault(namespace, SharedRead(lambda: self._read(namespace)))
        try:
            found = await read.fresh()
        finally:
            self._reads.pop(namespace, None)  # who waits keeps it; nobody is served by an old answer
        return found is None or is_deleting(found)

    async def _read(self, namespace: str) -> Object | None:
        try:
            found: Object = await self._hub.get(NAMESPACES, namespace)
        except NotFound:
            return None
        self._namespaces.store.remember(found)
        self._looked(ObjectKey("", namespace))
        return found

    def _looked(self, key: ObjectKey) -> None:
        namespace = self._namespaces.store.get(key)
        going = self._going - {key.name}
        if namespace is not None and is_deleting(namespace):
            going |= {key.name}
        if going != self._going:
            self._going = going
            self._on_change()
