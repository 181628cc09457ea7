# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The one status write: conditional on the version that was read, and never repeated blindly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tmc.api.client import Object
from tmc.api.errors import ApiError, Conflict, NotFound, Unreachable
from tmc.api.resource import Resource
from tmc.controller.model import Queue
from tmc.controller.resources import TASK_QUEUES
from tmc.core.backoff import Backoff

FIELD_MANAGER: Final = "taskqueue-controller"


class StatusClient(Protocol):
    """The part of `tmc.api.client.ApiClient` that is used here."""

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object: ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: list[Object] | Object,
        *,
        field_manager: str,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object: ...


@dataclass(frozen=True, slots=True)
class Written:
    """`acknowledged`: the status is on the API server, by this write. `problem`: why not, empty when merely overtaken.

    `retry_after`: seconds that the API server asked to wait.
    """

    acknowledged: bool
    problem: str = ""
    retry_after: float = 0.0


# Not at once again: the reflector may not know yet.
GONE: Final = Written(False, "the TaskQueue is gone")


class StatusWriter:
    """`remember(object)` takes what the API server answered, so that the next decision sees the own write."""

    def __init__(self, client: StatusClient, remember: Callable[[Object], None], *, longest_wait: float = 10.0) -> None:
        self._client = client
        self._remember = remember
        self._longest_wait = longest_wait

    async def write(self, queue: Queue, status: dict[str, Any]) -> Written:
        """Write `status` if the object is still at `queue.resource_version`. Returns when the result is certain."""
        patch: list[Object] = [
            # Answered with 409 when the object has moved on; a `test` would be answered with a vague 422.
            {"op": "replace", "path": "/metadata/resourceVersion", "value": queue.resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]
        namespace, name = queue.key
        try:
            self._remember(
                await self._client.patch(
                    TASK_QUEUES, name, namespace, patch, field_manager=FIELD_MANAGER, subresource="status"
                )
            )
        except NotFound:
            return GONE
        except (ApiError, Unreachable) as problem:
            return await self._read_back(queue, status, problem)
        return Written(True)

    async def _read_back(self, queue: Queue, status: dict[str, Any], problem: ApiError | Unreachable) -> Written:
        """A refusal, a lost answer: what the API server has now is the truth. The write may have been carried out."""
        try:
            current = await self._read(queue)
        except NotFound:
            return GONE
        self._remember(current)
        if current["metadata"]["uid"] == queue.uid and current.get("status") == status:
            return Written(True)
        if isinstance(problem, Conflict):
            return Written(False)
        return Written(False, str(problem), getattr(problem, "retry_after", None) or 0.0)

    async def _read(self, queue: Queue) -> Object:
        """The object as it is; asks until there is an answer. Raises NotFound."""
        namespace, name = queue.key
        backoff = Backoff(0.2, self._longest_wait)
        while True:
            try:
                return await self._client.get(TASK_QUEUES, name, namespace)
            except NotFound:
                raise
            except (ApiError, Unreachable) as problem:
                await asyncio.sleep(max(backoff.next(), getattr(problem, "retry_after", None) or 0.0))
