# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a state directory keeps of kind clusters: the owner's mark, the configuration.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import OWNER, State
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster
from ansible_collections.tmc.cross_cluster.plugins.module_utils._providers import clusters

# Mounted into every node that we make, so that the engine itself tells whose a container is, even of one that is
# stopped or half made.
OWNER_IN_NODE = "/etc/tmc-cross-cluster/owner"
# Written into the node when its cluster is whole. It lives and dies with the container, as the cluster does.
COMPLETE_IN_NODE = "/etc/tmc-cross-cluster/complete"


def kind_name(cluster: str) -> str:
    """kind's name of a cluster."""
    return f"controller-{cluster}"


def node_name(cluster: str) -> str:
    """Name of the container that is its node; also its host name for pods of other clusters."""
    return f"controller-{cluster}-control-plane"


def context_name(cluster: str) -> str:
    return f"kind-controller-{cluster}"


class KindState:
    """Paths of kind clusters inside one state directory."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.root = state.kind

    def owner(self, cluster: str) -> Path:
        """The file that is mounted into the node. Its real path: that is what engines report."""
        return Path(os.path.realpath(self.root)) / f"{cluster}.owner"

    def config(self, cluster: str) -> Path:
        return self.root / f"{cluster}.json"

    def log(self, cluster: str) -> Path:
        return self.state.logs / f"kind-{cluster}.log"

    def known(self) -> list[str]:
        """Clusters that a run has begun to make here."""
        return clusters(self.state, "kind")


def owner_text(cluster: str) -> str:
    return json.dumps({"cluster": cluster, "owner": OWNER}) + "\n"


def config_text(cluster: Cluster, owner: Path, kubeadm: list[str], containerd: list[str]) -> str:
    """kind's configuration of one cluster: one node, its API server on 127.0.0.1, our mark mounted. JSON is YAML."""
    mount = {"hostPath": str(owner), "containerPath": OWNER_IN_NODE, "readOnly": True}
    document: dict[str, object] = {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "networking": {"apiServerAddress": "127.0.0.1", "apiServerPort": cluster.port},
        "nodes": [{"role": "control-plane", "extraMounts": [mount]}],
    }
    if kubeadm:
        document["kubeadmConfigPatches"] = kubeadm
    if containerd:
        document["containerdConfigPatches"] = containerd
    return json.dumps(document, indent=2) + "\n"
