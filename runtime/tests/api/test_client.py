# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The client against a fake API server: paths, errors, tokens, TLS."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from runtime.tests.api.certificates import Pair, issue
from runtime.tests.fakeapi import Call, FakeApi
from tmc.api import errors, lines
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import Connection
from tmc.api.lines import split_lines
from tmc.api.resource import LEASES, NAMESPACES, Resource

WIDGETS = Resource("demo.test", "v1", "widgets", "Widget")
ONE: dict[str, Any] = {"metadata": {"name": "one", "namespace": "a"}, "spec": {"size": 1}}


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(WIDGETS, NAMESPACES) as server:
        yield server


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[ApiClient]:
    async with ApiClient(api.connection, timeout=10) as connected:
        yield connected


def test_paths() -> None:
    assert WIDGETS.path() == "/apis/demo.test/v1/widgets"
    assert WIDGETS.path("a", "one", "status") == "/apis/demo.test/v1/namespaces/a/widgets/one/status"
    assert NAMESPACES.path("", "a") == "/api/v1/namespaces/a"
    assert NAMESPACES.path("ignored", "a") == "/api/v1/namespaces/a", "cluster-scoped"
    assert WIDGETS.path("a", "../x") == "/apis/demo.test/v1/namespaces/a/widgets/..%2Fx"
    assert (WIDGETS.name, NAMESPACES.name, LEASES.api_version) == (
        "widgets.demo.test",
        "namespaces",
        "coordination.k8s.io/v1",
    )


async def test_create_get_patch_delete(api: FakeApi, client: ApiClient) -> None:
    made = await client.create(WIDGETS, ONE, field_manager="me")
    assert await client.get(WIDGETS, "one", "a") == made
    version = made["metadata"]["resourceVersion"]
    await client.patch(WIDGETS, "one", "a", {"spec": {"size": 2}}, field_manager="me", dry_run=True)
    assert api.get(WIDGETS, "one", "a")["spec"]["size"] == 1
    merge = {"metadata": {"resourceVersion": version}, "spec": {"size": 2}}
    await client.patch(WIDGETS, "one", "a", merge, field_manager="me")
    with pytest.raises(errors.Conflict):
        await client.patch(WIDGETS, "one", "a", merge, field_manager="me")
    await client.patch(WIDGETS, "one", "a", {"status": {"phase": "x"}}, field_manager="me", subresource="status")
    operations = [{"op": "test", "path": "/spec/size", "value": 2}, {"op": "replace", "path": "/spec/size", "value": 3}]
    after = await client.patch(WIDGETS, "one", "a", operations, field_manager="me")
    assert (after["spec"], after["status"]) == ({"size": 3}, {"phase": "x"})
    with pytest.raises(errors.Invalid):
        await client.patch(WIDGETS, "one", "a", operations, field_manager="me")
    with pytest.raises(errors.Conflict):
        await client.delete(WIDGETS, "one", "a", uid="another")
    await client.delete(WIDGETS, "one", "a", uid=made["metadata"]["uid"])
    with pytest.raises(errors.NotFound):
        await client.delete(WIDGETS, "one", "a", uid=made["metadata"]["uid"])
    writes = [call for call in api.calls if call.verb in ("POST", "PATCH")]
    assert {call.request.query["fieldManager"] for call in writes} == {"me"}
    assert client.requests[("PATCH", WIDGETS.name)] == len(writes) - 1
    assert client.requests[("DELETE", WIDGETS.name)] == 3


async def test_lists_count_as_lists(api: FakeApi, client: ApiClient) -> None:
    for number in range(5):
        api.put(WIDGETS, {"metadata": {"name": f"w{number}", "namespace": "a"}})
    listed = await client.list(WIDGETS, "a", page_size=2)
    assert ([item["metadata"]["name"][1:] for item in listed.items], listed.resource_version) == (
        list("01234"),
        api.version,
    )
    assert client.requests == {("LIST", WIDGETS.name): 3}
    bare = (await client.list(WIDGETS, metadata_only=True)).items[0]
    assert bare.keys() == {"metadata"}
    assert "managedFields" not in bare["metadata"]
    assert "managedFields" in listed.items[0]["metadata"]


async def test_an_expired_continue_token_starts_the_list_over_in_one_piece(api: FakeApi, client: ApiClient) -> None:
    for number in range(5):
        api.put(WIDGETS, {"metadata": {"name": f"w{number}", "namespace": "a"}})

    async def expire(call: Call) -> None:
        if "continue" in call.request.query:
            api.compact()

    api.intercept(expire, "LIST", times=10)
    listed = await client.list(WIDGETS, page_size=2)
    assert [item["metadata"]["name"] for item in listed.items] == [f"w{number}" for number in range(5)]
    assert [call.request.query.get("limit") for call in api.calls] == ["2", "2", None]


