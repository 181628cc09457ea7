# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The manifests of syncer and controller, judged by a real API server and by kustomize."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._patches import patched
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    NAMESPACE,
    SERVICE_ACCOUNT,
    Resource,
)
from tests.integration.throwaway_plane import Plane

POD = Resource("", "v1", "pods", "Pod")
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
BUDGET = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
NAMES = {"syncer": "kcp-syncer", "controller": "taskqueue-controller"}
ROLES = {"syncer": "member", "controller": "controller"}
# What a role is told in the comparison with an overlay.
VARIABLES = {
    "member_joined": {"hub_kubeconfig_digest": "d1"},
    "inventory_hostname": "east",
    "tmc_hub": "kcp",
    "tmc_sync_interval": "7s",
    "member_sync_interval": "7s",
    "member_image": "registry.example.com/tmc:1",
    "member_replicas": 3,
    "controller_image": "registry.example.com/tmc:1",
    "controller_replicas": 3,
    "controller_workers": 9,
    "controller_processing_delay": "1s",
    "controller_executor": "job",
    "controller_job_image": "registry.example.com/busybox:1",
    "controller_job_cpu": 1,
    "controller_job_memory": "64Mi",
}
both = pytest.mark.parametrize("folder", ["syncer", "controller"])


def documents(folder: Path, *, but: str = "kustomization.yaml") -> list[dict[str, Any]]:
    files = [path for path in sorted(folder.glob("*.yaml")) if path.name != but]
    return [doc for path in files for doc in yaml.safe_load_all(path.read_text()) if doc]


def deployment(repository: Path, folder: str) -> dict[str, Any]:
    (found,) = [doc for doc in documents(repository / "manifests" / folder) if doc["kind"] == "Deployment"]
    return found


@pytest.fixture(scope="module")
def server(plane: Plane) -> Client:
    """A namespace that lets only restricted pods in, with the accounts that the pods name."""
    client = Client(_kubeconfig.load_file(str(plane.kubeconfig)))
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.create(NAMESPACE, {"metadata": {"name": "strict", "labels": labels}})
    for account in ("tmc-syncer", "taskqueue-controller"):
        client.create(SERVICE_ACCOUNT, {"metadata": {"name": account, "namespace": "strict"}})
    return client


def pod(repository: Path, folder: str) -> dict[str, Any]:
    template = deployment(repository, folder)["spec"]["template"]
    return {"metadata": {"name": folder, "namespace": "strict"}, "spec": template["spec"]}


@both
def test_the_pods_pass_restricted(server: Client, repository: Path, folder: str) -> None:
    server.create(POD, pod(repository, folder), dry_run=True, strict=True)


@both
def test_a_pod_that_asks_for_more_would_not(server: Client, repository: Path, folder: str) -> None:
    greedy = pod(repository, folder)
    greedy["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(ApiError, match="violates PodSecurity"):
        server.create(POD, greedy, dry_run=True, strict=True)


@both
def test_the_server_knows_every_field(server: Client, repository: Path, folder: str) -> None:
    for doc in documents(repository / "manifests" / folder):
        resource = {"Deployment": DEPLOYMENT, "PodDisruptionBudget": BUDGET}.get(doc["kind"])
        if resource:
            server.create(resource, doc, dry_run=True, strict=True)


@both
def test_nothing_of_the_container_can_be_written_but_its_scratch_space(repository: Path, folder: str) -> None:
    spec = deployment(repository, folder)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    writable = [mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["tmp"]
    assert spec["automountServiceAccountToken"] is False


@both
def test_a_rollout_never_leaves_fewer_than_are_wanted(repository: Path, folder: str) -> None:
    spec = deployment(repository, folder)["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    (budget,) = [d for d in documents(repository / "manifests" / folder) if d["kind"] == "PodDisruptionBudget"]
    assert budget["spec"]["minAvailable"] == 1
    assert budget["spec"]["selector"] == spec["selector"]


@both
def test_the_role_applies_what_an_overlay_of_kustomize_would(
    binaries: Path, repository: Path, folder: str, tmp_path: Path
) -> None:
    settings = settings_of(repository, folder)
    base = documents(repository / "manifests" / folder)
    built = {(doc["kind"], doc["metadata"]["name"]): doc for doc in kustomized(binaries, repository, folder, tmp_path)}
    applied = patched(base, [settings])
    assert [built[doc["kind"], doc["metadata"]["name"]] for doc in applied] == applied
    assert settings["spec"]["template"]["spec"]["containers"][0]["image"] in yaml.safe_dump(applied)


def settings_of(repository: Path, folder: str) -> dict[str, Any]:
    """The patch that a role makes of its variables."""
    role = ROLES[folder]
    variables = yaml.safe_load((repository / "roles" / role / "vars" / "main.yml").read_text())
    rendered: dict[str, Any] = filled(variables[f"{role}_deployment_settings"])
    return rendered


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    if isinstance(value, str) and "{{" in value:
        text = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(value)
        made = text.render(**VARIABLES)
        return int(made) if "| int" in value else made
    return value


def kustomized(binaries: Path, repository: Path, folder: str, tmp_path: Path) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of an overlay that says the same as the role's variables."""
    settings = settings_of(repository, folder)
    template = settings["spec"]["template"]
    (container,) = template["spec"]["containers"]
    kept = {key: value for key, value in container.items() if key != "image"}
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAMES[folder], "namespace": "default"},
        "spec": {"template": {**template, "spec": {"containers": [kept]}}},
    }
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(Path("../manifests") / folder)],
        "images": [{"name": "localhost/tmc-cross-cluster", "newName": "registry.example.com/tmc", "newTag": "1"}],
        "replicas": [{"name": NAMES[folder], "count": 3}],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }
    (tmp_path / "manifests").symlink_to(repository / "manifests")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    command = [str(binaries / "kubectl"), "kustomize", str(tmp_path / "overlay")]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return list(yaml.safe_load_all(run.stdout))
