# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Programs of the runtime as pods run them: real processes with the credentials that a kubelet would mount."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from runtime.tests.core.scraping import Scrape, scrape
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import Connection
from tmc.api.resource import SECRETS, SERVICE_ACCOUNTS

# What a pod finds at a place that only root may write to.
LAUNCH = """
import sys
from pathlib import Path
from tmc.api import incluster
from tmc.core import credentials
incluster.FOLDER = Path(sys.argv[1])
credentials.RENEW_AT = float(sys.argv[2])
from tmc.cli import main
sys.exit(main(sys.argv[3:]))
"""
NEVER = "0.5"  # of a day
EVERY_SECOND = str(1 / 86400)


@dataclass
class Pod:
    folder: Path
    process: asyncio.subprocess.Process

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def get(self, path: str) -> tuple[int, str]:
        """(status, body); 0 when nobody answers."""
        file = self.folder / "url"
        try:
            url = file.read_text().strip() + path
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return response.status, await response.text()
        except (FileNotFoundError, aiohttp.ClientError):
            return 0, ""

    async def ready(self) -> bool:
        return (await self.get("/readyz"))[0] == 200

    async def metrics(self) -> Scrape:
        return scrape((await self.get("/metrics"))[1])

    async def leads(self) -> bool:
        return (await self.metrics()).value("tmc_leader") == 1


async def token(admin: ApiClient, namespace: str, account: str, bound_to: str = "") -> str:
    """Of a ServiceAccount; it ends with the Secret that it is bound to, if it is."""
    spec: dict[str, Any] = {"expirationSeconds": 3600}
    if bound_to:
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Secret", "name": bound_to}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = await admin.request("POST", SERVICE_ACCOUNTS.path(namespace, account, "token"), body=body)
    return str(answer["status"]["token"])


def mount_account(folder: Path, connection: Connection, own_token: str) -> None:
    """As the kubelet mounts a ServiceAccount."""
    folder.mkdir(parents=True)
    assert connection.ca is not None
    (folder / "ca.crt").write_bytes(connection.ca)
    (folder / "token").write_text(own_token)
    (folder / "namespace").write_text("default")


async def mount_secret(folder: Path, admin: ApiClient, namespace: str, name: str) -> None:
    """As the kubelet mounts a Secret, and brings it up to date."""
    _write_files(folder, (await admin.get(SECRETS, name, namespace))["data"])


def _write_files(folder: Path, data: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in data.items():
        (folder / f".{key}").write_bytes(base64.b64decode(value))
        (folder / f".{key}").rename(folder / key)


@asynccontextmanager
async def pod(folder: Path, admin: ApiClient, own_token: str, *args: str, renew_at: str = NEVER) -> AsyncIterator[Pod]:
    """`tmc <args>` on `admin`'s cluster; it is asked to end with the context, unless it has been killed."""
    mount_account(folder / "account", admin.connection, own_token)
    server = urlsplit(admin.connection.server)
    place = {"KUBERNETES_SERVICE_HOST": server.hostname or "", "KUBERNETES_SERVICE_PORT": str(server.port)}
    health = ("--health-address=127.0.0.1:0", f"--health-file={folder / 'url'}")
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LAUNCH, str(folder / "account"), renew_at, *args, *health),
            env={**os.environ, **place},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=log,
        )
    try:
        yield Pod(folder, process)
    finally:
        killed = process.returncode is not None
        with suppress(ProcessLookupError):
            process.terminate()
        ended = await asyncio.wait_for(process.wait(), 30)
        assert killed or ended == 0, (folder / "log").read_text()


@dataclass
class Road:
    """A way to an API server that can be closed; `url` leads over it."""

    to: str
    url: str = ""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        port = urlsplit(self.url).port or 0
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", port)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """No connection lives on, and no new one is taken."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = urlsplit(self.to)
        far_reader, far_writer = await asyncio.open_connection(to.hostname, to.port)
        self._open |= {writer, far_writer}
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            for each in (writer, far_writer):
                self._open.discard(each)
                each.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
    target.close()


@asynccontextmanager
async def road(to: str) -> AsyncIterator[Road]:
    way = Road(to)
    await way.open()
    try:
        yield way
    finally:
        await way.close()
