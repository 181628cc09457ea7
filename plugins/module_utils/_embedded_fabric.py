# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control planes present or absent: what the module C(embedded_planes) does.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _providers
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import (
    OWNER,
    REMOVING,
    State,
    ensure,
    read,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_pki import (
    ADMIN,
    CONTROLLER_MANAGER,
    ensure_pki,
    kubeconfig,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_programs import (
    AUTHENTICATION,
    plane_program_names,
    plane_programs,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_supervisor import Supervisor
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster, EmbeddedError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._providers import PLANE_FILE


class Fabric:
    """The control planes of one state directory."""

    provider = "embedded"

    def __init__(self, state: State, binaries: str) -> None:
        self.state = state
        self.binaries = binaries
        self.supervisor = Supervisor(state)

    # -- what is there ----------------------------------------------------------------------------------------

    def planes(self) -> list[str]:
        """Names of the clusters that a run has begun to make here."""
        return _providers.clusters(self.state, self.provider)

    def summary(self, names: list[str]) -> dict[str, object]:
        """What is known of these clusters, for a diff."""
        known: dict[str, object] = {}
        for name in names:
            text = read(self.state.plane(name) / PLANE_FILE)
            known[name] = {"port": json.loads(text)["port"]} if text else "absent"
        return known

    # -- present ----------------------------------------------------------------------------------------------

    def would_change(self, cluster: Cluster) -> bool:
        """Whether C(present) would write or restart something of this cluster. Writes nothing."""
        folder = self.state.plane(cluster.name)
        if read(folder / PLANE_FILE) != _plane_text(cluster):
            return True
        try:
            wanted = kubeconfig(folder / "pki", f"controller-{cluster.name}", _url(cluster), ADMIN)
        except FileNotFoundError:
            return True
        if read(self.state.kubeconfig(cluster.name)) != wanted:
            return True
        programs = plane_programs(cluster, str(folder), self.binaries)
        return any(self.supervisor.differs(program) for program in programs)

    def present(self, clusters: list[Cluster]) -> set[str]:
        """Write everything and run it; names of the clusters that changed. The state directory must be locked."""
        changed = {cluster.name for cluster in clusters if self._write(cluster)}
        if self.supervisor.ensure_running():
            changed |= {cluster.name for cluster in clusters}
        owners = {name: cluster.name for cluster in clusters for name in plane_program_names(cluster.name)}
        return changed | {owners[name] for name in self.supervisor.converge(owners)}

    def _write(self, cluster: Cluster) -> bool:
        folder = self.state.plane(cluster.name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # First the marker: from here on the directory is known to be ours, however far this run gets.
        changed = ensure(folder / PLANE_FILE, _plane_text(cluster))
        (folder / "pki").mkdir(mode=0o700, exist_ok=True)
        changed |= ensure_pki(folder / "pki", cluster.name)
        changed |= ensure(folder / "authentication.yaml", AUTHENTICATION)
        context = f"controller-{cluster.name}"
        changed |= ensure(
            folder / "controller-manager.kubeconfig",
            kubeconfig(folder / "pki", context, _url(cluster), CONTROLLER_MANAGER),
        )
        for program in plane_programs(cluster, str(folder), self.binaries):
            changed |= self.supervisor.write(program)
        text = kubeconfig(folder / "pki", context, _url(cluster), ADMIN)
        return ensure(self.state.kubeconfig(cluster.name), text) or changed

    # -- absent -----------------------------------------------------------------------------------------------

    def refuse_foreign(self, names: list[str]) -> None:
        """Raise EmbeddedError for a directory that we did not make, before anything is removed."""
        if not self.state.owned():
            raise EmbeddedError(
                f"refused: state directory '{self.state.root}' has no ownership marker; nothing removed"
            )
        for name in names:
            folder = self.state.plane(name)
            if folder.is_dir() and any(folder.iterdir()) and not (folder / PLANE_FILE).exists():
                raise EmbeddedError(f"refused: cluster '{name}' has no ownership marker ({folder}); nothing removed")

    def refuse_existing(self) -> None:
        """Raise EmbeddedError where the fabric is one of existing clusters: only their provider can take it off."""
        names = _providers.clusters(self.state, "existing")
        if names:
            raise EmbeddedError(
                f"refused: state directory '{self.state.root}' is that of a fabric of existing clusters "
                f"({', '.join(names)}); nothing removed. Take it off them with playbooks/cleanup.yml "
                "-e tmc_provider=existing"
            )

    def doomed(self, names: list[str], keep_logs: bool) -> list[Path]:
        """What C(absent) would remove, in its order."""
        found = list(self._half_removed())
        found += [path for name in names for path in self._belongings(name, keep_logs)]
        if self._last(names):
            found += list(self._shared(keep_logs))
        found = [path for path in found if path.exists() or path.is_symlink()]
        return [path for path in found if not set(path.parents) & set(found)]

    def absent(self, names: list[str], keep_logs: bool) -> None:
        """Stop and remove these clusters, and supervisord when no cluster is left. Must be locked."""
        last = self._last(names)
        programs = [program for name in names for program in self._programs(name)]
        doomed = self.doomed(names, keep_logs)
        if last:
            self._stop_everything()
        elif self.supervisor.await_keeper():
            self._stop(programs)
            for program in programs:
                self.supervisor.forget(program)
            self.supervisor.converge(programs)
        for path in doomed:
            _remove(path)
        for folder in (
            self.state.planes,
            self.state.kind,
            self.state.kubeconfigs,
            self.state.credentials,
            self.state.logs,
        ):
            _remove_empty(folder)
        if last:
            _remove_empty(self.state.root)

    def _last(self, names: list[str]) -> bool:
        """Whether no cluster is left here when these are gone, whoever made it."""
        return set(self.planes()) <= set(names) and not self.others()

    def others(self) -> list[str]:
        """Names of the clusters here that another provider made."""
        makers = {"embedded", "kind"} - {self.provider}
        return [name for provider in makers for name in _providers.clusters(self.state, provider)]

    def _programs(self, cluster: str) -> list[str]:
        """Programs of one cluster: its control plane, and what works with its credentials (syncer, controller)."""
        folder = f"{self.state.credentials / cluster}/"
        planes = plane_program_names(cluster)
        others = [name for name in self.supervisor.configured() if name not in planes]
        return planes + [name for name in others if folder in (read(self.supervisor.definition(name)) or "")]

    def _stop(self, programs: list[str]) -> None:
        """Stop programs, users of a plane first. An API server whose etcd is gone would take a minute to stop."""
        planes = [name for name in programs if name.startswith("plane-")]
        self.supervisor.stop([name for name in programs if name not in planes])
        self.supervisor.stop([name for name in planes if not name.endswith("-etcd")])
        self.supervisor.stop([name for name in planes if name.endswith("-etcd")])

    def _stop_everything(self) -> None:
        self._stop(list(self.supervisor.processes()))
        self.supervisor.shut_down()

    def _belongings(self, name: str, keep_logs: bool) -> Iterator[Path]:
        """Files of one cluster. The directory with its marker comes last: an interrupted removal can be resumed."""
        if not (self.state.plane(name) / PLANE_FILE).exists():
            if self.state.plane(name).is_dir():
                yield self.state.plane(name)  # empty: made by a run that was killed there
            return
        yield from self._access(name, keep_logs)
        yield self.state.plane(name)

    def _access(self, name: str, keep_logs: bool) -> Iterator[Path]:
        """What leads to a cluster, whoever made it: credentials, and the programs that use them."""
        yield self.state.kubeconfig(name)
        yield self.state.credentials / name
        for program in self._programs(name):
            yield self.supervisor.conf(program)
            yield self.supervisor.definition(program)
            yield self.state.run / f"{program}.url"
            if not keep_logs and self.state.logs.is_dir():
                yield from sorted(self.state.logs.glob(f"{program}.log*"))

    def _half_removed(self) -> Iterator[Path]:
        """What a removal left that was killed."""
        for folder in (self.state.root, self.state.planes, self.state.credentials):
            yield from sorted(folder.glob(f"{REMOVING}*"))

    def _shared(self, keep_logs: bool) -> Iterator[Path]:
        """What is left when the last cluster has gone. The marker of the state directory comes last."""
        yield self.state.supervisor
        yield self.state.credentials
        yield self.state.run
        if not keep_logs:
            yield self.state.logs
            yield self.state.report
            yield self.state.marker
        elif not self.state.logs.exists() and not self.state.report.exists():
            yield self.state.marker


def _url(cluster: Cluster) -> str:
    return f"https://127.0.0.1:{cluster.port}"


def _plane_text(cluster: Cluster) -> str:
    document = {"cluster": cluster.name, "owner": OWNER, "port": cluster.port}
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _remove(path: Path) -> None:
    """Remove a file or a tree. A tree is renamed first, so that what is half removed is never taken for whole."""
    if path.is_dir() and not path.is_symlink():
        doomed = path
        if not path.name.startswith(REMOVING):
            doomed = path.with_name(REMOVING + path.name)
            if doomed.exists():
                shutil.rmtree(doomed)
            path.rename(doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    """Remove a directory when nothing is in it; somebody else's files keep it."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
