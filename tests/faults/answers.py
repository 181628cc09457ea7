# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Answers that no API server gave, or not like this."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from tests.faults.plans import Fault

METADATA_ONLY = "PartialObjectMetadata"
DRIP_SECONDS = 0.02


class Gone(Exception):
    """The client is not to get (any more of) an answer: its connection is reset."""


def failure(status: int, retry_after: int | None) -> web.Response:
    """What an API server answers when it will not."""
    reasons = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 503: "ServiceUnavailable", 504: "Timeout"}
    document = status_object(status, reasons.get(status, "InternalError"))
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_response(document, status=status, headers=headers)


def status_object(code: int, reason: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"made up by the fault proxy: {reason}",
        "reason": reason,
        "code": code,
    }


def expired() -> bytes:
    return orjson.dumps({"type": "ERROR", "object": status_object(410, "Expired")}) + b"\n"


def metadata_only(listed: dict[str, Any]) -> dict[str, Any]:
    """What the API server makes of a list for a client that asks for metadata alone."""
    version = {"apiVersion": "meta.k8s.io/v1", "kind": METADATA_ONLY}
    items = [version | {"metadata": item["metadata"]} for item in listed["items"]]
    return version | {"kind": f"{METADATA_ONLY}List", "metadata": listed["metadata"], "items": items}


async def spoiled(request: web.BaseRequest, whole: web.Response, fault: Fault) -> web.StreamResponse:
    """The answer in small pieces, or only its beginning."""
    content = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    await response.prepare(request)
    if fault.action == "truncate":
        await response.write(content[: fault.do["truncate"]])
        raise Gone
    size = fault.do["drip"]
    for start in range(0, len(content), size):
        await response.write(content[start : start + size])
        await asyncio.sleep(DRIP_SECONDS)
    await response.write_eof()
    return response
