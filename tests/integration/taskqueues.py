# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""TaskQueues on a throwaway plane: installing the kinds, and asking the API server as a user's kubectl would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, NotFound
from tmc.api.resource import CUSTOM_RESOURCE_DEFINITIONS, Resource

TASK_QUEUES = Resource("demo.tmc.io", "v1", "taskqueues", "TaskQueue")
SYNCED_RESOURCES = Resource(
    "fabric.tmc.io", "v1alpha1", "syncedresources", "SyncedResource", namespaced=False, has_status=False
)
DEADLINE = 60.0  # seconds; only ends a hang


async def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true (awaited) answer of `condition`; fails with `what` after the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {DEADLINE:g} s: {what}")


async def install(client: ApiClient, *manifests: Path) -> None:
    """Apply the CRDs of `manifests` and wait until each is served."""
    for manifest in manifests:
        for crd in yaml.safe_load_all(manifest.read_text()):
            path = CUSTOM_RESOURCE_DEFINITIONS.path(name=crd["metadata"]["name"])
            params = {"fieldManager": "test", "force": "true"}
            await client.request("PATCH", path, params=params, body=crd, content_type="application/apply-patch+yaml")
            spec = crd["spec"]
            served = Resource(spec["group"], spec["versions"][0]["name"], spec["names"]["plural"], "")
            await eventually(lambda served=served: _listed(client, served), f"{served.name} is served")


async def _listed(client: ApiClient, resource: Resource) -> bool:
    try:
        await client.list(resource)
    except NotFound:
        return False
    return True


async def create(client: ApiClient, queue: dict[str, Any]) -> dict[str, Any]:
    """As kubectl does it: unknown fields are errors. Raises ApiError."""
    path = TASK_QUEUES.path(queue["metadata"].get("namespace", "default"))
    return await client.request("POST", path, params={"fieldValidation": "Strict"}, body=queue)


async def put_status(client: ApiClient, name: str, status: dict[str, Any] | None) -> dict[str, Any]:
    """Replace the whole status through the subresource (None: without one). Raises ApiError."""
    queue = await client.get(TASK_QUEUES, name, "default")
    queue.pop("status", None)
    body = queue | ({} if status is None else {"status": status})
    return await client.request("PUT", TASK_QUEUES.path("default", name, "status"), body=body)


async def refusal(attempt: Any) -> ApiError | None:
    """How the API server refused `attempt`, or None when it did not."""
    try:
        await attempt
    except ApiError as error:
        return error
    return None
