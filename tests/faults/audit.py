# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The audit stream: everything that happens to TaskQueues on all clusters, watched past the proxies."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.faults.admin import Admin, queue_path
from tests.faults.rules import Judge

Key = tuple[str, str]  # namespace, name
HISTORY = 400


class Audit:
    """`objects`: what every cluster has now, by namespace and name. `history`: the last events of each namespace."""

    def __init__(self) -> None:
        self.judge = Judge()
        self.objects: dict[str, dict[Key, dict[str, Any]]] = {}
        self.history: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=HISTORY))
        self._changed = asyncio.Event()
        self._failed: BaseException | None = None

    def get(self, cluster: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects[cluster].get((namespace, name))

    def of(self, cluster: str, namespace: str) -> dict[str, dict[str, Any]]:
        """The objects of a namespace by name."""
        return {key[1]: obj for key, obj in self.objects[cluster].items() if key[0] == namespace}

    async def until(self, condition: Callable[[], Any], what: str, deadline: float) -> Any:
        """The first true answer of `condition`, asked after every event. Raises TimeoutError, naming `what`."""
        ends = time.monotonic() + deadline
        while not (answer := condition()):
            if self._failed is not None:
                raise RuntimeError("the audit stream ended") from self._failed
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {deadline:g} s: {what}")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                continue
        return answer

    async def follow(self, admin: Admin) -> None:
        """Never returns: an audit that misses events would prove nothing.

        An API server ends the watch of a reader that is too slow for it; the next one begins where that ended.
        """
        try:
            listed = await admin.request("GET", queue_path())
            self.objects[admin.name] = {key_of(obj): obj for obj in listed["items"]}
            self._changed.set()
            version = listed["metadata"]["resourceVersion"]
            while True:
                async for event in admin.watch(queue_path(), version):
                    self._take(admin.name, event)
                    version = event["object"]["metadata"]["resourceVersion"]
        except Exception as error:
            self._failed = error
            self._changed.set()
            raise

    def _take(self, cluster: str, event: dict[str, Any]) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "BOOKMARK":
            return
        if kind == "ERROR":
            raise RuntimeError(f"the watch of {cluster} broke: {obj}")
        key = key_of(obj)
        if kind == "DELETED":
            self.objects[cluster].pop(key, None)
        else:
            self.objects[cluster][key] = obj
        self.history[key[0]].append(told(cluster, kind, obj))
        self.judge.feed(cluster, kind, obj, time.monotonic())
        self._changed.set()


def key_of(obj: dict[str, Any]) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def told(cluster: str, kind: str, obj: dict[str, Any]) -> str:
    """One line for a person who looks for what went wrong."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    origin = (metadata.get("labels") or {}).get("tmc.io/origin", "-")
    parts = [
        f"{time.time() % 1000:8.3f} {cluster:5} {kind:8} {metadata['name']:12} rv {metadata['resourceVersion']}",
        f"uid {metadata['uid'][:8]} of {origin}",
        f"gen {metadata.get('generation')} {status.get('phase', '')} {status.get('progress', '')}",
        "deleting" if metadata.get("deletionTimestamp") else "",
        ",".join(metadata.get("finalizers") or ()),
    ]
    return "  ".join(part for part in parts if part)


@asynccontextmanager
async def auditing(admins: dict[str, Admin]) -> AsyncIterator[Audit]:
    audit = Audit()
    tasks = [asyncio.create_task(audit.follow(admin)) for admin in admins.values()]
    try:
        await audit.until(lambda: len(audit.objects) == len(admins), "all clusters are listed", 60.0)
        yield audit
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
