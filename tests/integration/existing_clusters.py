# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Clusters that are somebody else's: made here, but the collection is told only where they are."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, NotServed, Unreachable
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import NAMESPACE, Resource
from tests.integration.deployed_fabric import Fabric, new_fabric
from tests.integration.every_object import every_object, unfinished

Objects = dict[str, Any]
DEADLINE = 120.0  # seconds; only ends a hang


@dataclass(frozen=True)
class Owner:
    """Whoever the clusters belong to: has an administrator's access of their own, and one kubeconfig for people."""

    folder: Path
    names: tuple[str, ...]
    binaries: Path
    ports: tuple[int, ...] = field(repr=False, default=())

    def make(self) -> None:
        """Make the clusters, and wait until they serve."""
        clusters = [{"name": name, "port": port} for name, port in zip(self.names, self.ports, strict=True)]
        groups = {"hubs": [self.names[0]], "members": list(self.names[1:])}
        self._planes("owner", state="present", binary_dir=str(self.binaries), clusters=clusters, **groups)

    def remove(self) -> None:
        """Remove the clusters, and stop what a fabric of them still runs."""
        if self.state.exists():
            self._planes(self.state.name, state="absent", clusters=[])
        self._planes("owner", state="absent")

    @property
    def state(self) -> Path:
        """The state directory of fabrics of these clusters."""
        return self.folder / "state"

    def _planes(self, folder: str, **arguments: Any) -> None:
        arguments["state_dir"] = str(self.folder / folder)
        program = str(Path(sys.executable).with_name("ansible"))
        command = [program, "localhost", "-m", "tmc.cross_cluster.embedded_planes"]
        run = subprocess.run(
            [*command, "-a", json.dumps(arguments), "-e", f"ansible_python_interpreter={sys.executable}"],
            check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout

    def admin(self, name: str) -> Path:
        return self.folder / "owner" / "kubeconfigs" / f"controller-{name}.kubeconfig"

    def client(self, name: str) -> Client:
        return Client(_kubeconfig.load_file(str(self.admin(name))))

    def apply(self, name: str, resource: Resource, obj: dict[str, Any]) -> None:
        """As the user does it with a tool of their own."""
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        params = {"fieldManager": "people", "force": "true"}
        self.client(name).request("PATCH", path, params=params, body=obj, content_type=APPLY_PATCH)

    def serves(self, name: str, resource: Resource) -> bool:
        try:
            self.client(name).list(resource)
        except NotServed:
            return False
        return True

    def answers(self, name: str) -> bool:
        try:
            return self.client(name).get(NAMESPACE, "kube-system") is not None
        except (ApiError, Unreachable):
            return False

    def listed(self) -> dict[str, Objects]:
        """Every object of every cluster, once the clusters' own controllers have done their part of what was done last.

        A server is ready before they are: without this, what they make later would be counted as the fabric's.
        """
        return {name: self._finished(name) for name in self.names}

    def _finished(self, name: str) -> Objects:
        end = time.monotonic() + DEADLINE
        while still := unfinished(objects := every_object(self.admin(name))):
            assert time.monotonic() < end, f"not within {DEADLINE:g} s: {name} has done its own part: {still}"
            time.sleep(0.1)
        return objects

    @property
    def kubeconfig(self) -> Path:
        """All contexts in one file, none of them current, the authorities in files beside it."""
        path = self.folder / "people" / "config"
        if not path.exists():
            path.parent.mkdir(mode=0o700)
            self._write(path)
        return path

    def _write(self, path: Path) -> None:
        whole: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
        for name in self.names:
            admin = yaml.safe_load(self.admin(name).read_text())
            connection = _kubeconfig.load_file(str(self.admin(name)))
            (path.parent / f"{name}.pem").write_text(connection.ca_pem or "")
            cluster = {"server": connection.server, "certificate-authority": f"{name}.pem"}
            whole["clusters"].append({"name": f"{name}.example.com", "cluster": cluster})
            whole["users"].append({"name": f"me@{name}", "user": admin["users"][0]["user"]})
            context = {"cluster": f"{name}.example.com", "user": f"me@{name}", "namespace": "somewhere"}
            whole["contexts"].append({"name": f"production-{name}", "context": context})
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(whole))


def fabric_of(owner: Owner, repository: Path, members: tuple[str, ...], **variables: Any) -> Fabric:
    """A fabric of some of these clusters, with an inventory that says no more than where they are."""
    inventory = owner.folder / f"{'-'.join(members)}.yml"
    known = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "tmc_provider": "existing",
        "tmc_run_as": "process",
        "tmc_processor": members[-1],
        "cluster_kubeconfig_file": str(owner.kubeconfig),
        "cluster_context": "production-{{ inventory_hostname }}",
        **variables,
    }
    groups = {"hub": [owner.names[0]], "members": list(members)}
    children = {group: {"hosts": dict.fromkeys(names)} for group, names in groups.items()}
    inventory.write_text(yaml.safe_dump({"all": {"vars": known, "children": children}}))
    made = new_fabric(repository, owner.state, {"ANSIBLE_INVENTORY": str(inventory)}, owner.binaries)
    return replace(made, hub=owner.names[0], members=members)
