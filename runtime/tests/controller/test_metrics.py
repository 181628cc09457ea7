# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a controller counts is what its ledger says and what the API server saw."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry

from runtime.tests.controller.builders import queue_object
from runtime.tests.controller.stations import STATUS_WRITES, Ledger
from runtime.tests.controller.test_coordinator import phase
from runtime.tests.controller.test_service import synced
from runtime.tests.core.scraping import scrape
from runtime.tests.core.test_metrics import agrees
from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.controller.metrics import LEDGER, counting
from tmc.controller.resources import SYNCED_RESOURCES, TASK_QUEUES
from tmc.controller.service import Controller
from tmc.controller.settings import Settings


@asynccontextmanager
async def counted(api: FakeApi) -> AsyncIterator[tuple[CollectorRegistry, ApiClient]]:
    settings, registry = Settings("west", Path("unused"), "default", 5, 0.0, 10.0, "simulate"), CollectorRegistry()
    async with counting(registry) as metrics, ApiClient(api.connection) as client:
        running = asyncio.create_task(Controller(client, settings, metrics).run())
        try:
            yield registry, client
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def test_attempts_outcomes_writes_and_queues(api: FakeApi, ledger: Ledger) -> None:
    before = list(logging.getLogger(LEDGER).handlers)
    api.put(SYNCED_RESOURCES, synced())
    api.put(TASK_QUEUES, queue_object())
    api.fail("PATCH", 409, "Conflict", resource=TASK_QUEUES.name)
    async with counted(api) as (registry, client):
        await eventually(lambda: phase(api) == "Completed")
        await eventually(lambda: scrape(registry).value("tmc_taskqueue_queues", phase="Completed") == 1)
        found = scrape(registry)
        started = sum(ledger.attempts("started").values())
        assert started > 0
        assert found.value("tmc_taskqueue_attempts_total", event="started") == started
        assert found.value("tmc_taskqueue_attempts_total", event="succeeded") == started
        assert found.value("tmc_taskqueue_tasks_recorded_total", state="Succeeded") == sum(ledger.successes().values())
        assert found.value("tmc_taskqueue_status_writes_total", result="overtaken") == 1
        assert found.value("tmc_taskqueue_status_writes_total") == client.requests[STATUS_WRITES]
        agrees(found)
        api.remove(TASK_QUEUES, "q", "default")
        await eventually(lambda: scrape(registry).value("tmc_taskqueue_queues") == 0)
    assert logging.getLogger(LEDGER).handlers == before, "nothing is left behind"
