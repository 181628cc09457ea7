# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The module that takes the fabric off a cluster: what stays, what only loses its marks, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    NAMESPACE,
    POLICY,
    SYNCED_RESOURCE,
    TASK_QUEUE,
    Resource,
)
from tests.integration.admission_lab import eventually
from tests.integration.conftest import free_ports
from tests.integration.module_pair import install, lets_list
from tests.integration.throwaway_plane import throwaway_plane
from tests.unit.plugins.running import run_module

SYNCER, PEOPLE = "tmc-syncer", "people"
MARKS = {"tmc.io/origin-uid": "u", "tmc.io/origin-cluster-uid": "another", "tmc.io/origin-generation": "1"}


class Cluster:
    """One real API server that holds a fabric, and whoever writes to it."""

    def __init__(self, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = Client(_kubeconfig.load_file(str(kubeconfig)))
        self._kubeconfig, self._monkeypatch = str(kubeconfig), monkeypatch

    def put(self, resource: Resource, manager: str, **metadata: Any) -> None:
        obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        if resource == TASK_QUEUE:
            obj["spec"] = {"region": "r", "tasks": [{"name": "t", "command": "c"}]}
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        params = {"fieldManager": manager, "force": "true"}
        self.client.request("PATCH", path, params=params, body=obj, content_type=APPLY_PATCH)

    def queue(self, name: str, **metadata: Any) -> dict[str, Any]:
        found = self.client.get(TASK_QUEUE, name, "default")
        assert found, f"{name} is gone"
        return found

    def withdraw(self, **options: Any) -> dict[str, Any]:
        ended = run_module(self._monkeypatch, "fabric_withdrawal", kubeconfig=self._kubeconfig, **options)
        return {"failed": ended.failed, **ended.result}


@pytest.fixture
def cluster(binaries: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    client, peer, secure = free_ports(3)
    with throwaway_plane(binaries, tmp_path, (client, peer, secure)) as running:
        install(running.kubeconfig, repository / "manifests", "fabric", "taskqueue", "hub", "member")
        made = Cluster(running.kubeconfig, monkeypatch)
        made.put(
            TASK_QUEUE, SYNCER, name="copy", namespace="default", labels={"tmc.io/origin": "east"}, annotations=MARKS
        )
        made.put(TASK_QUEUE, PEOPLE, name="mine", namespace="default", finalizers=["example.com/keep", "tmc.io/sync"])
        yield made


def test_copies_that_are_kept_are_ordinary_objects_then(cluster: Cluster) -> None:
    # What the hub keeps of a kind that was withdrawn before.
    cluster.put(CONFIG_MAP, names.FIELD_MANAGER, name=TASK_QUEUE.name, namespace="tmc-system", labels=names.MANAGED_BY)
    result = cluster.withdraw(copies="keep", timeout=20, _ansible_check_mode=True)
    assert "TaskQueue default/copy" in result["released"]
    assert cluster.queue("copy")["metadata"]["labels"]["tmc.io/origin"] == "east"

    # There is no controller that would end a namespace here: that is what it waits for in the end, and says.
    result = cluster.withdraw(copies="keep", timeout=5)
    assert result["failed"]
    assert "Namespace tmc-system (no finalizers: is the controller manager running?)" in result["msg"]
    assert "tmc.io/origin" not in cluster.queue("copy")["metadata"].get("labels", {})
    assert not cluster.queue("copy")["metadata"].get("annotations")
    assert cluster.queue("mine")["metadata"]["finalizers"] == ["example.com/keep"]
    assert cluster.client.get(CUSTOM_RESOURCE_DEFINITION, TASK_QUEUE.name)
    assert cluster.client.get(CUSTOM_RESOURCE_DEFINITION, SYNCED_RESOURCE.name) is None
    assert cluster.client.get(CONFIG_MAP, TASK_QUEUE.name, "tmc-system") is None


def test_what_holds_a_copy_is_named(cluster: Cluster) -> None:
    finalizers = {"metadata": {"finalizers": ["example.com/operator"]}}
    cluster.client.patch(TASK_QUEUE, "copy", finalizers, "default")
    result = cluster.withdraw(timeout=2)
    assert result["failed"]
    assert "TaskQueue default/copy (finalizers example.com/operator)" in result["msg"]
    assert "remove what holds them and run again" in result["msg"]


def test_a_kind_that_somebody_else_wrote_stays_with_its_objects(cluster: Cluster, repository: Path) -> None:
    definition = yaml.safe_load((repository / "manifests" / "taskqueue" / "crd.yaml").read_text())
    params = {"fieldManager": PEOPLE, "force": "true"}
    path = CUSTOM_RESOURCE_DEFINITION.path("", TASK_QUEUE.name)
    cluster.client.request("PATCH", path, params=params, body=definition, content_type=APPLY_PATCH)
    result = cluster.withdraw(timeout=5)
    assert cluster.queue("mine")["metadata"]["finalizers"] == ["example.com/keep"]
    assert cluster.client.get(TASK_QUEUE, "copy", "default") is None
    assert result["failed"]  # the namespace, as above
    looked = cluster.withdraw(_ansible_check_mode=True)
    assert f"CustomResourceDefinition {TASK_QUEUE.name}: somebody else wrote it, too" in looked["kept"]


def test_namespaces_of_a_syncer_go_only_while_nobody_uses_them(cluster: Cluster) -> None:
    for name, manager in (("born", SYNCER), ("used", SYNCER), ("marked", SYNCER), ("theirs", PEOPLE)):
        new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        cluster.client.request("POST", NAMESPACE.path(), params={"fieldManager": manager}, body=new)
    cluster.put(CONFIG_MAP, PEOPLE, name="settings", namespace="used")
    cluster.put(NAMESPACE, PEOPLE, name="marked", labels={"team": "blue"})
    result = cluster.withdraw(_ansible_check_mode=True)
    assert {"Namespace born", "Namespace tmc-system"} <= set(result["removed"])
    assert "Namespace used: it holds ConfigMap used/settings" in result["kept"]
    assert "Namespace marked: it carries team" in result["kept"]
    assert not [line for line in [*result["removed"], *result["kept"]] if line.startswith("Namespace theirs")]


def test_the_watch_of_parameters_stays_when_asked_for(cluster: Cluster) -> None:
    cluster.withdraw(timeout=5, keep_watch=True, copies="keep")
    assert [each["metadata"]["name"] for each in cluster.client.list(POLICY)] == ["tmc-parameters"]
    cluster.withdraw(timeout=5, copies="keep")
    eventually(partial(lambda: not cluster.client.list(POLICY)), "no policy is left")
    assert lets_list(cluster.client, TASK_QUEUE)
