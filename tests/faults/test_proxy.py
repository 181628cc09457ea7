# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The proxy does to a connection what the plan says, seen from both of its ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from tests.faults.calls import Entry
from tests.faults.plans import Armed, Fault, Match, Plan
from tests.faults.proxy import Link, serving

QUEUES = "/apis/demo.tmc.io/v1/taskqueues"
ONE = "/apis/demo.tmc.io/v1/namespaces/ns/taskqueues/n"
ITEM = {"metadata": {"name": "n", "namespace": "ns"}, "spec": {}}
Broken = (aiohttp.ClientError, ConnectionError)


def event(number: int) -> dict[str, Any]:
    return {
        "type": "MODIFIED",
        "object": {"metadata": {"name": "n", "namespace": "ns", "resourceVersion": str(number)}},
    }


@dataclass
class World:
    """A stand-in for the laboratory: remembers what the proxy asked for."""

    armed: Armed | None = None
    journal: list[Entry] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    served: int = 0
    old: dict[str, Any] | None = None

    async def kill(self, process: str, fault: Fault) -> None:
        self.asked.append(("kill", process, self.served))

    async def freeze(self, process: str, fault: Fault) -> None:
        self.asked.append(("freeze", process, fault.do["freeze"]))

    async def take_snapshot(self, name: str) -> None:
        self.asked.append(("snapshot", name))

    def snapshot(self, name: str, cluster: str) -> dict[str, Any] | None:
        return self.old

    def partition(self, fault: Fault) -> None:
        self.asked.append(("partition", fault.do["partition"]))

    def brings_back(self, obj: dict[str, Any]) -> None:
        self.asked.append(("brings back", obj))

    def soon(self, job: Coroutine[Any, Any, None]) -> None:
        self.asked.append((asyncio.ensure_future(job),))


@dataclass
class Bench:
    world: World
    link: Link
    session: aiohttp.ClientSession

    def arm(self, verb: str, **do: Any) -> None:
        self.world.armed = Armed(Plan("p", (Fault(Match(verb), do),)), "ns")

    async def patch(self) -> tuple[int, dict[str, Any]]:
        async with self.session.patch(self.link.url + ONE, json=[]) as answer:
            return answer.status, json.loads(await answer.read())

    async def listed(self, accept: str = "application/json") -> dict[str, Any]:
        async with self.session.get(self.link.url + QUEUES, headers={"Accept": accept}) as answer:
            found: dict[str, Any] = json.loads(await answer.read())
            return found

    async def watch(self, count: int) -> list[str]:
        """The versions of the first so many events; fewer when the stream ends or breaks."""
        seen: list[str] = []
        try:
            async with self.session.get(f"{self.link.url}{QUEUES}?watch=1") as answer, asyncio.timeout(1):
                async for line in answer.content:
                    document = json.loads(line)
                    seen.append(
                        str(document["object"].get("code") or document["object"]["metadata"]["resourceVersion"])
                    )
                    if len(seen) == count:
                        break
        except (TimeoutError, ValueError, *Broken) as error:
            seen.append(type(error).__name__)
        return seen


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    """A proxy, without TLS, before a server that has one object and three events."""
    world = World()

    async def serve(request: web.Request) -> web.StreamResponse:
        world.served += 1
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "9"}, "items": [ITEM]})
        response = web.StreamResponse()
        await response.prepare(request)
        for number in (1, 2, 3):
            await response.write(json.dumps(event(number)).encode() + b"\n")
        await asyncio.sleep(5)
        return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with (
        aiohttp.ClientSession() as above,
        aiohttp.ClientSession() as below,
        serving(Link("syncer-east", "kcp", world, upstream, above), None) as link,
    ):
        yield Bench(world, link, below)
    await runner.cleanup()
    assert world.defects == []


async def test_without_a_plan_everything_passes(bench: Bench) -> None:
    assert (await bench.patch())[0] == 200
    assert (await bench.listed())["items"] == [ITEM]
    assert await bench.watch(3) == ["1", "2", "3"]
    assert [(str(entry.call), entry.status) for entry in bench.world.journal] == [
        ("syncer-east>kcp PATCH taskqueues/ns/n", 200)
    ]


async def test_an_error_is_answered_without_asking(bench: Bench) -> None:
    bench.arm("WRITE", error=429, retry_after=3)
    async with bench.session.patch(bench.link.url + ONE, json=[]) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
        assert json.loads(await answer.read())["reason"] == "TooManyRequests"
    assert bench.world.served == 0
    assert (await bench.patch())[0] == 200


async def test_a_late_call_is_reset_and_arrives_all_the_same(bench: Bench) -> None:
    bench.arm("WRITE", late=0.1)
    with pytest.raises(Broken):
        await bench.patch()
    assert bench.world.served == 0
    assert (await bench.patch())[0] == 200
    ((late,),) = bench.world.asked
    await late
    assert [entry.status for entry in bench.world.journal] == [200, 200]
    assert bench.world.served == 2


