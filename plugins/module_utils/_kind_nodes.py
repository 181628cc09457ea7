# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers behind kind clusters: whose they are and how far they got.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import CLUSTER_LABEL, Engine
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_state import (
    COMPLETE_IN_NODE,
    OWNER_IN_NODE,
    KindState,
    kind_name,
    node_name,
)

API_PORT = "6443/tcp"
# States of a container from which it never becomes a node again (docker's and podman's words).
NEVER_STARTED = frozenset({"created", "configured", "initialized", "dead", "removing", "stopping"})


@dataclass(frozen=True)
class Node:
    """One container, as the engine tells of it. C(owner): the file that is mounted as our mark, "" when none is."""

    id: str
    name: str
    cluster: str
    status: str
    image: str
    owner: str
    port: int | None

    @property
    def running(self) -> bool:
        return self.status in ("running", "restarting")


def parse_node(document: dict[str, Any]) -> Node:
    """A Node of what C(inspect) prints for one container; docker's and podman's forms."""
    config = document.get("Config") or {}
    return Node(
        id=document["Id"],
        name=str(document.get("Name", "")).lstrip("/"),
        cluster=(config.get("Labels") or {}).get(CLUSTER_LABEL, ""),
        status=str((document.get("State") or {}).get("Status", "")).lower(),
        image=str(config.get("Image") or document.get("ImageName") or ""),
        owner=_owner(document),
        port=_port(document),
    )


def _owner(document: dict[str, Any]) -> str:
    # As it was asked for; what is mounted in the end may be a path of the engine's virtual machine.
    for bind in (document.get("HostConfig") or {}).get("Binds") or []:
        source, mark, rest = bind.partition(f":{OWNER_IN_NODE}")
        if mark and (not rest or rest.startswith(":")):
            return str(source)
    for mount in document.get("Mounts") or []:
        if mount.get("Destination") == OWNER_IN_NODE:
            return str(mount.get("Source", ""))
    return ""


def _port(document: dict[str, Any]) -> int | None:
    bindings = ((document.get("HostConfig") or {}).get("PortBindings") or {}).get(API_PORT) or []
    numbers = [int(binding["HostPort"]) for binding in bindings if str(binding.get("HostPort", "")).isdigit()]
    return numbers[0] if numbers else None


@dataclass(frozen=True)
class Found:
    """What there is of one cluster. C(stage): absent, foreign, half-made, stopped or whole."""

    stage: str
    nodes: tuple[Node, ...] = ()

    @property
    def port(self) -> int | None:
        return self.nodes[0].port if self.nodes else None

    def told(self) -> object:
        """For a diff."""
        return {"port": self.port} if self.stage == "whole" else self.stage


def all_nodes(engine: Engine, names: list[str]) -> list[Node]:
    """Every node of every kind cluster, and whatever stands where a node of these clusters would be."""
    # docker shows names with a slash before them and matches them so; podman does not.
    filters = [f"name=^/?{node_name(name)}$" for name in names]
    return [parse_node(one) for one in engine.inspect(f"label={CLUSTER_LABEL}", *filters)]


def judge(engine: Engine, kind: KindState, name: str, nodes: list[Node]) -> Found:
    """What there is of cluster C(name), among C(nodes)."""
    mine = tuple(node for node in nodes if node.cluster == kind_name(name) or node.name == node_name(name))
    if not mine:
        return Found("absent")
    if not all(owned(kind, name, node) for node in mine):
        return Found("foreign", mine)
    if any(node.status in NEVER_STARTED for node in mine):
        return Found("half-made", mine)
    if not all(node.running for node in mine):
        return Found("stopped", mine)
    return Found("whole" if complete(engine, mine[0]) else "half-made", mine)


def owned(kind: KindState, name: str, node: Node) -> bool:
    """Whether our mark, of this very state directory, is mounted into it."""
    return node.owner == str(kind.owner(name))


def complete(engine: Engine, node: Node) -> bool:
    """Whether the cluster of a running node was once made to the end. The node itself says so."""
    return (
        engine.shell(node.id, f"if test -e {COMPLETE_IN_NODE}; then echo whole; else echo half; fi").strip() == "whole"
    )


def mark_complete(engine: Engine, container: str) -> None:
    engine.shell(container, f"mkdir -p {COMPLETE_IN_NODE.rpartition('/')[0]} && date > {COMPLETE_IN_NODE}")
