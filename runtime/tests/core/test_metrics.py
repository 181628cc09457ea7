# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of every process, and that docs/metrics.md and the registries say the same."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from runtime.tests.core.reflecting import WIDGETS, widget, world
from runtime.tests.core.scraping import Scrape, scrape
from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import LEASES
from tmc.controller.metrics import ControllerMetrics
from tmc.core.lease import LeaderElector
from tmc.core.metrics import new_registry
from tmc.core.vitals import Vitals
from tmc.core.workqueue import WorkQueue
from tmc.sync.metrics import SyncMetrics

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(tmc_\w+)` \| (\w+) \| ([\w, ]*) \|", re.MULTILINE)


def documented() -> dict[str, tuple[str, set[str]]]:
    return {name: (kind, set(labels.split(", "))) for name, kind, labels in ROW.findall(DOCUMENT.read_text())}


def everything() -> CollectorRegistry:
    registry = new_registry("test", Vitals(), [])
    SyncMetrics("east", registry)
    ControllerMetrics(registry)
    return registry


def test_the_document_has_every_metric_with_its_type() -> None:
    served = {name: kind for name, kind in scrape(everything()).types.items() if name.startswith("tmc_")}
    assert {name: kind for name, (kind, _) in documented().items()} == served


def agrees(found: Scrape) -> None:
    """What has samples is in the document, and has the labels that it has there."""
    assert {name for name in found.types if name.startswith("tmc_")} <= set(documented())
    for name, (_, labels) in documented().items():
        assert found.labels(name) in (set(), labels), name


def test_registries_share_nothing() -> None:
    first, second = everything(), everything()
    metrics = SyncMetrics("east", CollectorRegistry())
    metrics.written("widgets", "hub", "copy")
    assert scrape(first).value("tmc_sync_writes_total") == scrape(second).value("tmc_sync_writes_total") == 0


async def test_reflectors(api: FakeApi) -> None:
    mine = Vitals()
    place = {"cluster": "fake", "resource": WIDGETS.name}
    with mine.noting():
        async with world(api, floor=0.05) as at:
            registry = new_registry("test", mine, [at.client])

            def value(name: str, **labels: str) -> float:
                return scrape(registry).value(f"tmc_reflector_{name}", **place, **labels)

            assert (value("lists_total"), value("objects"), value("events_total")) == (1, 1, 0)
            api.put(WIDGETS, widget("two"))
            await eventually(lambda: value("events_total") == 1)
            await eventually(lambda: value("comparisons_total") > 1)
            healed, differences = value("healed_objects_total"), value("differences_total")
            api.hang_watches()
            api.put(WIDGETS, widget("three"))
            await eventually(lambda: value("healed_objects_total") == healed + 1)
            await eventually(lambda: value("restarts_total", reason="replaced") >= 1)
            assert value("differences_total") == differences + 1
            await eventually(lambda: any(not watch.hung for watch in api.watches))
            api.end_watches()
            await eventually(
                lambda: value("restarts_total", reason="ended") + value("restarts_total", reason="failed") >= 1
            )
            assert value("last_contact_age_seconds") < 10

            def sent() -> float:
                return scrape(registry).value("tmc_api_requests_total", cluster="fake")

            await eventually(lambda: sent() == len(api.calls), "all that was sent has arrived")
            agrees(scrape(registry))
    assert value("objects") == 0, "a reflector that has ended holds nothing"
    assert value("events_total") > 0, "but what it counted stays"


async def test_queues() -> None:
    mine = Vitals()
    with mine.noting():
        queue = WorkQueue[str]("things")
    registry = new_registry("test", mine, [])

    def value(name: str) -> float:
        return scrape(registry).value(f"tmc_queue_{name}", queue="things")

    go_on = asyncio.Event()

    async def handler(key: str) -> None:
        await go_on.wait()
        if key == "bad":
            raise ValueError(key)

    task = asyncio.create_task(queue.run(handler, workers=1))
    for key in ("bad", "one", "two"):
        queue.add(key)
    await eventually(lambda: value("handled_total") == 1)
    assert value("depth") == 3
    go_on.set()
    await eventually(lambda: value("depth") == 1, "the bad one waits")
    assert value("failures_total") >= 1
    agrees(scrape(registry))
    task.cancel()
    await asyncio.wait([task])


async def test_leases() -> None:
    mine = Vitals()

    async def lead() -> None:
        await asyncio.Event().wait()

    async with FakeApi(LEASES) as api, ApiClient(api.connection) as client:
        for transitions in range(2):
            with mine.noting():
                elector = LeaderElector(client, "a", "l", duration=30, renew=0.1)
            registry = new_registry("test", mine, [])
            task = asyncio.create_task(elector.run(lead))
            await eventually(lambda: scrape(registry).value("tmc_leader", lease="a/l") == 1)  # noqa: B023
            assert scrape(registry).value("tmc_lease_transitions_total", lease="a/l") == transitions
            agrees(scrape(registry))
            task.cancel()
            await asyncio.wait([task])
