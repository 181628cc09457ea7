# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that would make control planes fail, found before anything is written or started.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_ports import (
    describe_holder,
    holds,
    is_free,
    listeners,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_programs import plane_program_names
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_supervisor import Supervisor
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import (
    Cluster,
    path_problem,
    port_variable,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._providers import PLANE_FILE, ports, strangers

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager")
# etcd allocates its log in segments of 64 MB, two at a time, and the database grows beside it.
PLANE_BYTES = 200 * 1024 * 1024


def state_problems(state: State, new_planes: int) -> Iterator[str]:
    """Problems of the state directory: not ours, not writable, no room."""
    problem = path_problem(str(state.root))
    if problem:
        yield problem
        return
    ancestor = state.root
    while not ancestor.exists():
        ancestor = ancestor.parent
    if not ancestor.is_dir():
        yield f"cannot write tmc_state_dir '{state.root}': {ancestor} is a file; choose another directory"
        return
    foreign = state.foreign() if ancestor == state.root and not state.owned() else []
    if foreign:
        yield (
            f"tmc_state_dir '{state.root}' has no ownership marker and is not empty ({', '.join(foreign[:3])}); "
            "choose an empty or new directory"
        )
    disk = os.statvfs(ancestor)
    if not os.access(ancestor, os.W_OK | os.X_OK) or disk.f_flag & os.ST_RDONLY:
        yield f"cannot write tmc_state_dir '{state.root}': {ancestor} is not writable; set tmc_state_dir"
    free, needed = disk.f_bavail * disk.f_frsize, new_planes * PLANE_BYTES
    if free < needed:
        yield (
            f"cannot write tmc_state_dir '{state.root}': No space left: {free >> 20} MB free, {needed >> 20} MB needed "
            f"for {new_planes} new control plane(s); make room or set tmc_state_dir"
        )


def port_problems(clusters: list[Cluster], state: State, supervisor: Supervisor) -> Iterator[str]:
    """Ports of other clusters of this fabric, and such that somebody else listens on."""
    made = ports(state)
    processes = supervisor.processes() if any(not is_free(cluster.port) for cluster in clusters) else {}
    for cluster in clusters:
        fix = f"set cluster_port of host '{cluster.name}' or {port_variable(cluster.name)}"
        others = [name for name, port in made.items() if port == cluster.port and name != cluster.name]
        if others:
            yield f"port {cluster.port} of cluster '{cluster.name}' is that of cluster '{others[0]}'; {fix} to another one"
        elif not is_free(cluster.port):
            ours = [processes[name]["pid"] for name in plane_program_names(cluster.name) if name in processes]
            inodes = listeners(cluster.port)
            if not any(pid and holds(pid, inodes) for pid in ours):
                yield (
                    f"port {cluster.port} of cluster '{cluster.name}' is in use by another process"
                    f"{describe_holder(cluster.port)}; stop it, or {fix}"
                )


def plane_problems(clusters: list[Cluster], state: State) -> Iterator[str]:
    """Directories that stand where a control plane's should be and are not ours."""
    for cluster in clusters:
        folder = state.plane(cluster.name)
        if folder.is_dir() and any(folder.iterdir()) and not (folder / PLANE_FILE).exists():
            yield f"{folder} has no ownership marker ({PLANE_FILE}) and is not empty; it is not touched: move it away"


def binary_problems(binaries: str | None) -> Iterator[str]:
    """Programs that are not in the directory of binaries. None: not known yet (check mode before a build)."""
    for name in BINARIES if binaries is not None else ():
        path = Path(str(binaries)) / name
        if not os.access(path, os.X_OK) or not path.is_file():
            yield f"{name} not found in binary_dir '{binaries}', or it is not executable; set tmc_binary_dir"


def preflight(clusters: list[Cluster], state: State, supervisor: Supervisor, binaries: str | None) -> list[str]:
    """Every problem of this machine that can be told beforehand."""
    if not sys.platform.startswith("linux"):
        return [f"provider 'embedded' needs Linux, this is {sys.platform}; use another tmc_provider"]
    new = sum(not (state.plane(cluster.name) / "etcd").exists() for cluster in clusters)
    problems = list(state_problems(state, new))
    if not problems:
        problems += [
            *strangers(state, "embedded"),
            *plane_problems(clusters, state),
            *port_problems(clusters, state, supervisor),
        ]
    return [*problems, *binary_problems(binaries)]
