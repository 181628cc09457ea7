# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Three real API servers, joined into a fabric by the project's own modules, with a fault proxy on every link."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.admin import Admin, administrator, queue_path, session
from tests.faults.audit import Audit, auditing
from tests.faults.calls import Entry
from tests.faults.pki import self_signed
from tests.faults.plans import Armed, Fault
from tests.faults.processes import Processes, processes
from tests.faults.proxy import FLAP_SECONDS, Link, serving
from tests.integration.conftest import free_ports
from tests.integration.module_pair import Pair, install
from tests.integration.throwaway_plane import Plane, throwaway_plane

HUB, MEMBERS, PROCESSOR = "kcp", ("east", "west"), "west"
CLUSTERS = (HUB, *MEMBERS)
CONTROLLER = "controller"
LEASES = {
    "syncer-east": (HUB, "/apis/coordination.k8s.io/v1/namespaces/tmc-system/leases/syncer-east"),
    "syncer-west": (HUB, "/apis/coordination.k8s.io/v1/namespaces/tmc-system/leases/syncer-west"),
    CONTROLLER: ("west", "/apis/coordination.k8s.io/v1/namespaces/default/leases/taskqueue-controller"),
}
FABRIC = "/apis/fabric.tmc.io/v1alpha1"
KIND = f"{FABRIC}/syncedresources/taskqueues.demo.tmc.io"
PROGRAMS = tuple(LEASES)
WOKEN_SECONDS = 1.5


@dataclass
class Lab:
    """The fabric under test. It is also the `World` of its proxies."""

    admins: dict[str, Admin]
    planes: dict[str, Plane]
    links: dict[str, Link]
    processes: Processes
    audit: Audit
    floor: float
    credentials: dict[str, Path]  # kubeconfigs that lead to the proxies, by link
    armed: Armed | None = None
    journal: list[Entry] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)  # of the harness itself
    kills: int = 0
    grace: str = ""
    _snapshots: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _jobs: set[asyncio.Task[None]] = field(default_factory=set)

    # -- what the proxies ask for

    async def kill(self, process: str, fault: Fault) -> None:
        """SIGKILL, and a new start a moment later."""
        await self.processes.kill(process)
        self.kills += 1
        self.soon(self._restart(process, fault.do.get("rest", 0.0), fault.do.get("lease", False)))

    async def freeze(self, process: str, fault: Fault) -> None:
        await self.processes.freeze(process)
        frozen = await self.processes.succeed(process) if fault.do.get("successor") else process
        self.soon(self._wake(frozen, fault.do["freeze"], temporary=frozen != process))

    async def take_snapshot(self, name: str) -> None:
        for cluster, admin in self.admins.items():
            self._snapshots[name, cluster] = await admin.request("GET", queue_path())

    def snapshot(self, name: str, cluster: str) -> dict[str, Any] | None:
        """None when there is none, or nothing has changed since: that is no old list."""
        taken = self._snapshots.get((name, cluster))
        if taken is None or versions(taken["items"]) == versions(self.audit.objects[cluster].values()):
            return None
        return taken

    def partition(self, fault: Fault) -> None:
        chosen = [link for link in self.links.values() if matches(link, fault.do.get("links", ["*"]))]
        self.soon(self._partition(chosen, fault.do["partition"], fault.do["seconds"]))

    def brings_back(self, obj: dict[str, Any]) -> None:
        self.audit.judge.brings_back(obj)

    # -- hands

    def soon(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)

    async def jobs_done(self) -> None:
        """Everything that faults have begun (restarts, partitions) is over. Raises what went wrong in them."""
        while self._jobs:
            task = self._jobs.pop()
            await task

    async def start_all(self) -> None:
        for name in PROGRAMS:
            await self.start(name)

    async def start(self, name: str) -> None:
        await self.processes.start(name)

    async def set_grace(self, grace: str) -> None:
        """How long a deletion waits for a member that is away."""
        if grace == self.grace:
            return
        self.grace = grace
        await self.admins[HUB].merge(KIND, {"spec": {"deletionGrace": grace}})

    async def set_floor(self, floor: float) -> None:
        """All processes start again, with another anti-entropy floor."""
        self.floor = floor
        for name, command in self.processes.commands.items():
            await self.processes.kill(name)
            command[:] = [part for part in command if not part.startswith("--sync-interval")]
            command.append(f"--sync-interval={floor:g}s")
            await self.expire_lease(name)
            await self.start(name)

    async def _restart(self, process: str, rest: float, lease: bool) -> None:
        """The dead one's Lease would run out in 9 s; unless that is to be waited for, it runs out at once."""
        await asyncio.sleep(rest)
        if not lease:
            await self.expire_lease(process)
        await self.start(process)

    async def expire_lease(self, process: str) -> None:
        cluster, path = LEASES[process]
        if await self.admins[cluster].get(path) is not None:
            await self.admins[cluster].merge(path, {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})

    async def _wake(self, process: str, seconds: float, *, temporary: bool) -> None:
        """One that has a successor lives on for a moment, in which it may do wrong, and is then taken away."""
        await asyncio.sleep(seconds)
        await self.processes.wake(process)
        if temporary:
            await asyncio.sleep(WOKEN_SECONDS)
            await self.processes.kill(process)

    async def _partition(self, links: list[Link], how: str, seconds: float) -> None:
        ends = time.monotonic() + seconds
        if how == "flap":
            while time.monotonic() < ends:
                await self._partition(links, "cut", FLAP_SECONDS)
                await asyncio.sleep(FLAP_SECONDS)
            return
        for link in links:
            link.break_off(how)
        await asyncio.sleep(seconds)
        for link in links:
            link.cut_all()
            link.mend()

    def calm(self) -> None:
        """No plan, no snapshot; all links carry everything."""
        self.armed = None
        self._snapshots.clear()
        for link in self.links.values():
            link.mend()
            link.silent_until = 0.0


