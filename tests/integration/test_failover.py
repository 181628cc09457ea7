# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The processor's member is lost while work goes on, and a candidate takes over: on three real control planes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.deployed_fabric import Fabric
from tests.integration.taskqueues import SYNCED_RESOURCES, TASK_QUEUES, eventually, refusal
from tests.integration.test_fabric import (
    Clients,
    Obj,
    clusters,
    completed_everywhere,
    create,
    delete,
    fresh,
    gone_everywhere,
    queue,
    shown,
)
from tests.integration.test_move_processor import Observer, done, done_again, finished_by_east, observers
from tmc.api.client import ApiClient
from tmc.api.errors import Forbidden
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import EVENTS
from tmc.sync.parameters import CONFIG_MAPS

__all__ = ["clusters", "observers"]
QUEUES, TASKS = 8, 6
CONTROLLER, SYNCER = "taskqueue-controller-west", "kcp-syncer-west"
SECONDS = 30  # the shortest
ON = ("-e", json.dumps({"tmc_failover_candidates": ["east"], "tmc_failover_after": SECONDS}))


@pytest.fixture(scope="module")
def candidate(fabric: Fabric) -> Iterator[None]:
    """East is one. However the tests end: west is the processor again, and there is no failover."""
    fabric.play_or_fail("deploy", "-e", "tmc_provider=embedded", *ON)
    try:
        yield
    finally:
        fabric.play_or_fail("deploy", "-e", "tmc_provider=embedded")
    assert not [program for program in fabric.programs() if "taskqueue-controller-east" in program]


@pytest.fixture
def west(fabric: Fabric, candidate: None) -> Iterator[None]:
    """It is the processor, and east's controller stands by; the play looks for that. It is awake when the test ends."""
    fabric.play_or_fail("move-processor", "-e", "tmc_processor=west", *ON)
    yield
    for program in (CONTROLLER, SYNCER):
        os.kill(fabric.pid(program), signal.SIGCONT)


@pytest.mark.parametrize("lost", [(CONTROLLER, SYNCER), (SYNCER,)], ids=["lost", "cut off, and works on"])
async def test_a_candidate_takes_over_what_a_lost_member_worked_on(
    fabric: Fabric, clusters: Clients, observers: Any, west: None, lost: tuple[str, ...]
) -> None:
    hub = clusters["kcp"]
    before, failovers = await processor(hub), await asyncio.to_thread(counted, fabric)
    assert before[0] == "west"
    names = [fresh("over") for _ in range(QUEUES)]
    observed: dict[str, Observer] = observers(names)
    origins = {name: ("east", "west", "kcp")[i % 3] for i, name in enumerate(names)}
    for name, origin in origins.items():
        await create(clusters[origin], slow(name))
    await eventually(lambda: begun(hub, names), "some work is done, and some is not")
    for program in lost:
        os.kill(fabric.pid(program), signal.SIGSTOP)
    known = {name: done(await shown(hub, name)) for name in names}
    assert 0 < sum(map(len, known.values())) < QUEUES * TASKS

    await eventually(lambda: heard_no_more(hub), "west is said to be silent")
    await eventually(lambda: moved(hub), "east is the processor")

    assert await processor(hub) == ("east", before[1] + 1)
    seen = {name: await eventually(lambda n=name: finished_by_east(clusters, n), f"{name} is done") for name in names}
    assert {status["processingCluster"] for status in seen.values()} >= {"east-controller"}
    for name, tasks in known.items():
        assert tasks.items() <= done({"status": seen[name]}).items(), "what the hub knew to be done was done again"
    await told(clusters, before[1] + 1)
    assert await asyncio.to_thread(counted, fabric) == failovers + 1

    for program in lost:
        os.kill(fabric.pid(program), signal.SIGCONT)
    await eventually(lambda: moved(clusters["west"]), "west has heard of it")
    for name in names:
        everywhere = await completed_everywhere(clusters, name)
        assert everywhere["kcp"]["status"] == seen[name], "west, which came back, changed what the hub says"
        await eventually(lambda n=name: level(clusters, n), f"{name} shows everywhere what east has done")
    assert await processor(hub) == ("east", before[1] + 1), "nothing moves back by itself"
    for cluster, observer in observed.items():
        for name, statuses in observer.seen.items():
            progress = [status.get("completedTasks", 0) for status in statuses]
            assert progress == sorted(progress), f"progress of {name} went back on {cluster}: {progress}"
    assert not done_again(fabric.state_dir / "logs", known)
    await no_candidate_takes_over(fabric)
    fabric.play_or_fail("move-processor", "-e", "tmc_processor=west", *ON)
    await eventually(lambda: news(hub, "Moved"), "the condition FailedOver is taken back")
    for name, origin in origins.items():
        await delete(clusters[origin], name)
        await gone_everywhere(clusters, name)


