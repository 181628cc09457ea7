# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A TLS proxy for one process and one API server, which spoils what it carries as an armed plan says."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from tests.faults.answers import METADATA_ONLY, Gone, expired, failure, metadata_only, spoiled
from tests.faults.calls import Call, Entry, parse_call
from tests.faults.plans import Armed, Fault

HOP_BY_HOP = frozenset({"host", "accept-encoding", "content-length", "transfer-encoding", "connection", "keep-alive"})
FLAP_SECONDS = 0.2


class World(Protocol):
    """What the proxies share: the plan, the journal, and the hands that carry out what is not theirs."""

    armed: Armed | None
    journal: list[Entry]
    defects: list[str]

    async def kill(self, process: str, fault: Fault) -> None: ...

    async def freeze(self, process: str, fault: Fault) -> None: ...

    async def take_snapshot(self, name: str) -> None: ...

    def snapshot(self, name: str, cluster: str) -> dict[str, Any] | None: ...

    def partition(self, fault: Fault) -> None: ...

    def soon(self, job: Coroutine[Any, Any, None]) -> None: ...

    def brings_back(self, obj: dict[str, Any]) -> None: ...


@dataclass
class Link:
    """The connections of one process to one cluster. `broken`: how all of them fail at present, if they do."""

    process: str
    cluster: str
    world: World
    upstream: str
    session: aiohttp.ClientSession
    broken: str = ""
    silent_until: float = 0.0
    url: str = ""
    _held_in: Armed | None = None
    _open: set[asyncio.Transport] = field(default_factory=set)
    _whole: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return f"{self.process}>{self.cluster}"

    def break_off(self, how: str) -> None:
        """All connections fail from now on, until `mend`; what is under way is cut off (but for `hang`: it hangs)."""
        self.broken = how
        self._whole.clear()
        if how != "hang":
            self.cut_all()

    def mend(self) -> None:
        self.broken = ""
        self._whole.set()

    def cut_all(self) -> None:
        for transport in list(self._open):
            transport.abort()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            raise Gone
        self._open.add(transport)
        try:
            raw = await request.read()
            body = orjson.loads(raw) if raw else None
            call = parse_call(self.process, self.cluster, request.method, request.path, dict(request.query), body)
            if call.verb == "WATCH":
                return await self._watch(request, call)
            # What was begun is ended, also when the client dies over it: its death is often our own doing.
            answering = asyncio.ensure_future(self._answer(request, call, raw, body))
            answering.add_done_callback(seen)
            return await asyncio.shield(answering)
        except (Gone, ConnectionError, aiohttp.ClientConnectionError):
            transport.abort()
            raise
        finally:
            self._open.discard(transport)

    async def befall(self, fault: Fault) -> None:
        """What happens to the process or to links, whatever call it is that brings it about."""
        match fault.action:
            case "kill":
                await self.world.kill(self.process, fault)
                raise Gone
            case "freeze":
                await self.world.freeze(self.process, fault)
            case "snapshot":
                await self.world.take_snapshot(fault.do["snapshot"])
            case "partition":
                self.world.partition(fault)
                await asyncio.sleep(0)  # the partition begins before this call goes on

    # -- single answers

    async def _answer(self, request: web.BaseRequest, call: Call, raw: bytes, body: Any) -> web.StreamResponse:
        entry = Entry(time.monotonic(), call, body=body if call.is_write else None)
        if call.is_write:
            self.world.journal.append(entry)
        await self.when_broken(before=True)
        faults = self.world.armed.due(call) if self.world.armed else []
        for fault in faults:
            if fault.action == "late":
                self.world.soon(self._late(request, raw, entry, fault.do["late"]))
                raise Gone
            made_up = await self._before(call, fault)
            if made_up is not None:
                return made_up
            stale = self._stale(request, call, fault)
            if stale is not None:
                return stale
        status, headers, content = await self._forward(request, raw)
        entry.status = status
        await self.when_broken(before=False)
        for fault in faults:
            await self._withheld(call, fault)
        return await self._give(request, call, faults, web.Response(status=status, headers=headers, body=content))

    async def _late(self, request: web.BaseRequest, raw: bytes, entry: Entry, seconds: float) -> None:
        await asyncio.sleep(seconds)
        entry.at = time.monotonic()
        if entry.call.verb == "CREATE":
            self.world.brings_back(entry.body)
        entry.status, _, _ = await self._forward(request, raw)

    async def when_broken(self, *, before: bool) -> None:
        if self.broken == "hang":
            await self._whole.wait()
            raise Gone
        if self.broken and (self.broken != "answers" or not before):
            raise Gone

    async def _before(self, call: Call, fault: Fault) -> web.Response | None:
        do = fault.do
        match fault.action:
            case "kill" if do["kill"] == "before":
                await self.befall(fault)
            case "cut" if do["cut"] == "before":
                raise Gone
            case "hang":
                await asyncio.sleep(do["hang"])
                raise Gone
            case "freeze" | "snapshot" | "partition":
                await self.befall(fault)
                await self.when_broken(before=True)
            case "delay":
                await asyncio.sleep(do["delay"])
            case "error":
                return failure(do["error"], do.get("retry_after"))
        return None

    async def _withheld(self, call: Call, fault: Fault) -> None:
        if fault.do.get("kill") == "withheld":
            await self.world.kill(call.process, fault)
            raise Gone
        if fault.do.get("cut") == "withheld":
            raise Gone

    async def _give(
        self, request: web.BaseRequest, call: Call, faults: list[Fault], response: web.Response
    ) -> web.StreamResponse:
        for fault in faults:
            if fault.action in ("truncate", "drip"):
                return await spoiled(request, response, fault)
        answered = [fault for fault in faults if fault.do.get("kill") == "answered"]
        if answered:
            await response.prepare(request)
            await response.write_eof()
            await self.world.kill(call.process, answered[0])
        return response

    def _stale(self, request: web.BaseRequest, call: Call, fault: Fault) -> web.Response | None:
        """A list as the snapshot has it; None when this is none, or there is none that is older than the truth."""
        if fault.action != "stale" or call.verb != "LIST" or call.resource != "taskqueues":
            return None
        listed = self.world.snapshot(fault.do["stale"], self.cluster)
        if listed is None or self.world.armed is None:
            return None
        self.world.armed.met(fault)
        if self._held_in is not self.world.armed:  # once a run: a comparison lists again every floor
            self._held_in = self.world.armed
            self.silent_until = time.monotonic() + fault.do.get("hold", 0.0)
        if METADATA_ONLY in request.headers.get("Accept", ""):
            listed = metadata_only(listed)
        return web.json_response(body=orjson.dumps(listed))

    async def _forward(self, request: web.BaseRequest, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        async with self._asked(request, raw) as answer:
            headers = {key: answer.headers[key] for key in ("Content-Type", "Retry-After") if key in answer.headers}
            return answer.status, headers, await answer.read()

    def _asked(self, request: web.BaseRequest, raw: bytes) -> Any:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP}
        url = self.upstream + request.raw_path
        return self.session.request(request.method, URL(url, encoded=True), data=raw, headers=headers)

    # -- watches

    async def _watch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        await self.when_broken(before=True)
        for fault in self.world.armed.due(call) if self.world.armed else []:
            made_up = await self._before(call, fault)
            if made_up is not None:
                return made_up
        await self.when_broken(before=False)
        async with self._asked(request, b"") as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
            await response.prepare(request)
            if answer.status != 200:
                await response.write(await answer.read())
            else:
                await Stream(self, response).carry(call, answer.content)
            await response.write_eof()
            return response


