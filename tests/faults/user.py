# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What users do on the clusters, each on the cluster of their choice, in one namespace."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.faults.admin import Refused, queue_path
from tests.faults.lab import CLUSTERS, Lab
from tests.faults.rules import FINAL, origin_uid, spec_hash

PATIENCE = 120.0  # seconds; only ends a hang


class User:
    """Acts past the proxies and waits by the audit stream. Remembers what was acknowledged and not deleted."""

    def __init__(self, lab: Lab, namespace: str, options: dict[str, Any] | None = None) -> None:
        self.lab = lab
        self.options = options or {}
        self.namespace = namespace
        self.created = 0
        self.acknowledged: dict[tuple[str, str], str] = {}  # uid by cluster and name
        self._specs: dict[tuple[str, str], str] = {}  # hash of the newest spec, likewise

    async def enter(self) -> None:
        """The namespace exists where users create things; the fabric makes it elsewhere."""
        for cluster in CLUSTERS:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
            try:
                await self.lab.admins[cluster].request("POST", "/api/v1/namespaces", body)
            except Refused as refused:
                if refused.code != 409:
                    raise

    async def create(self, cluster: str, name: str, *tasks: dict[str, Any], **metadata: Any) -> str:
        """The uid of a new TaskQueue."""
        body = {
            "apiVersion": "demo.tmc.io/v1",
            "kind": "TaskQueue",
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": {"region": "r", "parallelism": 5, "tasks": list(tasks)},
        }
        made = await self.lab.admins[cluster].request("POST", queue_path(self.namespace), body)
        self.created += 1
        self.acknowledged[cluster, name] = made["metadata"]["uid"]
        self._specs[cluster, name] = spec_hash(made["spec"])
        return str(made["metadata"]["uid"])

    async def change(self, cluster: str, name: str, patch: dict[str, Any]) -> None:
        changed = await self.lab.admins[cluster].merge(queue_path(self.namespace, name), patch)
        if (cluster, name) in self._specs:
            self._specs[cluster, name] = spec_hash(changed["spec"])

    async def delete(self, cluster: str, name: str) -> str:
        """Delete what the user has created there; its uid."""
        uid = self.acknowledged.pop((cluster, name))
        self.lab.audit.judge.released.add(uid)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self.lab.admins[cluster].request("DELETE", queue_path(self.namespace, name), options)
        return uid

    async def release(self, cluster: str, name: str) -> None:
        """Delete it and take off every finalizer that users and operators of a story have left on it."""
        if (self.see(cluster, name) or {"metadata": {}})["metadata"].get("finalizers"):
            path = queue_path(self.namespace, name)
            found = await self.lab.admins[cluster].get(path) or {"metadata": {}}
            ours = [each for each in found["metadata"].get("finalizers") or () if each.startswith("tmc.io/")]
            version = found["metadata"].get("resourceVersion")
            await self.lab.admins[cluster].merge(path, {"metadata": {"finalizers": ours, "resourceVersion": version}})
        await self.delete(cluster, name)

    def see(self, cluster: str, name: str) -> dict[str, Any] | None:
        return self.lab.audit.get(cluster, self.namespace, name)

    async def until(self, condition: Any, what: str) -> Any:
        return await self.lab.audit.until(condition, f"{self.namespace}: {what}", PATIENCE)

    async def done_everywhere(self, cluster: str, name: str) -> None:
        """Every cluster has that very object with its present spec, and shows that the work on it is done."""
        uid, spec = self.acknowledged[cluster, name], self._specs[cluster, name]
        await self.until(
            lambda: all(self._done(each, name, uid, spec) for each in CLUSTERS), f"{name} is done everywhere"
        )

    def _done(self, cluster: str, name: str, uid: str, spec: str) -> bool:
        obj = self.see(cluster, name)
        if obj is None or origin_uid(obj) != uid or spec_hash(obj["spec"]) != spec:
            return False
        status = obj.get("status") or {}
        return status.get("phase") in FINAL and status.get("observedSpecHash") == spec

    async def everywhere(self, cluster: str, name: str) -> None:
        """Every cluster has that very object."""
        uid = self.acknowledged[cluster, name]
        await self.until(lambda: all(self._has(each, name, uid) for each in CLUSTERS), f"{name} is everywhere")

    def _has(self, cluster: str, name: str, uid: str) -> bool:
        obj = self.see(cluster, name)
        return obj is not None and origin_uid(obj) == uid

    async def gone_everywhere(self, name: str) -> None:
        await self.until(lambda: not any(self.see(each, name) for each in CLUSTERS), f"{name} is gone everywhere")


def task(name: str, **simulate: Any) -> dict[str, Any]:
    return {"name": name, "command": f"do {name}"} | ({"simulate": simulate} if simulate else {})


async def insist(attempt: Any, code: int) -> Any:
    """Call `attempt()` until the API server does not answer with this code any more. Raises Refused for others."""
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            return await attempt()
        except Refused as refused:
            if refused.code != code or time.monotonic() > ends:
                raise
        await asyncio.sleep(0.05)
