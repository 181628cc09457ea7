# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each cluster of a fabric holds, and pure functions that say what is missing from it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class View:
    """What one cluster answered. ``error`` is not empty when it did not; the rest is then unknown."""

    name: str
    error: str = ""
    uid: str = ""
    version: str = ""
    established: bool = False  # the synced kind's CRD is served
    schema: str = ""  # hash of that CRD's versions
    processor: str = ""  # of the SyncedResource; empty when there is none
    epoch: int = 0
    candidates: tuple[str, ...] = ()  # of the SyncedResource: members that take over in a failover
    controller: str = ""  # holder of the controller's Lease, when it is live
    syncers: frozenset[str] = frozenset()  # on the hub: members whose syncer holds a live Lease, its heartbeat
    ready: dict[str, str] = field(default_factory=dict)  # on the hub: member -> "" when ready, else why not
    carried: dict[str, str] = field(default_factory=dict)  # on the hub: member -> "" when it carries the kind, else why


def clusters_problems(views: dict[str, View]) -> list[str]:
    """Every API server answers, and each is another cluster."""
    found = [f"cluster '{view.name}' does not answer: {view.error}" for view in views.values() if view.error]
    owner: dict[str, str] = {}
    for view in views.values():
        if view.uid and view.uid in owner:
            found.append(f"'{owner[view.uid]}' and '{view.name}' are the same cluster (kube-system uid {view.uid})")
        owner.setdefault(view.uid, view.name)
    return found


def syncers_problems(views: dict[str, View], hub: str) -> list[str]:
    """Every member but the hub has a syncer that reaches the hub, whatever it has to do there."""
    away = [name for name in views if name not in (hub, *views[hub].syncers)]
    return [f"the syncer of member '{name}' has not renewed its Lease on '{hub}'" for name in away]


def members_problems(views: dict[str, View], hub: str) -> list[str]:
    """Every member but the hub is Ready, as its own syncer says on the hub, and that is heard of."""
    ready, heard = views[hub].ready, views[hub].syncers
    found = []
    for name in (name for name in views if name != hub):
        why = ready.get(name, f"there is no Member '{name}'")
        if not why and name not in heard:
            why = "its syncer has not renewed its Lease"
        if why:
            found.append(f"member '{name}' is not connected with '{hub}': {why}")
    return found


def kind_problems(views: dict[str, View], hub: str, resource: str) -> list[str]:
    """The kind is served everywhere with one schema, and each cluster knows that the fabric carries it."""
    found = [f"'{view.name}' does not serve {resource}" for view in views.values() if not view.established]
    schemas = {view.schema for view in views.values() if view.established}
    if len(schemas) > 1:
        which = ", ".join(f"{view.name} {view.schema}" for view in views.values())
        found.append(f"the schema of {resource} differs between the clusters: {which}")
    for member, why in sorted(views[hub].carried.items()):
        if why:
            found.append(f"member '{member}' does not carry {resource}: {why}")
    if not views[hub].processor:
        return [*found, f"'{hub}' has no SyncedResource {resource}"]
    for view in views.values():
        if (view.processor, view.epoch) != (views[hub].processor, views[hub].epoch):
            found.append(f"'{view.name}' has not received the SyncedResource {resource} of '{hub}' yet")
    return found


def controller_problems(views: dict[str, View], processor: str) -> list[str]:
    """Exactly one controller is at work: on the processor. Those of candidates for a failover stand by."""
    found = [] if views[processor].controller else [f"no controller holds a live Lease on '{processor}'"]
    candidates = views[processor].candidates
    for view in views.values():
        stands_by = view.name in candidates and is_idle(view)
        if view.controller and view.name != processor and not stands_by:
            found.append(
                f"a controller is at work on '{view.name}' too: {view.controller}; only '{processor}' may have one"
            )
    return found


def is_idle(view: View) -> bool:
    """A controller works only where the SyncedResource names its own cluster."""
    return view.processor not in ("", view.name)


def rows(views: dict[str, View], hub: str, resource: str) -> list[dict[str, str]]:
    """One row a cluster, for people."""
    return [
        {
            "Cluster": view.name,
            "Status": f"Running {view.version}" if not view.error else "no answer",
            "Syncer": "(hub)" if view.name == hub else _syncer(views[hub], view.name),
            resource: f"served, schema {view.schema}" if view.established else "-",
            "Controller": _controller(view),
        }
        for view in views.values()
    ]


def _controller(view: View) -> str:
    if view.controller and view.name in view.candidates and is_idle(view):
        return f"{view.controller} (stands by)"
    return view.controller or "-"


def _syncer(hub: View, member: str) -> str:
    if member not in hub.syncers:
        return "-"
    return "in sync" if hub.ready.get(member) == "" else "connected"
