# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Puts the parts together: what is followed, who leads, and what the leader does."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from tmc.api.client import ApiClient, Object
from tmc.controller.coordinator import Coordinator
from tmc.controller.executors import EXECUTORS
from tmc.controller.metrics import ControllerMetrics, CountedWriter
from tmc.controller.resources import SYNCED_RESOURCES, TASK_QUEUES, TERM_KEY, Standing, standing
from tmc.controller.settings import Settings
from tmc.controller.writer import FIELD_MANAGER, StatusWriter
from tmc.core.events import EventRecorder
from tmc.core.keys import ObjectKey
from tmc.core.lease import LeaderElector
from tmc.core.reflector import Reflector

LEASE: Final = "taskqueue-controller"
_PATIENCE_SECONDS: Final = 10.0
_LOG = logging.getLogger(__name__)


class Controller:
    """One process's candidacy. Replicas follow everything all the time, so that a successor starts at once."""

    def __init__(self, client: ApiClient, settings: Settings, metrics: ControllerMetrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics or ControllerMetrics()
        self._terms = Reflector(client, SYNCED_RESOURCES, on_change=lambda _: self._wake(), floor=settings.floor)
        self._queues = Reflector(client, TASK_QUEUES, on_change=self._changed, floor=settings.floor)
        self.elector = LeaderElector(client, settings.namespace, LEASE, field_manager=FIELD_MANAGER)
        self._events = EventRecorder(client, FIELD_MANAGER)
        self._telling: set[asyncio.Task[None]] = set()
        self._executor = EXECUTORS[settings.executor](client, settings)
        self.coordinator = Coordinator(
            cluster=settings.cluster,
            identity=self.elector.identity,
            objects=self._queues.store,
            writer=CountedWriter(StatusWriter(client, self._queues.store.remember), self._metrics),
            executor=self._executor,
            workers=settings.workers,
            standing=self._standing,
            now=_now,
            tell=self._tell,
        )

    async def prepare(self) -> None:
        """Raises SettingsError when this cluster is none that tasks can be carried out on as asked."""
        await self._executor.prepare()

    async def run(self) -> None:
        """Until cancelled. No fault of the API server ends it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._terms.run())
            group.create_task(self._queues.run())
            group.create_task(self._executor.run())
            group.create_task(self.elector.run(self._lead))

    async def _lead(self) -> None:
        await self._followed(self._terms)
        await self._followed(self._queues)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._executor.tend(self._standing))
            group.create_task(self.coordinator.run())

    async def _followed(self, reflector: Reflector) -> None:
        """Wait for the first list, saying now and then what is missing."""
        while True:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    return await reflector.wait_synced()
            except TimeoutError:
                _LOG.warning(
                    "waiting: %s cannot be read on cluster '%s'; is its CRD installed and the ClusterRole bound?",
                    reflector.resource.name,
                    self._settings.cluster,
                )

    def _changed(self, key: ObjectKey) -> None:
        self._metrics.seen(key, self._queues.store.get(key))
        self.coordinator.changed(key)

    def _wake(self) -> None:
        self.coordinator.wake()

    def _standing(self) -> Standing:
        # After a freeze timers fire late and in any order: nothing may be claimed before the elector has noticed, too.
        if not self.elector.leading:
            return Standing(None, "idle: the Lease has run out")
        return standing(self._settings.cluster, self._terms.store.get(TERM_KEY))

    def _tell(self, obj: Object, reason: str, message: str) -> None:
        emission = self._events.emit(obj, TASK_QUEUES.kind, TASK_QUEUES.api_version, reason, message, warning=True)
        task = asyncio.create_task(emission)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
