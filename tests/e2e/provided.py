# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A fabric on clusters of one provider: the same test goes over embedded planes, kind clusters and existing ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.integration.deployed_fabric import Fabric, leftovers

PROVIDERS = ("embedded", "kind", "existing")
STRANGER = "tmc-e2e-stranger"  # a kind cluster, as far as kind can tell, that is somebody else's
ENGINES = ("docker", "podman")


@dataclass(frozen=True)
class Provided:
    """A fabric, the provider of its clusters, and how its playbooks are to be called."""

    provider: str
    fabric: Fabric
    arguments: tuple[str, ...]
    kubectl: str

    @property
    def deployments(self) -> bool:
        """Whether syncers and controller are pods."""
        return self.provider == "kind"

    def play(self, name: str, *arguments: str) -> str:
        """Run a playbook; its output. Raises RuntimeError when it fails."""
        return self.fabric.play_or_fail(name, *self.arguments, *arguments)

    def run_kubectl(self, cluster: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """kubectl as an administrator of `cluster`; does not raise when it fails."""
        command = [self.kubectl, "--kubeconfig", str(self.fabric.kubeconfig(cluster)), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def kill_active(self, cluster: str, program: str) -> str:
        """Kill whoever does the work of `program` (`kcp-syncer`, `taskqueue-controller`); tells whom."""
        if not self.deployments:
            pid = self.fabric.pid(f"{program}-{cluster}")
            os.kill(pid, 9)
            return f"pid {pid}"
        pod = self.holder(cluster, program)
        run = self.run_kubectl(cluster, "delete", "pod", pod, "--force", "--grace-period=0")
        assert run.returncode == 0, run.stderr
        return f"pod {pod}"

    def holder(self, cluster: str, program: str) -> str:
        """The pod that holds the program's Lease: on the hub for a syncer, on its own cluster for a controller."""
        syncer = program == "kcp-syncer"
        lease = ("-n", "tmc-system", f"syncer-{cluster}") if syncer else ("-n", "default", program)
        run = self.run_kubectl(self.fabric.hub if syncer else cluster, "get", "lease", *lease, "-o", "json")
        assert run.returncode == 0, run.stderr
        identity = str(json.loads(run.stdout)["spec"]["holderIdentity"])
        pods = self.run_kubectl(cluster, "get", "pods", "-o", "name").stdout.replace("pod/", "").split()
        found = [pod for pod in pods if pod in identity]
        assert len(found) == 1, f"the Lease's holder {identity!r} is none of the pods {pods}"
        return found[0]


def engine() -> str | None:
    """The container engine that answers, or None."""
    for name in ENGINES:
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return name
    return None


def containers(program: str) -> set[str]:
    """Names of all containers, running or not."""
    run = subprocess.run([program, "ps", "--all", "--format", "{{.Names}}"], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@contextmanager
def strangers(program: str, image: str) -> Iterator[set[str]]:
    """A container and a kind cluster that are none of ours; their names. Removed in the end."""
    label = [f"--label=io.x-k8s.kind.cluster={STRANGER}", "--label=io.x-k8s.kind.role=control-plane"]
    made = {f"{STRANGER}-control-plane": label, f"{STRANGER}-alone": []}
    try:
        for name, labels in made.items():
            command = [program, "run", "--detach", f"--name={name}", *labels, "--entrypoint=sleep", image, "infinity"]
            subprocess.run(command, check=True, capture_output=True, text=True)
        yield set(made)
    finally:
        subprocess.run([program, "rm", "--force", *made], check=False, capture_output=True)


def with_user_kubeconfig(fabric: Fabric) -> Fabric:
    """The same fabric for a person whose own kubeconfig has another cluster, which is the current one."""
    path = fabric.state_dir.parent / "home-kubeconfig"
    path.write_text(yaml.safe_dump(own_kubeconfig()))
    path.chmod(0o600)
    return replace(fabric, environment={**fabric.environment, "KUBECONFIG": str(path)})


def own_kubeconfig() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "work", "cluster": {"server": "https://work.invalid:6443"}}],
        "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
        "users": [{"name": "me", "user": {"token": "mine"}}],
        "current-context": "work",
    }


def handed_over(planes: Fabric, folder: Path) -> tuple[str, ...]:
    """Arguments of playbooks that take the clusters of `planes` as somebody's existing ones."""
    hosts = {
        name: {"cluster_kubeconfig_file": str(planes.kubeconfig(name)), "cluster_context": f"controller-{name}"}
        for name in planes.names
    }
    members = {name: hosts[name] for name in planes.members}
    inventory = {
        "all": {"children": {"hub": {"hosts": {planes.hub: hosts[planes.hub]}}, "members": {"hosts": members}}}
    }
    path = folder / "existing.yml"
    path.write_text(yaml.safe_dump(inventory))
    return ("-i", str(path), "-e", "tmc_provider=existing", "-e", "tmc_run_as=process", "-e", "tmc_processor=west")


def left_behind(provided: Provided) -> list[str]:
    """What is left of a fabric that should be gone. Empty is good."""
    left = [line for line in leftovers(provided.fabric) if provided.provider != "existing" or "port" not in line]
    program = engine() if provided.provider == "kind" else None
    ours = {f"controller-{name}-control-plane" for name in provided.fabric.names}
    return left + [f"container {name}" for name in (ours & containers(program) if program else ())]
