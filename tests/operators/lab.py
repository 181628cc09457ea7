# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A fabric of three real API servers that carries a vendor's kinds, and the vendor's operators as processes.

Each kind has a processor of its own. The operators are vendor/*.py, run by `kopf run` with a ServiceAccount of the
cluster they run on; what they know of the fabric is nothing. Two kinds have none: there tests write status themselves.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import free_ports
from tests.integration.module_pair import Pair, install
from tests.integration.processor import apply
from tests.integration.taskqueues import eventually
from tests.integration.throwaway_plane import Plane, end, throwaway_plane
from tmc.api.client import ApiClient
from tmc.api.errors import NotFound
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import EVENTS, SERVICE_ACCOUNTS, Resource

HERE = Path(__file__).parent
HUB, MEMBERS = "kcp", ("east", "west")
CLUSTERS = (HUB, *MEMBERS)
FLOOR = 2.0  # seconds

DATABASES = Resource("example.org", "v1", "databases", "Database")
MAILBOXES = Resource("example.org", "v1", "mailboxes", "Mailbox")
REPORTS = Resource("example.org", "v1", "reports", "Report", has_status=False)
SITES = Resource("example.org", "v1", "sites", "Site", namespaced=False)
ARCHIVES = Resource("example.org", "v1", "archives", "Archive")
DRAFTS = Resource("example.org", "v1", "drafts", "Draft")
OPERATED = {DATABASES: "west", MAILBOXES: "east", REPORTS: "kcp", SITES: "west"}
PROCESSORS = OPERATED | {ARCHIVES: "kcp", DRAFTS: "west"}
POLICIES = {DRAFTS: {"namespaces": "Wait", "on_origin_deleted": "Keep"}}  # of the others: the defaults

Object = dict[str, Any]


@dataclass
class Market:
    """The fabric with the vendor's kinds. While the file `gate` is there, no deletion of a database is finished."""

    folder: Path
    planes: dict[str, Plane]
    gate: Path
    operators: dict[Resource, subprocess.Popen[bytes]] = field(default_factory=dict)
    syncers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

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

    def start_syncer(self, member: str) -> None:
        """Run the syncer of a member; what it says is added to `syncer-<member>.log`."""
        credentials = self.folder / "credentials" / member
        command = (
            *(sys.executable, "-m", "tmc.cli", "syncer", f"--member={member}", f"--hub={HUB}"),
            *(f"--kubeconfig={credentials / 'local.kubeconfig'}", f"--sync-interval={FLOOR:g}s"),
            f"--hub-kubeconfig={credentials / 'hub.kubeconfig'}",
        )
        with (self.folder / f"syncer-{member}.log").open("ab") as log:
            self.syncers[member] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill_syncer(self, member: str) -> None:
        """As `kill -9` does; returns when it is dead. Its Lease stays as it is."""
        child = self.syncers.pop(member)
        child.kill()
        child.wait()

    def stop_syncer(self, member: str) -> None:
        """As a supervisor does it: the syncer gives its Lease back."""
        end(self.syncers.pop(member))

    def stop_all(self) -> None:
        children = [*self.operators.values(), *self.syncers.values()]
        for child in children:
            child.terminate()
        for child in children:
            end(child)


@contextmanager
def market(repository: Path, binaries: Path, folder: Path) -> Iterator[Market]:
    """Everything, but no operator is started yet; all of it ends with the context."""
    with ExitStack() as up:
        planes = start_planes(up, binaries, folder)
        join(repository, planes, folder)
        asyncio.run(admit_vendor(planes, folder))
        made = Market(folder, planes, folder / "gate")
        up.callback(made.stop_all)
        for member in MEMBERS:
            made.start_syncer(member)
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
                terms = {"processor": processor, "clusters": list(CLUSTERS), **POLICIES.get(kind, {})}
                pair.run("synced_resource", **declared, **place, **terms)
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

    def __init__(self, clients: dict[str, ApiClient], namespace: str = "default") -> None:
        self.clients = clients
        self.namespace = namespace

    def place(self, kind: Resource) -> str:
        return self.namespace if kind.namespaced else ""

    async def create(self, cluster: str, kind: Resource, name: str, /, **content: Any) -> Object:
        metadata = {"name": name} | ({"namespace": self.namespace} if kind.namespaced else {})
        metadata |= content.pop("metadata", {})
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata} | content
        return await self.clients[cluster].create(kind, body, field_manager="kubectl-create")

    async def patch(self, cluster: str, kind: Resource, name: str, patch: Object) -> Object:
        client = self.clients[cluster]
        return await client.patch(kind, name, self.place(kind), patch, field_manager="kubectl-edit")

    async def report(self, cluster: str, kind: Resource, name: str, status: Object) -> Object:
        """What an operator that is a test writes."""
        patch, client = {"status": status}, self.clients[cluster]
        return await client.patch(kind, name, self.place(kind), patch, field_manager="test", subresource="status")

    async def get(self, cluster: str, kind: Resource, name: str) -> Object | None:
        try:
            return await self.clients[cluster].get(kind, name, self.place(kind))
        except NotFound:
            return None

    async def delete(self, cluster: str, kind: Resource, name: str) -> None:
        found = await self.get(cluster, kind, name)
        assert found is not None
        await self.clients[cluster].delete(kind, name, self.place(kind), uid=found["metadata"]["uid"])

    @asynccontextmanager
    async def past_admission(self, cluster: str, member: str) -> AsyncIterator[User]:
        """On this cluster, as whom admission takes for the syncer of `member`: so an administrator gets at a copy."""
        client, place = self.clients[cluster], ("default", "tmc-syncer")
        if cluster == HUB:
            place = ("tmc-system", f"syncer-{member}")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = SERVICE_ACCOUNTS.path(*place, "token")
        token = (await client.request("POST", path, body=body))["status"]["token"]
        async with ApiClient(replace(client.connection, token=token)) as posing:
            yield User({cluster: posing}, self.namespace)

    @asynccontextmanager
    async def watched(self, cluster: str, kind: Resource, name: str) -> AsyncIterator[list[Object]]:
        """Every version of the object that an observer of this cluster is shown while the context lasts."""
        client, place, only = self.clients[cluster], self.place(kind), f"metadata.name={name}"
        version = (await client.list(kind, place, field_selector=only)).resource_version
        watch = client.watch(kind, version, place, timeout_seconds=900, inactivity=900, field_selector=only)
        seen: list[Object] = []

        async def follow() -> None:
            async with aclosing(watch) as events:
                async for event in events:
                    if event.type != "BOOKMARK":
                        seen.append(event.object)

        following = asyncio.create_task(follow())
        try:
            yield seen
            assert not following.done(), following
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def told(self, cluster: str, name: str, reason: str) -> list[str]:
        """The messages of the Events on the object, for this reason."""
        selector = f"involvedObject.name={name},reason={reason}"
        listed = await self.clients[cluster].list(EVENTS, self.namespace, field_selector=selector)
        return [event["message"] for event in listed.items]

    async def everywhere(self, kind: Resource, name: str) -> dict[str, Object]:
        """The object as each cluster has it now; clusters without it are left out."""
        found = {cluster: await self.get(cluster, kind, name) for cluster in self.clients}
        return {cluster: obj for cluster, obj in found.items() if obj is not None}

    async def carried(self, kind: Resource, name: str, *to: str, **spec: Any) -> dict[str, Object]:
        """The object on these clusters (none named: on all), once they and no others have it, with this spec."""

        async def there() -> dict[str, Object] | None:
            found = await self.everywhere(kind, name)
            right = all(obj["spec"] == spec for obj in found.values())
            return found if right and set(found) == set(to or self.clients) else None

        where = to or "every cluster"
        objects: dict[str, Object] = await eventually(there, f"{kind.plural} {name} is {spec} on {where}")
        return objects

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
