# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A Client whose HTTP pool answers from a table; what it was asked is remembered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import urllib3

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Connection

Answer = tuple[int, Any]
SERVER = "https://10.0.0.1:6443"


class Pool:
    def __init__(self, answer: Callable[[str, str, Any], Answer]) -> None:
        self.headers = urllib3.HTTPHeaderDict()
        self.requests: list[tuple[str, str, Any]] = []
        self._answer = answer

    def request(self, method: str, url: str, *, body: bytes | None, **_options: Any) -> urllib3.HTTPResponse:
        path = url.removeprefix(SERVER)
        decoded = None if body is None else json.loads(body)
        self.requests.append((method, path, decoded))
        status, content = self._answer(method, path, decoded)
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        return urllib3.HTTPResponse(body=data, status=status, reason="Because", preload_content=True)


def status(code: int, reason: str, message: str = "", name: str = "") -> Answer:
    details = {"name": name} if name else {}
    return code, {"kind": "Status", "reason": reason, "message": message or reason, "details": details}


def client(answer: Callable[[str, str, Any], Answer]) -> tuple[Client, Pool]:
    made = Client(Connection(SERVER, "east"))
    pool = Pool(answer)
    made._pool = pool  # type: ignore[assignment]
    return made, pool
