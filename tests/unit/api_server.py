# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A little API server over TLS, and the state directory of a fabric whose clusters are all this one."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _embedded_pki as pki

# What a controller says of a Deployment of two that is rolled out.
ROLLED_OUT = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def deployed(folder: Path, server: str) -> Path:
    """The state directory of a fabric whose clusters are all this server; its certificate is in `folder`/pki."""
    pki.ensure_pki(folder / "pki", "east")
    kubeconfigs = folder / "s" / "kubeconfigs"
    kubeconfigs.mkdir(parents=True)
    for name in ("kcp", "east", "west"):
        path = kubeconfigs / f"controller-{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(pki.kubeconfig(folder / "pki", name, server, pki.ADMIN))
    return folder / "s"


class Objects:
    """What the API server has, by path, and what it was asked."""

    def __init__(self, objects: dict[str, Any]) -> None:
        self.held = dict(objects)
        self.asked: list[str] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "PATCH":
            metadata = body["metadata"] | {"uid": "u1", "generation": 1}
            self.held[path] = body | {"metadata": metadata, "status": ROLLED_OUT}
        found = self.held.pop(path, None) if method == "DELETE" else self.held.get(path)
        none = {"kind": "Status", "reason": "NotFound", "details": {"name": path.rpartition("/")[2]}}
        return (200, found) if found else (404, none)

    def writes(self) -> list[str]:
        """What was asked for since the last time, but for reading."""
        written = [line.partition("?")[0] for line in self.asked if not line.startswith("GET")]
        self.asked.clear()
        return written


@contextmanager
def serving(folder: Path, objects: Objects) -> Iterator[Path]:
    """An API server that has these objects; gives the state directory."""

    class Api(BaseHTTPRequestHandler):
        def answer(self) -> None:
            objects.asked.append(f"{self.command} {self.path}")
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, found = objects.answer(self.command, self.path.partition("?")[0], json.loads(sent or "null"))
            body = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    state_dir = deployed(folder, f"https://127.0.0.1:{server.server_port}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pki" / "server.crt", folder / "pki" / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state_dir
    finally:
        server.shutdown()
        server.server_close()
