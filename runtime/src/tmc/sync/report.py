# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What this syncer says on the hub: of its member, of how that stands to each kind, and of members that are silent.

Written only when it changes, and under the version that was seen: many syncers write the status of one kind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from tmc.api.errors import ApiError, Conflict, Unreachable
from tmc.api.resource import Resource
from tmc.core.events import EventRecorder
from tmc.core.workqueue import RetryAfter
from tmc.sync import names
from tmc.sync.conditions import READY, SILENT, SILENT_MESSAGE, Condition, now, with_conditions, with_entry, with_silent
from tmc.sync.ends import Ends
from tmc.sync.fabric import MEMBERS, SYNCED_RESOURCES, Fabric
from tmc.sync.objects import Object, metadata, status_of
from tmc.sync.patches import guarded
from tmc.sync.schema import Verdict

log = logging.getLogger(__name__)

AFTER_A_CONFLICT_SECONDS = 0.2
TRIES = 10


class Reporter:
    """See the module. The methods `say*` raise `RetryAfter` when somebody else was faster."""

    def __init__(self, ends: Ends, fabric: Fabric) -> None:
        self._ends = ends
        self._fabric = fabric
        self._recorder = EventRecorder(ends.clients["member"], names.FIELD_MANAGER)

    async def say(self, conditions: Collection[Condition], verdicts: Mapping[str, Verdict]) -> None:
        """Of this member, and of how it stands to each kind."""
        member = self._fabric.member(self._ends.member)
        if member is not None:
            await self._write(MEMBERS, member, with_conditions(status_of(member), conditions, now()))
        for name, verdict in verdicts.items():
            declared = self._fabric.declaration(name)
            if declared is not None:
                status = with_entry(status_of(declared), self._ends.member, verdict, now())
                await self._write(SYNCED_RESOURCES, declared, status)

    async def say_silent(self, silent: Collection[str]) -> None:
        """Of these other members, that they are not heard of; entries of those that have left go."""
        condition = Condition(READY, False, SILENT, SILENT_MESSAGE)
        for name in silent:
            member = self._fabric.member(name)
            if member is not None:
                await self._write(MEMBERS, member, with_conditions(status_of(member), [condition], now()))
        for name in self._fabric.kinds:
            declared = self._fabric.declaration(name)
            if declared is not None:
                status = with_silent(status_of(declared), silent, self._fabric.members, now())
                await self._write(SYNCED_RESOURCES, declared, status)

    async def event(self, name: str, reason: str, message: str) -> None:
        """An Event on the member's mirror of a kind: on the hub a syncer writes none. Best effort."""
        mirror = self._fabric.mirror(name)
        if mirror is not None:
            kind, version = SYNCED_RESOURCES.kind, SYNCED_RESOURCES.api_version
            await self._recorder.emit(mirror, kind, version, reason, message, warning=True)

    async def condition(self, name: str, condition: Condition) -> None:
        """One condition of a kind, on the status as it is now. Best effort: never raises for a fault of the hub."""
        hub = self._ends.clients["hub"]
        try:
            for _ in range(TRIES):
                declared = await hub.get(SYNCED_RESOURCES, name)
                try:
                    await self._write(
                        SYNCED_RESOURCES, declared, with_conditions(status_of(declared), [condition], now())
                    )
                except RetryAfter:
                    await asyncio.sleep(AFTER_A_CONFLICT_SECONDS)
                else:
                    return
        except (ApiError, Unreachable) as error:
            log.warning("the condition was not written", extra={"kind": name, "error": str(error)})

    async def _write(self, resource: Resource, obj: Object, status: Object) -> None:
        if status == status_of(obj):
            return
        ops = guarded([{"op": "add", "path": "/status", "value": status}], obj)
        try:
            patched = await self._ends.clients["hub"].patch(
                resource, metadata(obj)["name"], "", ops, field_manager=names.FIELD_MANAGER, subresource="status"
            )
        except Conflict as error:
            raise RetryAfter(AFTER_A_CONFLICT_SECONDS) from error
        self._fabric.remember(resource, patched)