async def test_pages_of_different_versions_are_no_list(api: FakeApi, client: ApiClient) -> None:
    for number in range(5):
        api.put(WIDGETS, {"metadata": {"name": f"w{number}", "namespace": "a"}})

    async def answer_as_of_now(call: Call) -> web.Response | None:
        if "continue" not in call.request.query:
            return None
        api.put(WIDGETS, {"metadata": {"name": "w9", "namespace": "a"}})
        page = {"metadata": {"resourceVersion": str(api.version)}, "items": [api.get(WIDGETS, "w9", "a")]}
        return web.Response(body=orjson.dumps(page))

    api.intercept(answer_as_of_now, "LIST", times=10)
    listed = await client.list(WIDGETS, page_size=2)
    assert [item["metadata"]["name"] for item in listed.items] == ["w0", "w1", "w2", "w3", "w4", "w9"]
    assert [call.request.query.get("limit") for call in api.calls] == ["2", "2", None]


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.ApiError),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (413, "RequestEntityTooLarge", errors.PayloadTooLarge),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (504, "Timeout", errors.ServerError),
    ],
)
async def test_errors_by_status_and_reason(
    api: FakeApi, client: ApiClient, code: int, reason: str, kind: type[errors.ApiError]
) -> None:
    api.fail("GET", code, reason, retry_after="7")
    with pytest.raises(errors.ApiError) as raised:
        await client.get(WIDGETS, "one", "a")
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.reason, error.retry_after) == (code, reason, 7.0)
    assert error.message == f"made to fail with {code}"
    assert len(api.calls) == 1, "nothing is retried"


@pytest.mark.parametrize(
    "words",
    [
        "etcdserver: request is too large",
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2500342 vs. 2097152)",
    ],
)
def test_what_storage_does_not_take_is_too_large_and_no_fault_of_the_server(words: str) -> None:
    assert type(errors.error_from_status({"message": words}, 500)) is errors.PayloadTooLarge


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (web.Response(status=404, text="<html>no such page</html>"), errors.NotFound, "no such page"),
        (web.Response(status=302, headers={"Location": "http://elsewhere"}), errors.ApiError, "302"),
        (web.Response(text="hello"), errors.Unreachable, "is it a Kubernetes API server?"),
        (web.Response(text="[1]"), errors.Unreachable, "is it a Kubernetes API server?"),
        (web.Response(text="{}"), errors.Unreachable, "not a Kubernetes object"),
        (web.Response(text='{"metadata": null}'), errors.Unreachable, "not a Kubernetes object"),
    ],
)
async def test_something_that_is_no_api_server(
    api: FakeApi, client: ApiClient, answer: web.Response, kind: type[Exception], text: str
) -> None:
    async def give(_call: Call) -> web.Response:
        return answer

    api.intercept(give)
    with pytest.raises(kind, match=text):
        await client.get(WIDGETS, "one", "a")


@pytest.mark.parametrize("body", ["{}", '{"metadata": {}}', '{"metadata": {"resourceVersion": "1"}, "items": [{}]}'])
async def test_something_that_is_no_list(api: FakeApi, client: ApiClient, body: str) -> None:
    async def give(_call: Call) -> web.Response:
        return web.Response(text=body)

    api.intercept(give)
    with pytest.raises(errors.Unreachable, match="not a Kubernetes list"):
        await client.list(WIDGETS)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[1]",
        b"{}",
        b'{"type": "ADDED"}',
        b'{"type": "ADDED", "object": {"metadata": {"name": "x"}}}',
        b'{"type": "BOOKMARK", "object": {}}',
        b'{"type": "NEWS", "object": {}}',
        b'{"type": "ERROR", "object": 5}',
    ],
)
async def test_watch_lines_that_make_no_sense(api: FakeApi, client: ApiClient, line: bytes) -> None:
    async def give(_call: Call) -> web.Response:
        return web.Response(body=line + b"\n")

    api.intercept(give, "WATCH")
    with pytest.raises(errors.Unreachable, match="a watch line"):
        _ = [event async for event in client.watch(WIDGETS, 1, timeout_seconds=300, inactivity=5)]


async def test_lines_are_split_whatever_the_chunks_are() -> None:
    data = b"one\n\ntwo and more\nthree\ncut off"

    async def chunks(size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    for size in range(1, len(data) + 1):
        assert [line async for line in split_lines(chunks(size))] == [b"one", b"", b"two and more", b"three"]


async def test_only_a_single_line_can_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)

    async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    halves = [b"x" * 30, b"x" * 30 + b"\n"] * 20
    assert [len(line) async for line in split_lines(chunks(*halves))] == [60] * 20
    with pytest.raises(errors.Unreachable, match="longer than 100 bytes"):
        _ = [line async for line in split_lines(chunks(b"x" * 60, b"x" * 41))]


# -- no answer


