# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""An API server in the test's own process: real resourceVersions, watches, pages, preconditions, and faults on demand.

    async with FakeApi(WIDGETS) as api, ApiClient(api.connection) as client: ...

What other people do to the cluster: ``put``, ``remove``. What goes wrong: ``fail``, ``intercept``, ``drop``,
``hang_watches``, ``end_watches``, ``cut_watches``, ``say``, ``compact``, ``stop_listening``. What was asked: ``calls``.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import orjson
from aiohttp import web

from tmc.api.kubeconfig import Connection
from tmc.api.resource import Resource

Object = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Call:
    """One request, as the API server understood it. ``verb``: GET, LIST, WATCH, POST, PATCH, DELETE."""

    verb: str
    resource: str
    namespace: str
    name: str
    subresource: str
    request: web.Request
    body: Any = None


Intercept = Callable[[Call], Awaitable[web.StreamResponse | None]]


@dataclass(frozen=True)
class Nested:
    """A value of so many levels; deeper ones than Python's writers of JSON take are served, too."""

    levels: int


class Refused(Exception):
    """Becomes a Status answer."""

    def __init__(self, code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> None:
        self.status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
        self.status["message"] = message
        self.code = code
        self.headers = headers or {}
        super().__init__(message)

    def response(self) -> web.Response:
        body = orjson.dumps(self.status)
        return web.Response(status=self.code, body=body, content_type="application/json", headers=self.headers)


@dataclass(eq=False)
class _Watch:
    resource: str
    namespace: str
    name: str = ""  # when set, of `fieldSelector=metadata.name=`, only this object
    hung: bool = False
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    cut: bool = False


class FakeApi:
    """See the module."""

    def __init__(self, *resources: Resource, name: str = "fake", resource_version: int = 1000) -> None:
        self.name = name
        self.resources = {resource.name: resource for resource in resources}
        self.objects: dict[str, dict[Key, Object]] = {resource.name: {} for resource in resources}
        self.version = resource_version
        self.compacted = resource_version
        self.calls: list[Call] = []
        self.drop: Callable[[str, Object], bool] = lambda _type, _obj: False  # an event that it is true of is lost
        self.token: str | None = None  # when set, other bearer tokens are refused
        self.watches: list[_Watch] = []
        self._history: list[tuple[int, str, str, Object]] = []
        self._intercepts: list[tuple[str, str, Intercept]] = []
        self._snapshots: dict[str, tuple[int, list[Object]]] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0

    # -- life

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.listen()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.end_watches()
        assert self._runner is not None
        await self._runner.cleanup()

    async def listen(self) -> None:
        """Open the port; the same one after ``stop_listening``."""
        assert self._runner is not None
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def stop_listening(self) -> None:
        """Refuse connections; open watches end."""
        assert self._runner is not None
        self.end_watches()
        for site in list(self._runner.sites):
            await site.stop()
        assert self._runner.server is not None
        await self._runner.server.shutdown(0.1)

    @property
    def connection(self) -> Connection:
        return Connection(name=self.name, server=f"http://127.0.0.1:{self._port}", token=self.token)

    # -- what others do

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """A copy of an object as it is; KeyError when there is none."""
        return copy.deepcopy(self.objects[resource.name][(namespace, name)])

    def put(self, resource: Resource, obj: Object) -> Object:
        """Create or replace, as somebody else would; the system's metadata is taken care of."""
        obj = copy.deepcopy(obj)
        metadata = obj.setdefault("metadata", {})
        key = (metadata.get("namespace") or "", metadata["name"])
        before = self.objects[resource.name].get(key)
        obj.setdefault("apiVersion", resource.api_version)
        obj.setdefault("kind", resource.kind)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, value in (("uid", str(uuid.uuid4())), ("creationTimestamp", now), ("generation", 1)):
            metadata[name] = before["metadata"][name] if before else metadata.get(name, value)
        metadata.setdefault("managedFields", [{"manager": "fake"}])
        if before and _intent(before) != _intent(obj):
            metadata["generation"] += 1
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            del self.objects[resource.name][key]
            self._tell("DELETED", resource, obj)
        else:
            self.objects[resource.name][key] = obj
            self._tell("MODIFIED" if before else "ADDED", resource, obj)
        return copy.deepcopy(obj)

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Delete; an object with finalizers stays, with a deletionTimestamp."""
        obj = self.get(resource, name, namespace)
        if obj["metadata"].get("deletionTimestamp") and obj["metadata"].get("finalizers"):
            return
        obj["metadata"]["deletionTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.put(resource, obj)

    def _tell(self, kind: str, resource: Resource, obj: Object) -> None:
        self._history.append((self.version, resource.name, kind, copy.deepcopy(obj)))
        for watch in self.watches:
            self._deliver(watch, resource.name, kind, obj)

    def _deliver(self, watch: _Watch, resource: str, kind: str, obj: Object) -> None:
        inside = watch.namespace in ("", obj["metadata"].get("namespace") or "")
        inside = inside and watch.name in ("", obj["metadata"]["name"])
        if resource == watch.resource and inside and not watch.hung and not self.drop(kind, obj):
            watch.lines.put_nowait(_json({"type": kind, "object": obj}) + b"\n")

    # -- what goes wrong

    def intercept(self, action: Intercept, verb: str = "*", resource: str = "*", times: int = 1) -> None:
        """Let ``action`` answer the next ``times`` calls (None: carry on as usual)."""
        left = times

        async def limited(call: Call) -> web.StreamResponse | None:
            nonlocal left
            if left <= 0:
                return None
            left -= 1
            return await action(call)

        self._intercepts.append((verb, resource, limited))

    def fail(
        self, verb: str, code: int, reason: str = "", *, resource: str = "*", times: int = 1, retry_after: str = ""
    ) -> None:
        """Answer the next calls with an error."""
        headers = {"Retry-After": retry_after} if retry_after else {}

        async def answer(_call: Call) -> web.StreamResponse:
            raise Refused(code, reason, f"made to fail with {code}", headers)

        self.intercept(answer, verb, resource, times)

    def hang_watches(self) -> None:
        """The streams that are open now stay open and never say anything again."""
        for watch in self.watches:
            watch.hung = True

    def end_watches(self) -> None:
        """A clean end of every open stream."""
        for watch in self.watches:
            watch.lines.put_nowait(None)

    def cut_watches(self, last: bytes) -> None:
        """End every open stream with ``last`` and without its newline."""
        for watch in self.watches:
            watch.lines.put_nowait(last)
            watch.lines.put_nowait(None)

    def say(self, kind: str, obj: Object) -> None:
        """Put a line of any content into every open stream."""
        for watch in self.watches:
            watch.lines.put_nowait(orjson.dumps({"type": kind, "object": obj}) + b"\n")

    def bookmark(self) -> None:
        self.say("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def compact(self) -> None:
        """Forget history: a watch or continue token from before now gets 410."""
        self.compacted = self.version
        self._snapshots.clear()

    # -- serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            call = await self._understand(request)
            self.calls.append(call)
            if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            for verb, resource, action in self._intercepts:
                if verb in ("*", call.verb) and resource in ("*", call.resource):
                    answer = await action(call)
                    if answer is not None:
                        return answer
            return await self._answer(call)
        except Refused as refused:
            return refused.response()

    async def _understand(self, request: web.Request) -> Call:
        parts = request.path.strip("/").split("/")
        group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = (*rest, "", "", "")[:3]
        resource = f"{plural}.{group}" if group else plural
        verb = request.method
        if verb == "GET" and not name:
            verb = "WATCH" if request.query.get("watch") else "LIST"
        raw = await request.read()
        return Call(verb, resource, namespace, name, subresource, request, orjson.loads(raw) if raw else None)

    async def _answer(self, call: Call) -> web.StreamResponse:
        if call.resource not in self.resources:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if call.verb == "WATCH":
            return await self._watch(call)
        handler = {"LIST": self._list, "GET": self._find, "POST": self._create}
        answer = {**handler, "PATCH": self._patch, "DELETE": self._delete}[call.verb](call)
        return web.Response(body=_json(answer), content_type="application/json")

    def _visible(self, call: Call) -> Iterator[Object]:
        for (namespace, _), obj in sorted(self.objects[call.resource].items()):
            if call.namespace in ("", namespace) and _selected(call) in ("", obj["metadata"]["name"]):
                yield obj

    def _list(self, call: Call) -> Object:
        query = call.request.query
        token, limit = query.get("continue"), int(query.get("limit") or 0)
        if token:
            if token not in self._snapshots:
                raise Refused(410, "Expired", "The provided continue parameter is too old")
            version, items = self._snapshots.pop(token)
        else:
            version, items = self.version, [copy.deepcopy(obj) for obj in self._visible(call)]
        metadata: Object = {"resourceVersion": str(version)}
        if limit and len(items) > limit:
            metadata["continue"] = uuid.uuid4().hex
            self._snapshots[metadata["continue"]] = (version, items[limit:])
            items = items[:limit]
        if "PartialObjectMetadataList" in call.request.headers.get("Accept", ""):
            items = [{"metadata": item["metadata"]} for item in items]
        return {"kind": "List", "metadata": metadata, "items": items}

    def _find(self, call: Call) -> Object:
        try:
            return copy.deepcopy(self.objects[call.resource][(call.namespace, call.name)])
        except KeyError:
            raise Refused(404, "NotFound", f'{call.resource} "{call.name}" not found') from None

    def _create(self, call: Call) -> Object:
        if call.subresource == "token":
            return {"status": {"token": self.token or "fake"}}
        name = call.body["metadata"]["name"]
        if (call.namespace, name) in self.objects[call.resource]:
            raise Refused(409, "AlreadyExists", f'{call.resource} "{name}" already exists')
        obj = copy.deepcopy(call.body)
        obj["metadata"].pop("uid", None)
        if self.resources[call.resource].has_status:
            obj.pop("status", None)
        return self.put(self.resources[call.resource], obj)

    def _patch(self, call: Call) -> Object:
        before = self._find(call)
        after = copy.deepcopy(before)
        if isinstance(call.body, list):
            for operation in call.body:
                _apply_json_patch(after, operation)
        else:
            after = _merge(after, call.body)
        if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified")
        if call.subresource == "status":
            after = {**before, "status": after.get("status")}
        elif self.resources[call.resource].has_status:
            after.pop("status", None)
            after |= {"status": before["status"]} if "status" in before else {}
        if after == before or call.request.query.get("dryRun"):
            return after
        return self.put(self.resources[call.resource], after)

    def _delete(self, call: Call) -> Object:
        obj = self._find(call)
        wanted = ((call.body or {}).get("preconditions") or {}).get("uid")
        if wanted not in (None, obj["metadata"]["uid"]):
            raise Refused(409, "Conflict", "the UID in the precondition does not match")
        self.remove(self.resources[call.resource], call.name, call.namespace)
        return {"kind": "Status", "status": "Success"}

    async def _watch(self, call: Call) -> web.StreamResponse:
        since = int(call.request.query["resourceVersion"])
        if since < self.compacted:
            raise Refused(410, "Expired", f"too old resource version: {since} ({self.compacted})")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(call.request)
        watch = _Watch(call.resource, call.namespace, _selected(call))
        for version, resource, kind, obj in self._history:
            if version > since:
                self._deliver(watch, resource, kind, obj)
        self.watches.append(watch)
        try:
            while (line := await watch.lines.get()) is not None:
                await response.write(line)
        except ConnectionError:
            pass  # the client went away
        finally:
            self.watches.remove(watch)
        return response


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_nested, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _nested(value: Any) -> orjson.Fragment:
    if not isinstance(value, Nested):
        raise TypeError
    return orjson.Fragment(b'{"a":' * value.levels + b"1" + b"}" * value.levels)


def _selected(call: Call) -> str:
    """The one name that a list or watch is for; empty: all. Other field selectors are not in this fake."""
    return call.request.query.get("fieldSelector", "").removeprefix("metadata.name=")


def _intent(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _apply_json_patch(obj: Object, operation: Object) -> None:
    """RFC 6902: test, add, replace, remove."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    target: Any = obj
    refused = Refused(422, "Invalid", "the server rejected our request due to an error in our request")
    try:
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        place: Any = last
        if isinstance(target, list):
            place = len(target) if last == "-" else int(last)
        match operation["op"]:
            case "test" if operation["value"] is None and isinstance(target, dict):
                if target.get(place) is not None:  # what is not there is null
                    raise refused
            case "test":
                if target[place] != operation["value"]:
                    raise refused
            case "add" if isinstance(target, list):
                target.insert(place, operation["value"])
            case "add":
                target[place] = operation["value"]
            case "replace":
                target[place] = (target[place], operation["value"])[1]
            case "remove":
                del target[place]
            case other:
                raise Refused(400, "BadRequest", f"operation {other!r} is not in this fake")
    except (KeyError, IndexError, ValueError):
        raise refused from None
