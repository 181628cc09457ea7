# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What an observer of a cluster sees and when, and how many writes its API server has counted."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from benchmarks.fabric import Clients
from benchmarks.kinds import NAMESPACE
from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Gone, Unreachable
from tmc.api.resource import Resource

DEADLINE = 900.0  # seconds; only ends a hang
WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION")
LABELS = re.compile(r'(\w+)="([^"]*)"')
Object = dict[str, Any]


class View:
    """All objects of a kind on one cluster, by name, by a watch; `statuses` counts the changes of status."""

    def __init__(self, objects: dict[str, Object]) -> None:
        self.objects = objects
        self.statuses: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def apply(self, kind: str, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if kind == "DELETED":
            self.objects.pop(name, None)
        else:
            if "status" in obj and obj["status"] != self.objects.get(name, {}).get("status"):
                self.statuses[name] += 1
            self.objects[name] = obj
        self._changed.set()

    def replace(self, items: list[Object]) -> None:
        """What a list says, in place of all that was known."""
        found = {item["metadata"]["name"]: item for item in items}
        for obj in [obj for name, obj in self.objects.items() if name not in found]:
            self.apply("DELETED", obj)
        for obj in found.values():
            self.apply("MODIFIED", obj)

    async def until(self, holds: Callable[[dict[str, Object]], bool], what: str) -> float:
        """When it was first seen to hold, by the performance counter. Raises TimeoutError that names `what`."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not holds(self.objects):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise TimeoutError(f"not within {DEADLINE:g} s: {what}") from error
        return time.perf_counter()


@asynccontextmanager
async def watched(client: ApiClient, kind: Resource) -> AsyncIterator[View]:
    """A view of a kind on a cluster while the context lasts."""
    view, opened = View({}), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_follow(client, kind, view, opened))
        await opened.wait()
        yield view
        task.cancel()


async def _follow(client: ApiClient, kind: Resource, view: View, opened: asyncio.Event) -> None:
    """List and watch. An API server ends the watch of an observer that falls behind: then from where it was."""
    version = 0
    while True:
        try:
            if not version:
                listed = await client.list(kind, NAMESPACE)
                view.replace(listed.items)
                version = listed.resource_version
            stream = client.watch(kind, version, NAMESPACE, timeout_seconds=3600, inactivity=3600, on_open=opened.set)
            async with aclosing(stream):
                async for event in stream:
                    version = int(event.object["metadata"]["resourceVersion"])
                    if event.type != "BOOKMARK":
                        view.apply(event.type, event.object)
        except Gone:
            version = 0
        except (ApiError, Unreachable) as error:
            print(f"  the watch of {kind.name} on {client.connection.name} goes on after: {error}", file=sys.stderr)
            await asyncio.sleep(0.2)


async def writes(clusters: Clients) -> dict[tuple[str, str], int]:
    """Writes so far as each API server counts them, refused ones too: (cluster, `PATCH parcels/status`) -> number."""
    texts = await asyncio.gather(*(asyncio.to_thread(metrics, client) for client in clusters.values()))
    return {
        (cluster, what): count
        for cluster, text in zip(clusters, texts, strict=True)
        for what, count in counted_writes(text).items()
    }


def counted_writes(text: str) -> Counter[str]:
    """Writes by verb and resource from the text of an API server's metrics; `PATCH parcels (409)` was refused."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("apiserver_request_total{"):
            labels = dict(LABELS.findall(line))
            if labels["verb"] in WRITES:
                resource = "/".join(part for part in (labels["resource"], labels.get("subresource", "")) if part)
                refused = f" ({labels['code']})" if labels["code"] >= "400" else ""
                found[f"{labels['verb']} {resource}{refused}"] += int(float(line.rsplit(" ", 1)[1]))
    return found


def metrics(client: ApiClient) -> str:
    connection, token = client.connection, client.token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{connection.server}/metrics", headers=headers)
    context: ssl.SSLContext = connection.ssl_context()
    with urllib.request.urlopen(request, context=context, timeout=60) as answer:
        return str(answer.read().decode())


async def settled(clusters: Clients, plural: str, *, seconds: float = 2.0) -> dict[tuple[str, str], int]:
    """The writes when, for some seconds, none of a resource has been added."""
    before = await writes(clusters)
    while True:
        await asyncio.sleep(seconds)
        after = await writes(clusters)
        if of_resource(before, plural) == of_resource(after, plural):
            return after
        before = after


def of_resource(counted: dict[tuple[str, str], int], plural: str) -> dict[tuple[str, str], int]:
    """Those of one resource, with its subresources."""
    return {key: n for key, n in counted.items() if key[1].split(" ")[1].split("/")[0] == plural}
