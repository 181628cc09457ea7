# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A hub and a member on real API servers, and the modules run against them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    BY_KIND,
    CUSTOM_RESOURCE_DEFINITION,
    MEMBER,
    NAMESPACE,
    SYNCED_RESOURCE,
    TASK_QUEUE,
    Resource,
)
from tests.integration.admission_lab import eventually, refusal
from tests.unit.plugins.running import run_module

KINDS = {**BY_KIND, "Namespace": NAMESPACE, "CustomResourceDefinition": CUSTOM_RESOURCE_DEFINITION}


class Pair:
    """A hub and a member with the fabric's manifests, and the modules run against them."""

    def __init__(self, hub: Path, member: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub_file, self.member_file, self.folder = str(hub), str(member), folder
        self.hub, self.member = (Client(_kubeconfig.load_file(path)) for path in (self.hub_file, self.member_file))
        self._monkeypatch = monkeypatch

    def run(self, module: str, /, **arguments: Any) -> dict[str, Any]:
        ended = run_module(self._monkeypatch, module, **arguments)
        assert not ended.failed, ended.result["msg"]
        return ended.result

    def fail(self, module: str, /, **arguments: Any) -> dict[str, Any]:
        ended = run_module(self._monkeypatch, module, **arguments)
        assert ended.failed, ended.result
        return ended.result

    def join(self, **changes: Any) -> dict[str, Any]:
        arguments = {"name": "west", "kubeconfig": self.member_file, "hub_kubeconfig": self.hub_file, "hub_name": "kcp"}
        return {**arguments, "credentials_dir": str(self.folder / "credentials"), **changes}

    def declare(self, **changes: Any) -> dict[str, Any]:
        return {"kubeconfig": self.hub_file, "cluster_name": "kcp", "role": "hub", "processor": "west", **changes}


def install(kubeconfig: Path, manifests: Path, *folders: str) -> None:
    """As `kubectl apply --server-side -f` does it, and until the kinds are served."""
    client = Client(_kubeconfig.load_file(str(kubeconfig)))
    paths = [path for folder in folders for path in sorted((manifests / folder).glob("*.yaml"))]
    objects = [obj for path in paths for obj in yaml.safe_load_all(path.read_text()) if obj and "metadata" in obj]
    for obj in sorted(objects, key=lambda obj: obj["kind"] != "Namespace"):
        metadata = obj["metadata"]
        place = metadata.get("namespace", "")
        client.patch(KINDS[obj["kind"]], metadata["name"], obj, place, content_type=APPLY_PATCH, strict=True)
    for kind in (MEMBER, SYNCED_RESOURCE, TASK_QUEUE):
        eventually(partial(lets_list, client, kind), f"{kind.name} is served")


def lets_list(client: Client, kind: Resource) -> bool:
    return refusal(lambda: client.list(kind)) is None


def versions(client: Client, *kinds: Resource) -> dict[str, str]:
    """Every object of these kinds by its resourceVersion: a snapshot that any write changes."""
    return {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for kind in kinds for obj in client.list(kind)}


def queue(name: str, /, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"region": "r", "tasks": [{"name": "t", "command": "c"}], **spec}}