def versions(objects: Iterable[dict[str, Any]]) -> dict[str, str]:
    return {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for obj in objects}


def matches(link: Link, wanted: list[str]) -> bool:
    for each in wanted:
        process, _, cluster = each.partition(">")
        if process in ("*", link.process) and (cluster or "*") in ("*", link.cluster):
            return True
    return False


@asynccontextmanager
async def laboratory(repository: Path, binaries: Path, folder: Path, *, floor: float = 1.0) -> AsyncIterator[Lab]:
    """Bring all of it up below `folder`; take all of it down at the end."""
    with ExitStack() as planes_up:
        planes = await asyncio.to_thread(start_planes, planes_up, binaries, folder)
        credentials = await asyncio.to_thread(join, repository, planes, folder)
        async with AsyncExitStack() as up:
            lab = await assemble(up, planes, credentials, folder, floor)
            yield lab


def start_planes(stack: ExitStack, binaries: Path, folder: Path) -> dict[str, Plane]:
    """All three at once."""
    ports = free_ports(3 * len(CLUSTERS))

    def start(index: int) -> Plane:
        home = folder / CLUSTERS[index]
        home.mkdir(parents=True)
        client, peer, secure = ports[3 * index : 3 * index + 3]
        return stack.enter_context(throwaway_plane(binaries, home, (client, peer, secure)))

    with ThreadPoolExecutor() as pool:
        return dict(zip(CLUSTERS, pool.map(start, range(len(CLUSTERS))), strict=True))


