# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A token that replicas share through a Secret: renewed by one of them, used at once, and never put back."""

from __future__ import annotations

import asyncio
import base64
import json
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
from tmc.api.resource import SECRETS, SERVICE_ACCOUNTS
from tmc.core import credentials
from tmc.core.credentials import TokenSecret, keep_token_fresh

KEY = "hub.token"


def jwt(issued: float, life: float = 7200) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"iat": int(issued), "exp": int(issued + life)}).encode()).rstrip(
        b"="
    )
    return f"eyJhbGciOiJub25lIn0.{payload.decode()}.c2ln"


def now() -> float:
    return time.time()


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Patience:
        def __init__(self, *_args: float, **_options: float) -> None: ...
        def next(self) -> float:
            return 0.01

        def reset(self) -> None: ...

    monkeypatch.setattr(credentials, "Backoff", Patience)


@pytest.fixture
async def hub() -> AsyncIterator[FakeApi]:
    async with FakeApi(SERVICE_ACCOUNTS, name="hub") as server:
        yield server


@pytest.fixture
async def member() -> AsyncIterator[FakeApi]:
    async with FakeApi(SECRETS, name="member") as server:
        yield server


def put(member: FakeApi, token: str) -> None:
    data = {KEY: base64.b64encode(token.encode()).decode(), "hub.kubeconfig": "a3ViZQ=="}
    member.put(SECRETS, {"metadata": {"name": "s", "namespace": "default"}, "data": data})


def secret(member: FakeApi) -> str:
    return base64.b64decode(member.get(SECRETS, "s", "default")["data"][KEY]).decode().strip()


def grants(hub: FakeApi, *tokens: str) -> None:
    """What the hub answers to requests for a token, the first of which makes the hub refuse all older ones."""
    left = list(tokens)

    async def grant(_call: Call) -> Any:
        hub.token = left.pop(0)
        return web.json_response({"status": {"token": hub.token}})

    hub.intercept(grant, "POST", times=len(tokens))


@asynccontextmanager
async def replica(hub: FakeApi, member: FakeApi, mounted: Path) -> AsyncIterator[ApiClient]:
    """One that leads: it renews. Gives its client of the hub."""
    async with (
        ApiClient(replace(hub.connection, token=None, token_file=mounted)) as client,
        ApiClient(member.connection) as own,
    ):
        place = TokenSecret(own, "default", "s", KEY, field_manager="test")
        task = asyncio.create_task(keep_token_fresh(client, place, "tmc-system", "syncer-east"))
        try:
            yield client
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()


def asked(hub: FakeApi) -> int:
    return sum(call.subresource == "token" for call in hub.calls)


async def test_a_renewed_token_is_kept_in_the_secret_and_used_at_once(
    hub: FakeApi, member: FakeApi, tmp_path: Path
) -> None:
    old, new = jwt(now() - 5000), jwt(now())
    (tmp_path / "t").write_text(old)
    put(member, old)
    grants(hub, new)
    async with replica(hub, member, tmp_path / "t") as client:
        await eventually(lambda: secret(member) == new)
        assert client.token() == new, "although the mounted file is older"
        await client.request("GET", "/api/v1/serviceaccounts")
        assert (tmp_path / "t").read_text() == old, "the file is kubelet's"
        kept = member.get(SECRETS, "s", "default")["data"]
        assert set(kept) == {KEY, "hub.kubeconfig"}
        (patch,) = [call for call in member.calls if call.verb == "PATCH"]
        assert set(patch.body["metadata"]) == {"uid", "resourceVersion"}, "a conditional write"
    assert asked(hub) == 1


async def test_a_standby_takes_the_token_from_the_mounted_file(hub: FakeApi, tmp_path: Path) -> None:
    old, new = jwt(now() - 5000), jwt(now())
    (tmp_path / "t").write_text(old)
    hub.token = new
    async with ApiClient(replace(hub.connection, token=None, token_file=tmp_path / "t")) as client:
        assert client.token() == old
        (tmp_path / "t").write_text(new)
        await client.request("GET", "/api/v1/serviceaccounts")