class Stream:
    """One watch under way."""

    def __init__(self, link: Link, response: web.StreamResponse) -> None:
        self._link = link
        self._response = response
        self._kept: list[bytes] = []  # to come after the next one
        self._mute = False

    async def carry(self, call: Call, content: aiohttp.StreamReader) -> None:
        async for line in content:
            silence = self._link.silent_until - time.monotonic()
            if silence > 0:
                await asyncio.sleep(silence)
            if self._link.broken:
                await self._link.when_broken(before=False)
            world = self._link.world
            event = as_event(call, line) if world.armed else None
            faults = world.armed.due(event) if world.armed and event else []
            if not await self._pass_on(line, faults):
                return

    async def _pass_on(self, line: bytes, faults: list[Fault]) -> bool:
        """Whether the stream goes on."""
        lines = [line]
        for fault in faults:
            match fault.action:
                case "drop":
                    lines = []
                case "twice":
                    lines = [line, line]
                case "swap":
                    self._kept.append(line)
                    return True
                case "delay":
                    await asyncio.sleep(fault.do["delay"])
                case "mute":
                    self._mute = True
                case "gone" | "half" | "cut":
                    return await self._end(fault.action, line)
                case _:
                    await self._link.befall(fault)
        if not self._mute:
            for each in (*lines, *self._kept):
                await self._response.write(each)
        self._kept.clear()
        return True

    async def _end(self, how: str, line: bytes) -> bool:
        if how == "gone":
            await self._response.write(expired())
            return False
        if how == "half":
            await self._response.write(line[: len(line) // 2])
        raise Gone


def seen(task: asyncio.Future[web.StreamResponse]) -> None:
    """Take note of how it ended, so that asyncio does not complain when nobody waits for it any more."""
    if not task.cancelled():
        task.exception()


def as_event(call: Call, line: bytes) -> Call | None:
    document = orjson.loads(line)
    metadata = document["object"].get("metadata") or {}
    if document["type"] in ("BOOKMARK", "ERROR"):
        return None
    return Call(
        call.process,
        call.cluster,
        "EVENT",
        call.resource,
        metadata.get("namespace", ""),
        metadata.get("name", ""),
        event=document["type"],
    )


@asynccontextmanager
async def serving(link: Link, tls: ssl.SSLContext | None) -> AsyncIterator[Link]:
    """The link's proxy on a free port of 127.0.0.1; sets `link.url`."""
    # Cancellation ends the watch of a client that has gone.
    server = web.Server(quiet(link), access_log=None, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    scheme = "https" if tls else "http"
    link.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield link
    finally:
        link.cut_all()
        await runner.cleanup()


def quiet(link: Link) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """A reset is what was wanted: no traceback for it. A defect of the proxy itself is told to the world."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await link.handle(request)
        except (Gone, ConnectionError, aiohttp.ClientConnectionError):
            raise asyncio.CancelledError from None
        except Exception as error:
            link.world.defects.append(f"proxy {link.name}: {request.method} {request.path}: {error!r}")
            raise

    return handle
