# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Health endpoints: what they answer, where they are served, and what is refused."""

from __future__ import annotations

import argparse
import asyncio
import stat
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from runtime.tests.core.reflecting import WIDGETS, world
from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import LEASES
from tmc.core import health, vitals, workqueue
from tmc.core.health import parse_address, serving
from tmc.core.lease import LeaderElector
from tmc.core.reflector import Reflector
from tmc.core.settings import SettingsError
from tmc.core.vitals import Vitals
from tmc.core.workqueue import WorkQueue


def asked_for(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    health.add_arguments(parser)
    return parser.parse_args(flags)


async def get(url: str, timeout: float = 10) -> tuple[int, Any]:
    limit = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as response:
        kind = response.content_type
        return response.status, await (response.json() if kind == "application/json" else response.text())


@asynccontextmanager
async def served(tmp_path: Path, of: Vitals) -> AsyncIterator[str]:
    file = tmp_path / "run" / "program.url"
    args = asked_for("--health-address=127.0.0.1:0", f"--health-file={file}")
    async with serving(args, of, lambda: b"tmc_things 1\n"):
        yield file.read_text().strip()


class Part:
    def __init__(self, label: str, stuck: str = "", unready: str = "") -> None:
        self.label = label
        self._answers = stuck, unready

    def stuck(self) -> str:
        return self._answers[0]

    def unready(self) -> str:
        return self._answers[1]


async def test_the_answers_say_why(tmp_path: Path) -> None:
    mine = Vitals()
    async with served(tmp_path, mine) as url:
        assert (await get(f"{url}/healthz"))[0] == 200
        assert await get(f"{url}/readyz") == (
            503,
            {"status": "failing", "checks": {"process": "nothing is at work yet"}},
        )
        with mine.at_work(Part("a")), mine.at_work(Part("b", unready="the hub is away")):
            assert await get(f"{url}/healthz") == (200, {"status": "ok", "checks": {"a": "ok", "b": "ok"}})
            said = {"status": "failing", "checks": {"a": "ok", "b": "the hub is away"}}
            assert await get(f"{url}/readyz") == (503, said)
        with mine.at_work(Part("c", stuck="silent")):
            assert await get(f"{url}/healthz") == (503, {"status": "failing", "checks": {"c": "silent"}})
        assert await get(f"{url}/metrics") == (200, "tmc_things 1\n")
        assert (await get(f"{url}/anything"))[0] == 404


async def test_the_file_names_the_url_and_goes_with_the_process(tmp_path: Path) -> None:
    async with served(tmp_path, Vitals()) as url:
        (file,) = (tmp_path / "run").iterdir()
        assert file.read_text() == f"{url}\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list((tmp_path / "run").iterdir()) == []


async def test_a_file_that_a_successor_has_written_is_left_to_it(tmp_path: Path) -> None:
    async with served(tmp_path, Vitals()):
        (file,) = (tmp_path / "run").iterdir()
        file.write_text("http://127.0.0.1:1\n")
    assert file.read_text() == "http://127.0.0.1:1\n"


async def test_a_port_that_is_in_use_is_named(tmp_path: Path) -> None:
    async with served(tmp_path, Vitals()) as url:
        address = url.removeprefix("http://")
        with pytest.raises(SettingsError, match=f"--health-address='{address}' .*another program listens there"):
            async with serving(asked_for(f"--health-address={address}"), Vitals(), bytes):
                pytest.fail("it was served twice")


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "localhost", "localhost:http", "localhost:65536", "localhost:-1", ""]
)
def test_an_address_of_no_use_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match=f"--health-address='{text}' cannot be used; it must be HOST:PORT"):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("127.0.0.1:0") == ("127.0.0.1", 0)
    assert parse_address("[::1]:8080") == parse_address("::1:8080") == ("::1", 8080)
    assert health.url_of("::1", 8080) == "http://[::1]:8080"


async def test_an_address_that_is_not_this_machines(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1:0' cannot be used: "):
        async with serving(asked_for("--health-address=192.0.2.1:0"), Vitals(), bytes):
            pytest.fail("it was served")


async def test_a_file_without_an_address_or_a_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs --health-address"):
        async with serving(asked_for("--health-file=x"), Vitals(), bytes):
            pytest.fail("it was served")
    (tmp_path / "file").touch()
    bad = asked_for("--health-address=127.0.0.1:0", f"--health-file={tmp_path}/file/x")
    with pytest.raises(SettingsError, match=r"--health-file='.*' cannot be written"):
        async with serving(bad, Vitals(), bytes):
            pytest.fail("it was served")


async def test_nothing_is_served_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "application", lambda *_: pytest.fail("it was served"))
    async with serving(asked_for(), Vitals(), bytes):
        pass


