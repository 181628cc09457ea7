"""What the hub loses as a whole: a kind whose definition is being deleted, a namespace that is.

All their objects are then being deleted on the hub, and that says nothing of their origins: it is no evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tmc.api.client import ApiClient
from tmc.api.errors import NotFound
from tmc.api.resource import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Resource
from tmc.core.keys import ObjectKey
from tmc.core.reflector import Reflector
from tmc.sync.definitions import Definitions
from tmc.sync.objects import Object, is_deleting


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
        self._reads: dict[tuple[str, str], SharedRead] = {}

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
        scopes = [(CUSTOM_RESOURCE_DEFINITIONS, name)] + ([(NAMESPACES, namespace)] if namespace else [])
        return not any([await self._is_going(resource, scope) for resource, scope in scopes])

    async def _is_going(self, resource: Resource, name: str) -> bool:
        read = self._reads.setdefault((resource.name, name), SharedRead(lambda: self._read(resource, name)))
        try:
            found = await read.fresh()
        finally:
            self._reads.pop((resource.name, name), None)  # who waits keeps it; nobody is served by an old answer
        if found is None:  # a kind without a definition is served by an aggregated API, which does not lose it so
            return resource is NAMESPACES
        return is_deleting(found)

    async def _read(self, resource: Resource, name: str) -> Object | None:
        try:
            found = await self._hub.get(resource, name)
        except NotFound:
            return None
        if resource is NAMESPACES:
            self._namespaces.store.remember(found)
            self._looked(ObjectKey("", name))
        else:
            self._definitions.remember("hub", found)
        return found

    def _looked(self, key: ObjectKey) -> None:
        namespace = self._namespaces.store.get(key)
        going = self._going - {key.name}
        if namespace is not None and is_deleting(namespace):
            going |= {key.name}
        if going != self._going:
            self._going = going
            self._on_change()


class SharedRead:
    """Reads what `read()` reads for many who ask at about the same time; nobody gets an answer from before."""

    def __init__(self, read: Callable[[], Awaitable[Object | None]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._begun = self._answered = 0  # reads are counted; the number of the one that `_answer` is from
        self._answer: Object | None = None

    async def fresh(self) -> Object | None:
        """The answer of a read that began after this call. Raises what `read()` raises."""
        asked = self._begun
        async with self._lock:
            if self._answered <= asked:
                self._begun += 1
                self._answer = await self._read()
                self._answered = self._begun
            return self._answer
