# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Events on users' objects: best effort, and the same thing is not said again for a while."""

from __future__ import annotations

import logging
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, ServerError, TooManyRequests, Unreachable
from tmc.api.resource import EVENTS

log = logging.getLogger(__name__)

REPEAT_SECONDS = 600.0
MOST_REMEMBERED = 5000
MAX_MESSAGE = 1024  # the API server's limit


class EventRecorder:
    """Writes core/v1 Events as ``component``; the same (uid, reason, message) at most once in 10 minutes."""

    def __init__(self, client: ApiClient, component: str) -> None:
        self._client = client
        self._component = component
        self._said: dict[tuple[str, str, str], float] = {}

    async def emit(
        self, obj: dict[str, Any], kind: str, api_version: str, reason: str, message: str, *, warning: bool = False
    ) -> None:
        """Tell of ``obj``. Never raises for a fault of the API server: an Event is not worth failing for."""
        message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 3] + "..."
        said = (obj["metadata"]["uid"], reason, message)
        if not self._is_news(said):
            return
        try:
            event = self._event(obj, kind, api_version, reason, message, "Warning" if warning else "Normal")
            await self._client.create(EVENTS, event, field_manager=self._component)
        except (ApiError, Unreachable) as error:
            log.info("event %s was not written: %s", reason, error)
            if isinstance(error, (ServerError, TooManyRequests, Unreachable)):
                self._said.pop(said, None)  # may succeed next time; a refusal would not

    def _is_news(self, said: tuple[str, str, str]) -> bool:
        now = time.monotonic()
        if now - self._said.get(said, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._said) >= MOST_REMEMBERED:
            self._said = {known: at for known, at in self._said.items() if now - at < REPEAT_SECONDS}
        self._said[said] = now
        return True

    def _event(
        self, obj: dict[str, Any], kind: str, api_version: str, reason: str, message: str, severity: str
    ) -> dict[str, Any]:
        metadata = obj["metadata"]
        namespace = metadata.get("namespace") or "default"  # where Events of cluster-scoped objects live
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reference = {
            "apiVersion": api_version,
            "kind": kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        if metadata.get("namespace"):
            reference["namespace"] = namespace
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": _event_name(metadata["name"]), "namespace": namespace},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "type": severity,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
        }


def _event_name(name: str) -> str:
    """An Event's own: of a long name what fits, and what is cut must not end where a name may not."""
    return f"{name[:230].rstrip('-.')}.{secrets.token_hex(8)}"
