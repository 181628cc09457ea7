# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kind clusters present or absent: what the module C(kind_clusters) does.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kind_user_kubeconfig as user_kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_fabric import Fabric
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import ensure, read
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_create import Kind, create_all
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import Engine, KindError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_nodes import (
    Found,
    all_nodes,
    complete,
    judge,
    mark_complete,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_state import (
    KindState,
    config_text,
    context_name,
    node_name,
    owner_text,
)

DONE = {"absent": "created", "half-made": "made anew", "stopped": "started", "whole": ""}


class KindClusters:
    """The kind clusters of one state directory."""

    def __init__(self, kind: KindState, engine: Engine) -> None:
        self.kind = kind
        self.engine = engine

    def find(self, names: list[str]) -> tuple[dict[str, Found], int]:
        """What there is of these clusters, and how many nodes run that are not theirs."""
        nodes = all_nodes(self.engine, names)
        found = {name: judge(self.engine, self.kind, name, nodes) for name in names}
        theirs = {node.id for one in found.values() for node in one.nodes}
        return found, sum(node.running and node.id not in theirs for node in nodes)

    # -- present ----------------------------------------------------------------------------------------------

    def write_configs(
        self, clusters: list[Cluster], found: dict[str, Found], patches: tuple[list[str], list[str]]
    ) -> list[str]:
        """Owner's marks and configurations; names of clusters that are there already with another configuration."""
        differing = []
        for cluster in clusters:
            ensure(self.kind.owner(cluster.name), owner_text(cluster.name), 0o644)
            path = self.kind.config(cluster.name)
            text = config_text(cluster, self.kind.owner(cluster.name), *patches)
            if found[cluster.name].stage in ("whole", "stopped"):
                differing += [cluster.name] if read(path) not in (text, None) else []
            else:
                ensure(path, text)
        return differing

    def make(self, kind: Kind, found: dict[str, Found], lock: int, seconds: float) -> dict[str, str]:
        """Make every cluster whole; name -> what was done (created, made anew, started, or nothing). Raises KindError."""
        done = {name: DONE[one.stage] for name, one in found.items()}
        for name, one in found.items():
            if one.stage == "stopped" and not self._start(one):
                done[name] = DONE["half-made"]
        new = [name for name, what in done.items() if what in (DONE["absent"], DONE["half-made"])]
        for name in new:
            for node in found[name].nodes:
                self.engine.remove(node.id)
        failed = create_all(kind, self.kind, new, lock, seconds)
        for name in new:
            if name not in failed:
                mark_complete(self.engine, node_name(name))
        if failed:
            raise KindError("\n".join(failed.values()))
        return done

    def _start(self, one: Found) -> bool:
        """Start the stopped nodes of a cluster; whether the cluster had been made to the end."""
        for node in one.nodes:
            if node.status == "paused":
                self.engine.unpause(node.id)
            elif not node.running:
                self.engine.start(node.id)
        return complete(self.engine, one.nodes[0])

    def write_kubeconfigs(self, kind: Kind, names: list[str]) -> set[str]:
        """Each cluster's own file; names of those that changed."""
        with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
            texts = dict(zip(names, pool.map(kind.kubeconfig, names), strict=True))
        return {name for name, text in texts.items() if ensure(self.kind.state.kubeconfig(name), text)}

    def share_kubeconfigs(self, names: list[str], write_it: bool) -> bool:
        """Put their contexts into the user's own kubeconfig; whether something had to be changed there."""
        own = [user_kubeconfig.load(self.kind.state.kubeconfig(name)) for name in names]
        additions = [one for one in own if one]
        return user_kubeconfig.update(
            user_kubeconfig.target(), lambda document: user_kubeconfig.merged(document, additions), write_it
        )

    # -- absent -----------------------------------------------------------------------------------------------

    def unshare_kubeconfigs(self, removed: list[str], write_it: bool) -> bool:
        """Take out of the user's kubeconfig what leads to clusters that are removed, and nothing else."""
        authorities = {
            one["cluster"].get(user_kubeconfig.CA)
            for name in removed
            for one in user_kubeconfig.load(self.kind.state.kubeconfig(name)).get("clusters") or []
        }
        names = {context_name(name) for name in removed}

        def ours(entry: user_kubeconfig.Document) -> bool:
            return entry.get("name") in names and (entry.get("cluster") or {}).get(user_kubeconfig.CA) in authorities

        def change(document: user_kubeconfig.Document) -> user_kubeconfig.Document:
            return user_kubeconfig.without(document, ours)

        files = [path for path in user_kubeconfig.paths() if path.is_file()]
        changed = [user_kubeconfig.update(path, change, write_it) for path in files]
        return any(changed)

    def remove_nodes(self, names: list[str]) -> None:
        """Remove the containers of these clusters, all at the same time: by their ids, and none without our mark."""
        found = self.find(names)[0]
        nodes = [node.id for one in found.values() if one.stage != "foreign" for node in one.nodes]
        with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
            list(pool.map(self.engine.remove, nodes))


class KindFiles(Fabric):
    """The files of kind clusters in a state directory, and the programs that work with them."""

    provider = "kind"

    def __init__(self, kind: KindState) -> None:
        super().__init__(kind.state, "")
        self.kind = kind

    def _belongings(self, name: str, keep_logs: bool) -> Iterator[Path]:
        """Files of one cluster. The owner's mark comes last: an interrupted removal can be resumed."""
        if not self.kind.owner(name).exists():
            return
        yield from self._access(name, keep_logs)
        if not keep_logs:
            yield self.kind.log(name)
        yield self.kind.config(name)
        yield self.kind.owner(name)