async def test_a_loop_that_hangs_does_not_answer(tmp_path: Path) -> None:
    """The probe's own time-out is the verdict; here it is asked from another thread, as kubelet asks."""
    release, hung, verdicts = threading.Event(), threading.Event(), list[str]()

    def probe(url: str) -> None:
        hung.wait(10)
        try:
            asyncio.run(get(f"{url}/healthz", timeout=0.3))
            verdicts.append("answered")
        except TimeoutError:
            verdicts.append("timed out")
        release.set()

    async with served(tmp_path, Vitals()) as url:
        thread = threading.Thread(target=probe, args=(url,))
        thread.start()
        hung.set()
        release.wait(20)  # the whole loop stands still
        thread.join()
        assert verdicts == ["timed out"]
        assert (await get(f"{url}/healthz"))[0] == 200


async def test_an_api_server_that_is_away_makes_a_reflector_unready_and_not_stuck(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away for an hour, by a clock on which every failed attempt takes 20 s."""
    mine, hour, start = Vitals(), 3600 / 20, time.monotonic()
    with mine.noting():
        async with world(api, floor=0.02) as at:
            monkeypatch.setattr(vitals, "monotonic", lambda: start + 20.0 * at.reflector.stats.failures)
            assert (mine.stuck(), mine.unready()) == ({}, {})
            await api.stop_listening()
            ever = list[str]()
            await eventually(lambda: ever.extend(mine.stuck()) or at.reflector.stats.failures > hour)
            assert ever == []
            assert "Unreachable" in mine.unready()[f"{WIDGETS.name} on fake"]
            await api.listen()
            await eventually(lambda: not mine.unready())
    assert mine.labels() == []


async def test_a_reflector_whose_loop_stands_still_is_stuck(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "STUCK_SECONDS", 0.05)
    mine = Vitals()
    with mine.noting():
        async with world(api, floor=0.05) as at:

            async def for_ever() -> None:
                await asyncio.Event().wait()

            monkeypatch.setattr(at.reflector, "_compare", for_ever)
            await eventually(mine.stuck)
            assert "compare: silent" in mine.stuck()[f"{WIDGETS.name} on fake"]


async def test_a_reflector_that_hangs_at_its_first_list_is_stuck(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(_self: Reflector) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(vitals, "STUCK_SECONDS", 0.05)
    monkeypatch.setattr(Reflector, "_relist", for_ever)
    mine = Vitals()
    with mine.noting():
        async with world(api, synced=False):
            await eventually(lambda: mine.unready() == {f"{WIDGETS.name} on fake": "not listed yet"})
            await eventually(mine.stuck)
            assert "follow: silent" in mine.stuck()[f"{WIDGETS.name} on fake"]


async def test_a_healthy_reflector_is_never_stuck(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an hour, by a clock on which every comparison takes 60 s, and a bookmark comes with each."""
    mine, told, start = Vitals(), list[int](), time.monotonic()
    with mine.noting():
        async with world(api, floor=0.02) as at:
            stats = at.reflector.stats
            monkeypatch.setattr(vitals, "monotonic", lambda: start + 60.0 * stats.comparisons)

            def an_hour_is_over() -> bool:
                if told[-1:] != [stats.comparisons]:
                    told.append(stats.comparisons)
                    api.bookmark()
                assert mine.stuck() == {}
                return stats.comparisons >= 60

            await eventually(an_hour_is_over)


async def test_a_handler_that_hangs_is_stuck_and_one_that_fails_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "HANGS_SECONDS", 0.05)
    monkeypatch.setattr(workqueue, "RETRY_LEAST", 0.0)
    monkeypatch.setattr(workqueue, "RETRY_CAP", 0.01)
    mine = Vitals()
    with mine.noting():
        queue = WorkQueue[str]("things")

    async def handler(key: str) -> None:
        if key == "hangs":
            await asyncio.Event().wait()
        raise ValueError(key)

    task = asyncio.create_task(queue.run(handler, workers=2))
    queue.add("fails")
    await eventually(lambda: queue.stats.failed > 5)
    assert mine.stuck() == {}
    queue.add("hangs")
    await eventually(mine.stuck)
    assert "hangs" in mine.stuck()["queue things"]
    task.cancel()
    await asyncio.wait([task])
    assert mine.stuck() == {}


async def test_a_standby_is_ready_and_one_that_cannot_read_the_lease_is_not() -> None:
    mine = Vitals()

    async def lead() -> None:
        await asyncio.Event().wait()

    async with FakeApi(LEASES) as api, ApiClient(api.connection) as client:
        with mine.noting():
            electors = [LeaderElector(client, "a", "l", duration=0.5, renew=0.1) for _ in range(2)]
        assert mine.unready() == {"process": "nothing is at work yet"}
        tasks = [asyncio.create_task(elector.run(lead)) for elector in electors]
        await eventually(lambda: sum(elector.leading for elector in electors) == 1)
        await eventually(lambda: mine.unready() == {})
        assert len(mine.labels()) == 2
        api.fail("*", 500, times=10_000)
        await eventually(lambda: "not read for" in mine.unready().get("lease a/l", ""))
        assert mine.stuck() == {}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_counters_outlive_their_part_and_not_the_process() -> None:
    mine = Vitals()
    with mine.noting():
        first, second = WorkQueue[str]("q"), WorkQueue[str]("q")
        first.stats.failed += 3
        assert second.stats.failed == 3
    assert WorkQueue[str]("q").stats.failed == 0
