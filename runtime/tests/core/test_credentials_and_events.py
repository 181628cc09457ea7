# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Renewal of the own token; Events."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import Connection
from tmc.api.resource import EVENTS, SERVICE_ACCOUNTS
from tmc.core import credentials, events
from tmc.core.credentials import keep_token_file_fresh
from tmc.core.events import EventRecorder
from tmc.core.files import write_private


def jwt(issued: float, expires: float) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"iat": int(issued), "exp": int(expires)}).encode()).rstrip(b"=")
    return f"eyJhbGciOiJub25lIn0.{payload.decode()}.c2ln"


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(SERVICE_ACCOUNTS, EVENTS) as server:
        yield server


def requests(api: FakeApi) -> list[Call]:
    return [call for call in api.calls if call.subresource == "token"]


@asynccontextmanager
async def renewing(api: FakeApi, file: Path) -> AsyncIterator[asyncio.Task[None]]:
    connection = replace(api.connection, token=None, token_file=file)
    async with ApiClient(connection) as client:
        task = asyncio.create_task(keep_token_file_fresh(client, "a", "me", lifetime=7200))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_a_token_past_half_of_its_life_is_renewed(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    now = time.time()
    file.write_text(jwt(now - 600, now + 500))
    file.chmod(0o644)
    new = jwt(now, now + 7200)

    async def grant(_call: Call) -> Any:
        return web.json_response({"status": {"token": new}})

    api.intercept(grant, "POST")
    async with renewing(api, file):
        await eventually(lambda: file.read_text().strip() == new)
        (call,) = requests(api)
        assert (call.namespace, call.name, call.body["spec"]) == ("a", "me", {"expirationSeconds": 7200})
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == ["token"]


async def test_a_young_token_is_left_alone(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps: list[float] = []
    asleep = asyncio.Event()

    async def sleep_until(due: float) -> None:
        sleeps.append(due)
        asleep.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(credentials, "_sleep_until", sleep_until)
    (tmp_path / "token").write_text(jwt(1000, 3000))
    async with renewing(api, tmp_path / "token"):
        await asleep.wait()
    assert (sleeps, requests(api)) == ([2000.0], [])


async def test_a_failed_renewal_keeps_the_token_and_is_tried_again(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_due: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(credentials, "_sleep_until", at_once)
    (tmp_path / "token").write_text("old")
    seen: list[str] = []

    async def note(_call: Call) -> None:
        seen.append((tmp_path / "token").read_text())

    api.intercept(note, "POST", times=4)
    api.fail("POST", 500, times=3)
    async with renewing(api, tmp_path / "token"):
        await eventually(lambda: (tmp_path / "token").read_text() == "fake\n")
    assert seen == ["old"] * 4


async def test_nothing_to_renew(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ApiClient(api.connection) as client:
        await keep_token_file_fresh(client, "a", "me")
        monkeypatch.setattr("os.access", lambda path, mode: False)  # as where kubelet mounted it
        mounted = Connection("x", "https://h", token_file=tmp_path / "token")
        await keep_token_file_fresh(ApiClient(mounted), "a", "me")
    assert requests(api) == []


def test_a_private_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(tmp_path / "f", b"old")
    monkeypatch.setattr("os.replace", lambda a, b: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_private(tmp_path / "f", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"old")]


OBJ = {"metadata": {"name": "one", "namespace": "a", "uid": "u1", "resourceVersion": "5"}}


async def test_an_event_is_said_once_in_a_while(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ApiClient(api.connection) as client:
        recorder = EventRecorder(client, "tmc-syncer")
        for _ in range(3):
            await recorder.emit(OBJ, "Widget", "demo.test/v1", "Synced", "all is well")
        await recorder.emit(OBJ, "Widget", "demo.test/v1", "NameConflict", "taken by west", warning=True)
        written = list(api.objects[EVENTS.name].values())
        assert sorted((event["reason"], event["type"]) for event in written) == [
            ("NameConflict", "Warning"),
            ("Synced", "Normal"),
        ]
        assert {event["metadata"]["namespace"] for event in written} == {"a"}
        assert written[0]["involvedObject"]["uid"] == "u1"
        monkeypatch.setattr(events, "REPEAT_SECONDS", 0.0)
        await recorder.emit(OBJ, "Widget", "demo.test/v1", "Synced", "all is well")
        assert len(api.objects[EVENTS.name]) == 3


async def test_events_of_cluster_scoped_objects_and_long_messages(api: FakeApi) -> None:
    async with ApiClient(api.connection) as client:
        obj = {"metadata": {"name": "n" * 253, "uid": "u2"}}
        await EventRecorder(client, "c").emit(obj, "Member", "x/v1", "R", "m" * 5000)
    (event,) = api.objects[EVENTS.name].values()
    assert (event["metadata"]["namespace"], len(event["message"])) == ("default", 1024)
    assert len(event["metadata"]["name"]) <= 253
    assert "namespace" not in event["involvedObject"]


@pytest.mark.parametrize("end", ["-b", ".b", "--.-b"])
async def test_an_event_of_a_long_name_has_a_name_that_is_one(api: FakeApi, end: str) -> None:
    async with ApiClient(api.connection) as client:
        obj = {"metadata": {"name": "n" * (231 - len(end)) + end, "uid": "u2"}}
        await EventRecorder(client, "c").emit(obj, "Member", "x/v1", "R", "m")
    (event,) = api.objects[EVENTS.name].values()
    parts = event["metadata"]["name"].split(".")
    assert all(part and part[-1].isalnum() and part[0].isalnum() for part in parts), event["metadata"]["name"]


@pytest.mark.parametrize(("code", "written"), [(403, 0), (500, 1), (429, 1)])
async def test_events_are_best_effort(api: FakeApi, code: int, written: int) -> None:
    api.fail("POST", code)
    async with ApiClient(api.connection) as client:
        recorder = EventRecorder(client, "c")
        await recorder.emit(OBJ, "Widget", "demo.test/v1", "Synced", "hello")
        await recorder.emit(OBJ, "Widget", "demo.test/v1", "Synced", "hello")
    assert len(api.objects[EVENTS.name]) == written, "a refusal is not asked for again, a passing fault is"
