# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""An administrator's client of one API server, past the proxies. It shares no code with what is under test."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import yaml

QUEUES = "/apis/demo.tmc.io/v1"
MERGE = "application/merge-patch+json"
BIGGEST_LINE = 2**24


class Refused(Exception):
    """The API server's answer was no 2xx: (status code, message)."""

    @property
    def code(self) -> int:
        return int(self.args[0])


class Admin:
    """`url` and `authority` (PEM) of the API server; `session` carries the credential."""

    def __init__(self, name: str, url: str, authority: bytes, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.url = url
        self.authority = authority
        self._session = session

    async def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Raises Refused."""
        data = None if body is None else orjson.dumps(body)
        async with self._session.request(
            method, self.url + path, data=data, headers={"Content-Type": content_type}
        ) as answer:
            raw = await answer.read()
            document = orjson.loads(raw) if raw.startswith((b"{", b"[")) else {"message": raw.decode(errors="replace")}
            if answer.status >= 300:
                raise Refused(answer.status, document.get("message", ""))
            return document

    async def get(self, path: str) -> dict[str, Any] | None:
        """None when there is no such object."""
        try:
            found: dict[str, Any] = await self.request("GET", path)
        except Refused as refused:
            if refused.code != 404:
                raise
            return None
        return found

    async def merge(self, path: str, patch: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self.request("PATCH", path, patch, MERGE)
        return answer

    async def watch(self, path: str, resource_version: str) -> AsyncIterator[dict[str, Any]]:
        """Events after that version, for a day at most."""
        query = f"?watch=1&resourceVersion={resource_version}&timeoutSeconds=86400&allowWatchBookmarks=true"
        async with self._session.get(
            self.url + path + query, timeout=aiohttp.ClientTimeout(total=None, sock_read=None)
        ) as answer:
            if answer.status != 200:
                raise Refused(answer.status, await answer.text())
            async for line in answer.content:
                yield orjson.loads(line)


def queue_path(namespace: str = "", name: str = "", subresource: str = "") -> str:
    place = f"/namespaces/{namespace}" if namespace else ""
    return QUEUES + "/".join(part for part in (f"{place}/taskqueues", name, subresource) if part)


@asynccontextmanager
async def administrator(name: str, kubeconfig: str) -> AsyncIterator[Admin]:
    """`kubeconfig`: its text, with a token."""
    document = yaml.safe_load(kubeconfig)
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"])
    async with session(authority, {"Authorization": f"Bearer {user['token']}"}) as opened:
        yield Admin(name, cluster["server"], authority, opened)


@asynccontextmanager
async def session(authority: bytes, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections to a server that this authority vouches for."""
    context = ssl.create_default_context(cadata=authority.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, read_bufsize=BIGGEST_LINE, timeout=aiohttp.ClientTimeout(total=None)
    ) as opened:
        yield opened