async def test_refused_connections_are_not_ambiguous(api: FakeApi, client: ApiClient) -> None:
    await api.stop_listening()
    with pytest.raises(errors.Unreachable) as raised:
        await client.create(WIDGETS, ONE, field_manager="me")
    assert raised.value.ambiguous is False


async def test_a_connection_lost_after_the_request_is_ambiguous(api: FakeApi, client: ApiClient) -> None:
    async def carry_out_and_hang_up(call: Call) -> Any:
        await api._answer(call)
        assert call.request.transport is not None
        call.request.transport.abort()
        await asyncio.sleep(0)

    api.intercept(carry_out_and_hang_up, "POST")
    with pytest.raises(errors.Unreachable) as raised:
        await client.create(WIDGETS, ONE, field_manager="me")
    assert raised.value.ambiguous is True
    assert ("a", "one") in api.objects[WIDGETS.name]
    assert len(api.calls) == 1


async def test_a_time_out_after_the_request_is_ambiguous(api: FakeApi) -> None:
    async def hang(_call: Call) -> None:
        await asyncio.sleep(3600)

    api.intercept(hang)
    async with ApiClient(api.connection, timeout=0.2) as client:
        with pytest.raises(errors.Unreachable, match="timed out") as raised:
            await client.create(WIDGETS, ONE, field_manager="me")
    assert raised.value.ambiguous is True


# -- tokens


async def test_the_token_file_is_read_again_when_it_changes(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    api.token = "first"
    async with ApiClient(replace(api.connection, token=None, token_file=file)) as client:
        await client.list(WIDGETS)
        file.write_text("second")
        os.utime(file, ns=(1, 1))
        api.token = "second"
        await client.list(WIDGETS)
        assert len(api.calls) == 2, "without a 401 in between"


async def test_after_a_401_the_file_is_read_once_more(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    os.utime(file, ns=(1, 1))
    api.token = "first"
    async with ApiClient(replace(api.connection, token=None, token_file=file)) as client:
        await client.list(WIDGETS)
        file.write_text("second")
        os.utime(file, ns=(1, 1))  # a change that the mtime does not show
        api.token = "second"
        await client.list(WIDGETS)
        assert len(api.calls) == 3
        api.token = "third"
        with pytest.raises(errors.Unauthorized):
            await client.list(WIDGETS)
        assert len(api.calls) == 5, "one retry, no more"


async def test_a_fixed_token_is_not_tried_twice(api: FakeApi) -> None:
    api.token = "right"
    async with ApiClient(replace(api.connection, token="wrong")) as client:
        with pytest.raises(errors.Unauthorized):
            await client.list(WIDGETS)
    assert len(api.calls) == 1


async def test_a_token_file_that_is_not_there_yet(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    async with ApiClient(replace(api.connection, token=None, token_file=file)) as client:
        with pytest.raises(errors.Unreachable, match="cannot be read") as raised:
            await client.list(WIDGETS)
        assert raised.value.ambiguous is False
        file.write_text("t")
        await client.list(WIDGETS)
        file.unlink()
        await client.list(WIDGETS)


# -- TLS


@asynccontextmanager
async def tls_server(server: Pair, tmp_path: Path) -> AsyncIterator[str]:
    (tmp_path / "server.pem").write_bytes(server.certificate_pem + server.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    app = web.Application()

    async def version(_request: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v1"})

    app.router.add_get("/version", version)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
async def test_only_the_kubeconfigs_ca_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    ours, others = issue("ours"), issue("others")
    (tmp_path / "others.pem").write_bytes(others.certificate_pem)
    monkeypatch.setenv(variable, str(tmp_path / "others.pem"))
    async with (
        tls_server(issue("server", by=ours), tmp_path) as url,
        ApiClient(Connection("x", url, ca=ours.certificate_pem, token="t")) as client,
    ):
        assert await client.request("GET", "/version") == {"gitVersion": "v1"}
    async with (
        tls_server(issue("server", by=others), tmp_path) as url,
        ApiClient(Connection("x", url, ca=ours.certificate_pem, token="t")) as client,
    ):
        with pytest.raises(errors.Unreachable, match="CERTIFICATE_VERIFY_FAILED") as raised:
            await client.request("GET", "/version")
        assert raised.value.ambiguous is False


async def test_another_hosts_certificate_is_refused(tmp_path: Path) -> None:
    ca = issue("ca")
    async with tls_server(issue("server", by=ca), tmp_path) as url:
        connection = Connection("x", url.replace("127.0.0.1", "localhost"), ca=ca.certificate_pem, token="t")
        async with ApiClient(connection) as client:
            with pytest.raises(errors.Unreachable, match=r"doesn't match|mismatch"):
                await client.request("GET", "/version")
        async with ApiClient(replace(connection, tls_server_name="127.0.0.1")) as client:
            await client.request("GET", "/version")


async def test_proxies_of_the_environment_are_not_used(
    api: FakeApi, client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert (await client.list(WIDGETS)).items == []
