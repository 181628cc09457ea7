# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""One API server over HTTP: list, watch, get and the few conditional writes that the runtime uses.

Nothing is retried here, but for one fresh token after a 401: callers are level-triggered and know better what to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Any, Literal, Self, TypeVar

import aiohttp
import orjson
from yarl import URL

from tmc.api.depth import loads
from tmc.api.errors import Unauthorized, Unreachable, error_from_response, error_from_status
from tmc.api.kubeconfig import Connection
from tmc.api.lines import json_lines
from tmc.api.pages import (
    METADATA_ONLY,
    Fetch,
    Identity,
    Listed,
    all_pages,
    checked,
    identity_page,
    object_page,
)
from tmc.api.resource import Resource
from tmc.api.token import TokenSource

Object = dict[str, Any]
ListResult = Listed[Object]  # a complete list of objects
T = TypeVar("T")

CONNECT_SECONDS = 5.0
PAGE_SIZE = 500
# API servers answer a first page from memory, but further ones of a kind that has not changed for minutes from etcd, at
# eight times the processor time: what is small and asked for every floor is asked for in one piece, unless it is huge.
IDENTITIES_PAGE_SIZE = 20_000
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(slots=True)
class WatchEvent:
    """One line of a watch. A BOOKMARK's object carries a resourceVersion and nothing else."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object


class ApiClient:
    """Async context manager around one HTTP session.

    ``timeout`` bounds a whole request, in seconds. ``requests`` counts what was sent by (method, resource name); reads
    of many objects count as LIST and WATCH, everything else under its HTTP method.
    """

    def __init__(self, connection: Connection, *, timeout: float = 15.0) -> None:
        self.connection = connection
        self.requests: Counter[tuple[str, str]] = Counter()
        self._timeout = timeout
        self._token = TokenSource(connection)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tls = self.connection.ssl_context() if self.connection.server.startswith("https:") else True
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_mark_sent)
        self._session = aiohttp.ClientSession(
            # limit=0: a watch holds its connection, and must never starve the requests that heal it.
            connector=aiohttp.TCPConnector(ssl=tls, limit=0, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
            headers={"User-Agent": "tmc", "Accept": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def token(self) -> str | None:
        """The token that the next request would carry. Raises Unreachable when its file was never readable."""
        return self._token.current()

    def use_token(self, token: str) -> None:
        """Carry this token, which was granted just now, although the connection's token file is older."""
        self._token.use(token)

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """One object as the API server has it now. Raises NotFound, ApiError, Unreachable."""
        path = resource.path(namespace, name)
        try:
            return checked(await self._send("GET", path, resource.name))
        except (KeyError, TypeError, ValueError) as error:
            raise Unreachable(f"GET {path}: the answer is not a Kubernetes object", ambiguous=False) from error

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        metadata_only: bool = False,
        page_size: int = PAGE_SIZE,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ListResult:
        """A consistent list of all pages. When its continue token expires it starts over, in one piece.

        ``metadata_only``: items have nothing but ``metadata``, without managedFields.
        """
        fetch = self._fetch(resource, namespace, METADATA_ONLY if metadata_only else None)
        convert = _bare if metadata_only else _named(resource)
        return await all_pages(fetch, object_page, convert, page_size, label_selector, field_selector)

    async def list_as(
        self,
        convert: Callable[[Object], T],
        resource: Resource,
        namespace: str = "",
        *,
        page_size: int = PAGE_SIZE,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listed[T]:
        """As ``list``, but of each object only what ``convert`` makes of it is kept once its page is read."""
        named = _named(resource)
        return await all_pages(
            self._fetch(resource, namespace), object_page, lambda obj: convert(named(obj)),
            page_size, label_selector, field_selector,
        )  # fmt: skip

    async def list_identities(
        self,
        convert: Callable[[Identity], T],
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listed[T]:
        """As ``list_as``, of which objects there are and in which version."""
        fetch = self._fetch(resource, namespace, METADATA_ONLY)
        return await all_pages(fetch, identity_page, convert, IDENTITIES_PAGE_SIZE, label_selector, field_selector)

    def _fetch(self, resource: Resource, namespace: str, accept: str | None = None) -> Fetch:
        path = resource.path(namespace)
        return partial(self._send_raw, "GET", path, resource.name, accept=accept, verb="LIST")

    async def watch(
        self,
        resource: Resource,
        resource_version: int,
        namespace: str = "",
        *,
        timeout_seconds: int,
        inactivity: float,
        on_open: Callable[[], None] = lambda: None,
        field_selector: str = "",
        label_selector: str = "",
    ) -> AsyncGenerator[WatchEvent]:
        """Events after ``resource_version``, with bookmarks, until the server ends the stream.

        ``on_open`` is called when the server has accepted the watch.

        ``inactivity``: seconds of silence after which the stream counts as dead (Unreachable). Raises Gone when the
        version is too old, at the start or in the stream; ApiError, Unreachable. Close it (``aclosing``) when done.
        """
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(resource_version),
            "timeoutSeconds": str(timeout_seconds),
        }
        if field_selector:
            params["fieldSelector"] = field_selector
        if label_selector:
            params["labelSelector"] = label_selector
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=inactivity)
        path = resource.path(namespace)
        async with self._open("GET", path, resource.name, params=params, verb="WATCH", timeout=timeout) as response:
            on_open()
            async for line in json_lines(response.content.iter_any()):
                yield _event(line)

    async def create(self, resource: Resource, obj: Object, *, field_manager: str) -> Object:
        """Create ``obj`` in the namespace that it names. Raises AlreadyExists, Invalid, Forbidden, ..."""
        path = resource.path(obj["metadata"].get("namespace") or "")
        return await self._send("POST", path, resource.name, params={"fieldManager": field_manager}, body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: list[Object] | Object,  # type: ignore[valid-type]  # `list` is also the method above
        *,
        field_manager: str,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """JSON patch (a list) or merge patch (a mapping); the latter raises Conflict on another resourceVersion."""
        params = {"fieldManager": field_manager}
        if dry_run:
            params["dryRun"] = "All"
        kind = MERGE_PATCH if isinstance(patch, dict) else JSON_PATCH
        path = resource.path(namespace, name, subresource)
        return await self._send("PATCH", path, resource.name, params=params, body=patch, content_type=kind)

    async def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str) -> None:
        """Delete exactly the object with this uid. Raises NotFound; Conflict when the name is another object's."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self._send("DELETE", resource.path(namespace, name), resource.name, body=options)

    async def discover(self, group: str, version: str) -> dict[str, Resource]:
        """The resources of a group and version by plural. Raises NotFound when the server has no such version."""
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        served = (await self._send("GET", path, path))["resources"]
        names = {entry["name"] for entry in served}
        return {
            plural: Resource(
                group, version, plural, entry["kind"], bool(entry["namespaced"]), f"{plural}/status" in names
            )
            for entry in served
            if "/" not in (plural := entry["name"])
        }

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str | None = None,
        accept: str | None = None,
    ) -> Object:
        """Any other request; ``body`` is sent as JSON. Counted under its path."""
        return await self._send(method, path, path, params=params, body=body, content_type=content_type, accept=accept)

    async def _send(
        self,
        method: str,
        path: str,
        counted: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str | None = None,
        accept: str | None = None,
    ) -> Object:
        raw = await self._send_raw(
            method, path, counted, params=params, body=body, content_type=content_type, accept=accept
        )
        try:
            answer = loads(raw) if raw else {}
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            text = f"{method} {path}: '{self.connection.server}' answered with no JSON object"
            raise Unreachable(f"{text}; is it a Kubernetes API server?", ambiguous=True)
        return answer

    async def _send_raw(
        self,
        method: str,
        path: str,
        counted: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str | None = None,
        accept: str | None = None,
        verb: str | None = None,
    ) -> bytearray:
        timeout = aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT_SECONDS)
        headers = {"Accept": accept} if accept else {}
        data = None
        if body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = content_type or "application/json"
        async with self._open(
            method, path, counted, params=params, data=data, headers=headers, verb=verb, timeout=timeout
        ) as response:
            raw = bytearray()
            async for piece in response.content.iter_any():
                raw += piece  # in place: `read` would for a moment hold a large answer twice
            return raw

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        counted: str,
        *,
        timeout: aiohttp.ClientTimeout,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        verb: str | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send; raise what is not a 2xx; translate the network's faults. A 401 is asked again with a fresh token."""
        if self._session is None:
            raise RuntimeError("ApiClient is used outside its 'async with'")
        url = URL(self.connection.server + path, encoded=True)
        sent = SimpleNamespace(sent=False)
        fresh_token_left = self._token.renewable
        try:
            while True:
                self.requests[(verb or method, counted)] += 1
                async with self._session.request(
                    method,
                    url,
                    params=params,
                    data=data,
                    headers={**(headers or {}), **self._authorization()},
                    timeout=timeout,
                    allow_redirects=False,  # a token must never follow a redirect
                    server_hostname=self.connection.tls_server_name,
                    trace_request_ctx=sent,
                ) as response:
                    if response.status < 300:
                        yield response
                        return
                    error = error_from_response(
                        response.status, await response.read(), response.headers.get("Retry-After")
                    )
                if not (isinstance(error, Unauthorized) and fresh_token_left):
                    raise error
                fresh_token_left = False
                self._token.forget()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = str(error) or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)
            raise Unreachable(f"{method} {self.connection.server}{path}: {what}", ambiguous=sent.sent) from error

    def _authorization(self) -> dict[str, str]:
        token = self._token.current()
        return {"Authorization": f"Bearer {token}"} if token else {}


def _bare(obj: Object) -> Object:
    """Of metadata alone managedFields are the larger part, and nobody reads them."""
    obj["metadata"].pop("managedFields", None)
    return obj


def _named(resource: Resource) -> Callable[[Object], Object]:
    """Lists of built-in kinds leave out what each object is."""

    def name(obj: Object) -> Object:
        obj.setdefault("apiVersion", resource.api_version)
        obj.setdefault("kind", resource.kind)
        return obj

    return name


def _event(line: Object) -> WatchEvent:
    """An event from a line of a watch. Raises the ApiError of an ERROR; Unreachable for what makes no sense."""
    kind: Any = line.get("type")
    obj: Any = line.get("object")
    try:
        if kind == "ERROR" and isinstance(obj, dict):
            raise error_from_status(obj)
        if kind == "BOOKMARK":
            int(obj["metadata"]["resourceVersion"])
        elif kind in ("ADDED", "MODIFIED", "DELETED"):
            checked(obj)
        else:
            raise ValueError(f"type {kind!r}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreachable(f"a watch line is not an event: {error!r}", ambiguous=False) from error
    return WatchEvent(kind, obj)


async def _mark_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """From here on a lost connection leaves open whether the request was carried out."""
    context.trace_request_ctx.sent = True