def slow(name: str) -> Obj:
    made = queue(name, tasks=TASKS, parallelism=1)
    for task in made["spec"]["tasks"]:
        task["simulate"] = {"duration": "500ms"}
    return made


async def begun(hub: ApiClient, names: list[str]) -> bool:
    found = [len(done(await shown(hub, name))) for name in names]
    return QUEUES <= sum(found) < QUEUES * TASKS


async def level(clusters: Clients, name: str) -> bool:
    """Every cluster shows the same status, but for its own generation."""
    found = [((await shown(client, name)) or {}).get("status") or {} for client in clusters.values()]
    bare = [{key: value for key, value in status.items() if key != "observedGeneration"} for status in found]
    return bare[0] == bare[1] == bare[2]


async def processor(client: ApiClient) -> tuple[str, int]:
    spec = (await client.get(SYNCED_RESOURCES, TASK_QUEUES.name))["spec"]
    return spec["processor"], spec["epoch"]


async def moved(client: ApiClient) -> bool:
    return (await processor(client))[0] == "east"


async def heard_no_more(hub: ApiClient) -> bool:
    entries = (await hub.get(SYNCED_RESOURCES, TASK_QUEUES.name))["status"]["members"]
    return {"Silent"} == {entry["state"] for entry in entries if entry["name"] == "west"}


async def told(clusters: Clients, epoch: int) -> None:
    """A condition on the hub, and an Event on the new processor."""
    message = await eventually(lambda: news(clusters["kcp"], "ProcessorLost"), "the condition FailedOver")
    assert message.startswith("the syncer of west was not heard of for ")
    assert message.endswith(f"east works on the kind, epoch {epoch}")
    events = (await clusters["east"].list(EVENTS, "default")).items
    assert message in [event["message"] for event in events if event["reason"] == "FailedOver"]


async def news(hub: ApiClient, reason: str) -> str:
    """What the condition FailedOver says; empty while it has another reason."""
    conditions = (await hub.get(SYNCED_RESOURCES, TASK_QUEUES.name))["status"]["conditions"]
    return next((c["message"] for c in conditions if (c["type"], c["reason"]) == ("FailedOver", reason)), "")


def counted(fabric: Fabric) -> float:
    """The failovers to east, as its syncer counts them."""
    url = (fabric.state_dir / "run" / "kcp-syncer-east.url").read_text().strip()
    text = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    found = re.findall(r"^tmc_sync_failovers_total\{kind=\"taskqueues\.demo\.tmc\.io\"\} (\S+)$", text, re.MULTILINE)
    return float(found[0]) if found else 0.0


async def no_candidate_takes_over(fabric: Fabric) -> None:
    """West's syncer, with its own credential: it may neither read nor write what a failover begins with."""
    credential = next((fabric.state_dir / "credentials" / "west").glob("*hub*.kubeconfig"))
    async with ApiClient(load_kubeconfig(credential)) as west:
        patch: Obj = {"data": {"processor": "west", "epoch": "99"}}
        write = west.patch(CONFIG_MAPS, TASK_QUEUES.name, "tmc-system", patch, field_manager="test")
        assert isinstance(await refusal(write), Forbidden)
        spec = {"spec": {"processor": "west", "epoch": 99}}
        assert isinstance(
            await refusal(west.patch(SYNCED_RESOURCES, TASK_QUEUES.name, "", spec, field_manager="test")), Forbidden
        )
