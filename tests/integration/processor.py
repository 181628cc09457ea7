# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A cluster made a processor for a test: the kinds, the rights, the controller's credentials and its process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.integration.taskqueues import SYNCED_RESOURCES, TASK_QUEUES, eventually, install
from tmc.api.client import ApiClient
from tmc.api.resource import SERVICE_ACCOUNTS


async def make_processor(client: ApiClient, manifests: Path, *rights: str) -> None:
    """Install the kinds and the files `rights` of `taskqueue/`; west is the processor in term 1."""
    await install(client, manifests / "taskqueue" / "crd.yaml", manifests / "fabric" / "crds.yaml")
    for name in rights:
        for document in yaml.safe_load_all((manifests / "taskqueue" / name).read_text()):
            await apply(client, document)
    term = {"group": "demo.tmc.io", "version": "v1", "resource": "taskqueues", "processor": "west", "epoch": 1}
    metadata = {"name": TASK_QUEUES.name}
    made = {"apiVersion": SYNCED_RESOURCES.api_version, "kind": "SyncedResource", "metadata": metadata, "spec": term}
    await apply(client, made)


async def apply(client: ApiClient, document: dict[str, Any]) -> None:
    group, _, version = document["apiVersion"].rpartition("/")
    served = await client.discover(group, version)
    resource = next(each for each in served.values() if each.kind == document["kind"])
    path = resource.path(document["metadata"].get("namespace", ""), document["metadata"]["name"])
    params = {"fieldManager": "test", "force": "true"}
    await client.request("PATCH", path, params=params, body=document, content_type="application/apply-patch+yaml")


async def controllers_kubeconfig(admin: ApiClient, admins: Path, folder: Path) -> Path:
    """The controller's own kubeconfig below `folder`, made from the administrator's, with a token that it can renew."""
    path = SERVICE_ACCOUNTS.path("default", "taskqueue-controller", "token")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = (await admin.request("POST", path, body=body))["status"]["token"]
    document = yaml.safe_load(admins.read_text())  # noqa: ASYNC240 - a small local file
    for user in document["users"]:
        user["user"] = {"tokenFile": str(folder / "token")}
    for name, text in (("token", token), ("kubeconfig", json.dumps(document))):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    return folder / "kubeconfig"


def queue(name: str, count: int, *, duration: str | None = None, **spec: Any) -> dict[str, Any]:
    simulate = {"simulate": {"duration": duration}} if duration else {}
    tasks = [{"name": f"t{number}", "command": f"do {number}"} | simulate for number in range(count)]
    return {
        "apiVersion": "demo.tmc.io/v1",
        "kind": "TaskQueue",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"region": "us-east-1", "tasks": tasks} | spec,
    }


async def reached(client: ApiClient, name: str, phase: str = "Completed") -> dict[str, Any]:
    """The status, once it has that phase."""

    async def ready() -> dict[str, Any] | None:
        status: dict[str, Any] = (await client.get(TASK_QUEUES, name, "default")).get("status") or {}
        return status if status.get("phase") == phase else None

    status: dict[str, Any] = await eventually(ready, f"{name} is {phase}")
    return status


@dataclass
class Process:
    """A running `tmc controller`; `lines` are its ledger's entries so far."""

    child: asyncio.subprocess.Process
    log: Path
    killed: bool = field(default=False)

    @property
    def pid(self) -> int:
        return self.child.pid

    def lines(self, event: str) -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [entry for entry in entries if entry["logger"] == "tmc.controller.ledger" and entry["msg"] == event]

    async def kill(self) -> None:
        """As `kill -9` does; returns when it is dead."""
        self.killed = True
        self.child.kill()
        await self.child.wait()


@asynccontextmanager
async def process(kubeconfig: Path, *flags: str) -> AsyncIterator[Process]:
    """`tmc controller` for west as its own process, asked to end with the context unless it was killed."""
    log = kubeconfig.parent / f"controller-{len(list(kubeconfig.parent.glob('*.log')))}.log"
    arguments = ("controller", "--cluster", "west", "--kubeconfig", str(kubeconfig), *flags)
    with log.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tmc.cli", *arguments, stderr=stderr, stdin=asyncio.subprocess.DEVNULL
        )
    running = Process(child, log)
    try:
        yield running
    finally:
        if not running.killed:
            child.terminate()
            assert await asyncio.wait_for(child.wait(), 30) == 0, log.read_text()