@pytest.mark.parametrize(("position", "served"), [("before", 0), ("withheld", 1)])
async def test_a_cut_is_before_or_after_the_write(bench: Bench, position: str, served: int) -> None:
    bench.arm("WRITE", cut=position)
    with pytest.raises(Broken):
        await bench.patch()
    assert bench.world.served == served


@pytest.mark.parametrize(("position", "served"), [("before", 0), ("withheld", 1)])
async def test_a_kill_is_before_or_after_the_write(bench: Bench, position: str, served: int) -> None:
    bench.arm("WRITE", kill=position)
    with pytest.raises(Broken):
        await bench.patch()
    assert bench.world.asked == [("kill", "syncer-east", served)]
    assert bench.world.served == served


async def test_a_kill_may_come_when_the_answer_has_arrived(bench: Bench) -> None:
    bench.arm("WRITE", kill="answered")
    assert (await bench.patch())[0] == 200
    assert bench.world.asked == [("kill", "syncer-east", 1)]


async def test_an_answer_may_be_cut_short_slow_or_late(bench: Bench) -> None:
    bench.arm("LIST", truncate=10)
    with pytest.raises(Broken):
        await bench.listed()
    for do in ({"drip": 7}, {"delay": 0.1}):
        bench.arm("LIST", **do)
        assert (await bench.listed())["items"] == [ITEM]
    bench.arm("WRITE", hang=0.1)
    with pytest.raises(Broken):
        await bench.patch()
    assert bench.world.served == 2 + 1


async def test_a_list_that_is_not_old_is_no_fault(bench: Bench) -> None:
    bench.arm("LIST", stale="old")
    assert (await bench.listed())["metadata"]["resourceVersion"] == "9"
    assert bench.world.armed
    assert not bench.world.armed.all_fired
    bench.world.old = {"metadata": {"resourceVersion": "1"}, "items": [ITEM]}
    bench.arm("LIST", stale="old")
    await bench.listed()
    assert bench.world.armed.all_fired


async def test_an_old_list_is_served_whole_or_as_metadata(bench: Bench) -> None:
    bench.world.old = {"metadata": {"resourceVersion": "1"}, "items": [ITEM]}
    bench.arm("LIST", stale="old")
    assert (await bench.listed())["metadata"]["resourceVersion"] == "1"
    bench.arm("LIST", stale="old")
    partial = await bench.listed("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    assert (partial["kind"], partial["items"][0].keys()) == (
        "PartialObjectMetadataList",
        {"apiVersion", "kind", "metadata"},
    )
    assert (await bench.listed())["metadata"]["resourceVersion"] == "9"


@pytest.mark.parametrize(
    ("do", "seen"),
    [
        ({"drop": True}, ["2", "3"]),
        ({"twice": True}, ["1", "1"]),
        ({"swap": True}, ["2", "1"]),
        ({"delay": 0.1}, ["1", "2"]),
        ({"gone": True}, ["410"]),
        ({"mute": True}, ["TimeoutError"]),
    ],
)
async def test_events_are_spoilt(bench: Bench, do: dict[str, Any], seen: list[str]) -> None:
    bench.arm("EVENT", **do)
    assert await bench.watch(2) == seen


@pytest.mark.parametrize("do", [{"half": True}, {"cut": True}, {"kill": "before"}])
async def test_streams_break(bench: Bench, do: dict[str, Any]) -> None:
    bench.arm("EVENT", **do)
    seen = await bench.watch(2)
    assert len(seen) == 1
    assert seen[0] != "1"


async def test_a_partition_cuts_what_is_open_and_what_comes(bench: Bench) -> None:
    bench.link.break_off("cut")
    with pytest.raises(Broken):
        await bench.patch()
    assert bench.world.served == 0
    bench.link.break_off("answers")
    with pytest.raises(Broken):
        await bench.patch()
    assert bench.world.served == 1
    bench.link.break_off("hang")
    hanging = asyncio.ensure_future(bench.patch())
    await asyncio.sleep(0.2)
    assert not hanging.done()
    bench.link.mend()
    with pytest.raises(Broken):
        await hanging
    assert (await bench.patch())[0] == 200


async def test_what_happens_to_processes_is_asked_for(bench: Bench) -> None:
    for do in ({"freeze": 2.0}, {"snapshot": "old"}, {"partition": "cut"}):
        bench.arm("WRITE", **do)
        assert (await bench.patch())[0] == 200
    assert bench.world.asked == [("freeze", "syncer-east", 2.0), ("snapshot", "old"), ("partition", "cut")]
