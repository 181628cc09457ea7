# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that would make kind clusters fail, found before anything is written or started.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_ports import describe_holder, is_free
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster, port_variable
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import EngineFacts
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_nodes import Found
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_state import KindState

# Measured with one node a cluster and two of our Pods on it.
NODE_MEMORY = 700 << 20
NODE_DISK = 700 << 20
# A node's systemd, containerd, kubelet and API server hold 27 instances; with 128 in all, a fifth cluster fails in
# ways that do not name the cause. The limit counts for all containers of the engine's user together.
INOTIFY = {"max_user_instances": 30, "max_user_watches": 8192}
INOTIFY_FIX = {"max_user_instances": 512, "max_user_watches": 524288}
CHECKS = ("disk", "inotify", "memory")


def foreign_problems(found: dict[str, Found], kind: KindState) -> Iterator[str]:
    """Clusters of our names that are not ours: they are never touched."""
    for name, one in found.items():
        if one.stage != "foreign":
            continue
        node = one.nodes[0]
        whose = f"it belongs to {Path(node.owner).parent.parent}" if node.owner else "this collection did not make it"
        yield (
            f"container '{node.name}' stands where cluster '{name}' would be, and {whose} (state directory here: "
            f"{kind.state.root}); it is not touched: remove it yourself, or rename the inventory host"
        )


def port_problems(clusters: list[Cluster], found: dict[str, Found]) -> Iterator[str]:
    """Ports that somebody else listens on, and clusters that are there with another port."""
    for cluster in clusters:
        one = found[cluster.name]
        fix = f"set cluster_port of host '{cluster.name}' or {port_variable(cluster.name)}"
        if one.stage in ("whole", "stopped") and one.port != cluster.port:
            yield (
                f"cluster '{cluster.name}' is there with port {one.port}, not {cluster.port}, and a kind cluster cannot "
                f"move: {fix} to {one.port}, or remove the clusters first (playbooks/cleanup.yml)"
            )
        elif one.stage in ("absent", "stopped") and not is_free(cluster.port):
            holder = describe_holder(cluster.port) if os.path.isdir("/proc") else ""
            yield (
                f"port {cluster.port} of cluster '{cluster.name}' is in use by another process{holder}; "
                f"stop it, or {fix}"
            )


def room_problems(facts: EngineFacts, new: int, others: int, skip: list[str]) -> Iterator[str]:
    """What C(new) clusters more need of the engine's machine, beside C(others) nodes that are there already."""
    skipped = "; to go on all the same, add '{}' to control_planes_kind_skip_checks"
    if new and "memory" not in skip:
        free, needed = _free_memory(facts), new * NODE_MEMORY
        if free and free < needed:
            yield (
                f"{free >> 20} MB of memory are free for containers, {needed >> 20} MB are needed for {new} new cluster(s): "
                f"close something, or give the engine's virtual machine more{skipped.format('memory')}"
            )
    if new and facts.here and "disk" not in skip:
        disk = os.statvfs(facts.root)
        free, needed = disk.f_bavail * disk.f_frsize, new * NODE_DISK
        if free < needed:
            yield (
                f"{free >> 20} MB are free in {facts.root}, {needed >> 20} MB are needed for {new} new cluster(s): make "
                f"room there{skipped.format('disk')}"
            )
    if new and facts.here and "inotify" not in skip:
        yield from inotify_problems(new + others, skipped.format("inotify"))


def inotify_problems(nodes: int, skipped: str, folder: Path = Path("/proc/sys/fs/inotify")) -> Iterator[str]:
    """Limits of the kernel that are too low for so many nodes."""
    for limit, each in INOTIFY.items():
        try:
            have = int((folder / limit).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if have < nodes * each:
            yield (
                f"fs.inotify.{limit} is {have}, {nodes} cluster(s) need {nodes * each}: sudo sysctl "
                f"fs.inotify.{limit}={INOTIFY_FIX[limit]} (and a file in /etc/sysctl.d to keep it){skipped}"
            )


def _free_memory(facts: EngineFacts) -> int:
    """Bytes: what the kernel could give now where the engine runs here, else all that its machine has; 0 if unknown."""
    if not facts.here:
        return facts.memory
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return facts.memory
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), facts.memory)