def join(repository: Path, planes: dict[str, Plane], folder: Path) -> dict[str, Path]:
    """Kinds, rights, admission, members and the declaration, as a deployment makes them. Kubeconfigs by link."""
    writers = ["system:serviceaccount:default:taskqueue-controller"]
    for name, plane in planes.items():
        role = "hub" if name == HUB else "member"
        install(plane.kubeconfig, repository / "manifests", "fabric", "taskqueue", role)
    with pytest.MonkeyPatch.context() as patch:
        for name, plane in planes.items():
            pair = Pair(planes[HUB].kubeconfig, plane.kubeconfig, folder, patch)
            declared = {"kubeconfig": str(plane.kubeconfig), "cluster_name": name, "processor": PROCESSOR}
            role = "hub" if name == HUB else "member"
            pair.run("synced_resource", **declared, role=role, clusters=list(CLUSTERS), status_writers=writers)
            if role == "member":
                pair.run("member", **pair.join(name=name, credentials_dir=str(folder / "credentials" / name)))
        west = Pair(planes[HUB].kubeconfig, planes[PROCESSOR].kubeconfig, folder, patch)
        path = folder / "credentials" / PROCESSOR / "controller.kubeconfig"
        west.run(
            "service_account_kubeconfig",
            kubeconfig=west.member_file,
            service_account="taskqueue-controller",
            cluster_name=PROCESSOR,
            path=str(path),
        )
    found = {f"controller>{PROCESSOR}": path}
    for member in MEMBERS:
        found[f"syncer-{member}>{member}"] = folder / "credentials" / member / "local.kubeconfig"
        found[f"syncer-{member}>{HUB}"] = folder / "credentials" / member / "hub.kubeconfig"
    return found


async def assemble(
    up: AsyncExitStack, planes: dict[str, Plane], credentials: dict[str, Path], folder: Path, floor: float
) -> Lab:
    kubeconfigs = {name: planes[name].kubeconfig.read_text() for name in CLUSTERS}
    admins = {name: await up.enter_async_context(administrator(name, kubeconfigs[name])) for name in CLUSTERS}
    audit = await up.enter_async_context(auditing(admins))
    commands = {"controller": controller(credentials, floor)}
    commands |= {f"syncer-{member}": syncer(member, credentials, floor) for member in MEMBERS}
    (folder / "logs").mkdir()
    running = await up.enter_async_context(processes(commands, folder / "logs"))
    lab = Lab(admins, planes, {}, running, audit, floor, {name: proxied(path) for name, path in credentials.items()})
    certificate = self_signed(folder / "proxy")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    for name, path in credentials.items():
        process, _, cluster = name.partition(">")
        admin = admins[cluster]
        upstream = await up.enter_async_context(session(admin.authority, {}))
        link = await up.enter_async_context(serving(Link(process, cluster, lab, admin.url, upstream), tls))
        lab.links[name] = link
        redirect(path, link.url, certificate)
    return lab


def proxied(path: Path) -> Path:
    return path.with_suffix(".proxied.kubeconfig")


def redirect(path: Path, url: str, certificate: Path) -> None:
    """A kubeconfig beside the original that leads to the proxy; it shares the token file."""
    document = yaml.safe_load(path.read_text())
    authority = certificate.read_text().split("-----BEGIN CERTIFICATE-----")[1]
    pem = f"-----BEGIN CERTIFICATE-----{authority}"
    for entry in document["clusters"]:
        entry["cluster"] = {"server": url, "certificate-authority-data": base64.b64encode(pem.encode()).decode()}
    target = proxied(path)
    target.touch(mode=0o600)
    target.write_text(json.dumps(document))


def controller(credentials: dict[str, Path], floor: float) -> list[str]:
    path = proxied(credentials[f"controller>{PROCESSOR}"])
    return [
        "controller", f"--cluster={PROCESSOR}", f"--kubeconfig={path}", f"--sync-interval={floor:g}s",
        "--processing-delay=50ms", "--workers=16",
    ]  # fmt: skip


def syncer(member: str, credentials: dict[str, Path], floor: float) -> list[str]:
    own, hub = (proxied(credentials[f"syncer-{member}>{cluster}"]) for cluster in (member, HUB))
    return [
        "syncer", f"--member={member}", f"--hub={HUB}", f"--kubeconfig={own}", f"--hub-kubeconfig={hub}",
        f"--sync-interval={floor:g}s",
    ]  # fmt: skip