async def test_a_token_that_another_replica_has_renewed_is_taken_over(
    hub: FakeApi, member: FakeApi, tmp_path: Path
) -> None:
    (tmp_path / "t").write_text(jwt(now() - 5000))
    theirs = jwt(now() - 10)
    put(member, theirs)
    async with replica(hub, member, tmp_path / "t") as client:
        await eventually(lambda: client.token() == theirs)
        await eventually(lambda: any(call.verb == "GET" for call in member.calls))
    assert asked(hub) == 0
    assert not [call for call in member.calls if call.verb == "PATCH"]


async def test_a_newer_token_in_the_secret_is_never_overwritten(hub: FakeApi, member: FakeApi, tmp_path: Path) -> None:
    """The other replica writes while this one is asking the hub."""
    old, mine, theirs = jwt(now() - 5000), jwt(now()), jwt(now() + 5)
    (tmp_path / "t").write_text(old)
    put(member, old)

    async def grant(_call: Call) -> Any:
        put(member, theirs)
        return web.json_response({"status": {"token": mine}})

    hub.intercept(grant, "POST")
    async with replica(hub, member, tmp_path / "t") as client:
        await eventually(lambda: asked(hub) and client.token() == mine)
        await eventually(lambda: sum(call.verb == "GET" for call in member.calls) >= 3)
    assert secret(member) == theirs


async def test_a_write_that_was_overtaken_is_tried_again(hub: FakeApi, member: FakeApi, tmp_path: Path) -> None:
    old, new = jwt(now() - 5000), jwt(now())
    (tmp_path / "t").write_text(old)
    put(member, old)
    grants(hub, new)

    async def overtake(_call: Call) -> None:
        labelled = member.get(SECRETS, "s", "default")
        member.put(SECRETS, {**labelled, "metadata": {**labelled["metadata"], "labels": {"who": "somebody"}}})

    member.intercept(overtake, "PATCH")
    async with replica(hub, member, tmp_path / "t"):
        await eventually(lambda: secret(member) == new)
    assert asked(hub) == 1, "the token that was granted is kept, not another one"
    assert member.get(SECRETS, "s", "default")["metadata"]["labels"] == {"who": "somebody"}


async def test_without_its_secret_the_token_is_renewed_all_the_same(
    hub: FakeApi, member: FakeApi, tmp_path: Path
) -> None:
    new = jwt(now())
    (tmp_path / "t").write_text(jwt(now() - 5000))
    grants(hub, new)
    async with replica(hub, member, tmp_path / "t") as client:
        await eventually(lambda: asked(hub) and client.token() == new)
        put(member, "")
        await eventually(lambda: secret(member) == new)
    assert asked(hub) == 1


async def test_a_granted_token_that_is_refused_gives_way_to_the_file(
    hub: FakeApi, member: FakeApi, tmp_path: Path
) -> None:
    """As when the ServiceAccount was made anew, and a fresh token was put into the Secret by hand."""
    (tmp_path / "t").write_text(jwt(now() - 5000))
    put(member, jwt(now() - 5000))
    grants(hub, jwt(now()))
    async with replica(hub, member, tmp_path / "t") as client:
        await eventually(lambda: asked(hub) and secret(member) == hub.token)
        hub.token = jwt(now() - 100)
        (tmp_path / "t").write_text(hub.token)
        await client.request("GET", "/api/v1/serviceaccounts")
        assert client.token() == hub.token


async def test_no_token_is_in_a_log(
    hub: FakeApi, member: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    old, new = jwt(now() - 5000), jwt(now())
    (tmp_path / "t").write_text(old)
    put(member, "ä")
    grants(hub, new)
    member.fail("PATCH", 500, times=2)
    async with replica(hub, member, tmp_path / "t"):
        await eventually(lambda: secret(member) == new)
    assert "key hub.token of Secret default/s" in caplog.text
    assert old not in caplog.text
    assert new not in caplog.text
