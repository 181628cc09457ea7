# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A fabric of three real API servers that carries a vendor's kinds, and the vendor's operators as processes.

Each kind has a processor of its own. The operators are vendor/*.py, run by `kopf run` with a ServiceAccount of the
cluster they run on; what they know of the fabric is nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import free_ports
from tests.integration.module_pair import Pair, install
from tests.integration.processor import apply
from tests.integration.taskqueues import eventually
from tests.integration.throwaway_plane import Plane, process, throwaway_plane
from tmc.api.client import ApiClient
from tmc.api.errors import NotFound
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import Resource

HERE = Path(__file__).parent
HUB, MEMBERS = "kcp", ("east", "west")
CLUSTERS = (HUB, *MEMBERS)
FLOOR = 2.0  # seconds

DATABASES = Resource("example.org", "v1", "databases", "Database")
MAILBOXES = Resource("example.org", "v1", "mailboxes", "Mailbox")
REPORTS = Resource("example.org", "v1", "reports", "Report", has_status=False)
SITES = Resource("example.org", "v1", "sites", "Site", namespaced=False)
ARCHIVES = Resource("example.org", "v1", "archives", "Archive")
OPERATED = {DATABASES: "west", MAILBOXES: "east", REPORTS: "kcp", SITES: "west"}
PROCESSORS = OPERATED | {ARCHIVES: "kcp"}

Object = dict[str, Any]


@dataclass
class Market:
    """The fabric with the vendor's kinds. While the file `gate` is there, no deletion of a database is finished."""

    folder: Path
    planes: dict[str, Plane]
    gate: Path
    operators: dict[Resource, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, kind: Resource) -> None:
        """Run the operator of a kind, on the kind's processor; what it says is added to `<plural>.log`."""
        kubeconfig = str(self.folder / f"vendor-{PROCESSORS[kind]}.kubeconfig")
        environment = os.environ | {"KUBECONFIG": kubeconfig, "OPERATOR_GATE": str(self.gate)}
        command = (sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces", "--log-format=full")
        program = str(HERE / "vendor" / f"{kind.plural}.py")
        with (self.folder / f"{kind.plural}.log").open("ab") as log:
            self.operators[kind] = subprocess.Popen((*command, program), env=environment, stdout=log, stderr=log)

    def kill(self, kind: Resource) -> None:
        """As `kill -9` does; returns when it is dead."""
        child = self.operators.pop(kind)
        child.kill()
        child.wait()

    def stop_all(self) -> None:
        for child in self.operators.values():
            child.terminate()
        for kind, child in list(self.operators.items()):
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill(kind)


@contextmanager
def market(repository: Path, binaries: Path, folder: Path) -> Iterator[Market]:
    """Everything, but no operator is started yet; all of it ends with the context."""
    with ExitStack() as up:
        planes = start_planes(up, binaries, folder)
        join(repository, planes, folder)
        asyncio.run(admit_vendor(planes, folder))
        for member in MEMBERS:
            credentials = folder / "credentials" / member
            command = (
                *(sys.executable, "-m", "tmc.cli", "syncer", f"--member={member}", f"--hub={HUB}"),
                *(f"--kubeconfig={credentials / 'local.kubeconfig'}", f"--sync-interval={FLOOR:g}s"),
                f"--hub-kubeconfig={credentials / 'hub.kubeconfig'}",
            )
            up.enter_context(process(folder / f"syncer-{member}.log", *command))
        made = Market(folder, planes, folder / "gate")
        up.callback(made.stop_all)
        yield made


def start_planes(up: ExitStack, binaries: Path, folder: Path) -> dict[str, Plane]:
    """All three at once."""
    ports = free_ports(3 * len(CLUSTERS))

    def start(index: int) -> Plane:
        home = folder / CLUSTERS[index]
        home.mkdir(parents=True)
        client, peer, secure = ports[3 * index : 3 * index + 3]
        return up.enter_context(throwaway_plane(binaries, home, (client, peer, secure)))

    with ThreadPoolExecutor() as pool:
        return dict(zip(CLUSTERS, pool.map(start, range(len(CLUSTERS))), strict=True))


def join(repository: Path, planes: dict[str, Plane], folder: Path) -> None:
    """The fabric as the modules make it, and on every cluster the vendor's kinds, declared with their processors."""
    for name, plane in planes.items():
        manifests = repository / "manifests"
        install(plane.kubeconfig, manifests, "fabric", "taskqueue", "hub" if name == HUB else "member")
        asyncio.run(install_vendor(plane))
    with pytest.MonkeyPatch.context() as patch:
        for name, plane in planes.items():
            pair = Pair(planes[HUB].kubeconfig, plane.kubeconfig, folder, patch)
            role = "hub" if name == HUB else "member"
            for kind, processor in PROCESSORS.items():
                declared = {"group": kind.group, "version": kind.version, "resource": kind.plural}
                place = {"kubeconfig": str(plane.kubeconfig), "cluster_name": name, "role": role}
                pair.run("synced_resource", **declared, **place, processor=processor, clusters=list(CLUSTERS))
            if role == "member":
                pair.run("member", **pair.join(name=name, credentials_dir=str(folder / "credentials" / name)))


async def install_vendor(plane: Plane) -> None:
    async with ApiClient(load_kubeconfig(plane.kubeconfig)) as client:
        for document in yaml.safe_load_all((HERE / "vendor" / "crds.yaml").read_text()):
            await apply(client, document)
        await eventually(lambda: all_served(client), "the vendor's kinds are served")


async def all_served(client: ApiClient) -> bool:
    try:
        return {kind.plural for kind in PROCESSORS} <= set(await client.discover("example.org", "v1"))
    except NotFound:
        return False


async def admit_vendor(planes: dict[str, Plane], folder: Path) -> None:
    """A kubeconfig for the vendor's ServiceAccount on each cluster."""
    for name, plane in planes.items():
        async with ApiClient(load_kubeconfig(plane.kubeconfig)) as client:
            path = "/api/v1/namespaces/default/serviceaccounts/vendor/token"
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            token = (await client.request("POST", path, body=body))["status"]["token"]
        document = yaml.safe_load(plane.kubeconfig.read_text())
        document["users"] = [{"name": "admin", "user": {"token": token}}]
        target = folder / f"vendor-{name}.kubeconfig"
        target.touch(mode=0o600)
        target.write_text(json.dumps(document))


class User:
    """What people do with the vendor's objects, on any cluster, as administrators."""

    def __init__(self, clients: dict[str, ApiClient]) -> None:
        self.clients = clients

    async def create(self, cluster: str, kind: Resource, name: str, /, **content: Any) -> Object:
        metadata = {"name": name} | ({"namespace": "default"} if kind.namespaced else {})
        metadata |= content.pop("metadata", {})
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata} | content
        return await self.clients[cluster].create(kind, body, field_manager="kubectl-create")

    async def patch(self, cluster: str, kind: Resource, name: str, patch: Object) -> Object:
        namespace = "default" if kind.namespaced else ""
        return await self.clients[cluster].patch(kind, name, namespace, patch, field_manager="kubectl-edit")

    async def get(self, cluster: str, kind: Resource, name: str) -> Object | None:
        try:
            return await self.clients[cluster].get(kind, name, "default" if kind.namespaced else "")
        except NotFound:
            return None

    async def delete(self, cluster: str, kind: Resource, name: str) -> None:
        found = await self.get(cluster, kind, name)
        assert found is not None
        namespace = "default" if kind.namespaced else ""
        await self.clients[cluster].delete(kind, name, namespace, uid=found["metadata"]["uid"])

    async def everywhere(self, kind: Resource, name: str) -> dict[str, Object]:
        """The object as each cluster has it now; clusters without it are left out."""
        found = {cluster: await self.get(cluster, kind, name) for cluster in self.clients}
        return {cluster: obj for cluster, obj in found.items() if obj is not None}

    async def shows(self, kind: Resource, name: str, **status: Any) -> dict[str, Object]:
        """The object on every cluster, once all have these values in its status; None: nothing, or an empty value."""

        async def reported() -> dict[str, Object] | None:
            found = await self.everywhere(kind, name)
            shown = [obj.get("status") or {} for obj in found.values()]
            agree = all((each.get(key) or None) == (value or None) for each in shown for key, value in status.items())
            return found if len(found) == len(self.clients) and agree else None

        objects: dict[str, Object] = await eventually(reported, f"{kind.plural} {name} shows {status} everywhere")
        return objects

    async def gone(self, kind: Resource, name: str) -> None:
        async def nowhere() -> bool:
            return not await self.everywhere(kind, name)

        await eventually(nowhere, f"{kind.plural} {name} is gone from every cluster")
