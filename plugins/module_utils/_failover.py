# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failover of a kind (docs/failover.md): what is said of it, and the rights that it takes on the hub; pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names
from ansible_collections.tmc.cross_cluster.plugins.module_utils._admission import Kind
from ansible_collections.tmc.cross_cluster.plugins.module_utils._fabric import binding, cluster_role, role

Object = dict[str, Any]

CANDIDATES, SHORTEST, LONGEST = 16, 30, 86400  # as in manifests/fabric/crds.yaml


def problems(params: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the options of the module synced_resource, before any cluster is asked."""
    candidates, after = params["failover_candidates"], params["failover_after"]
    hub = params["cluster_name"] if params["role"] == "hub" else None
    members = [name for name in params["clusters"] or [] if name != hub]
    for name in candidates:
        if problem := names.cluster_name_problem(name, "failover_candidates"):
            yield problem
        elif name == hub:
            yield f"failover_candidates {name!r} is the hub: only members take over, because their syncers do it"
        elif members and name not in members:
            yield f"failover_candidates {name!r} is not one of the members: {', '.join(members)}"
    if len(set(candidates)) < len(candidates):
        yield f"failover_candidates {', '.join(candidates)}: each member is named once"
    if len(candidates) > CANDIDATES:
        yield f"failover_candidates names {len(candidates)} members: at most {CANDIDATES}"
    if not SHORTEST <= after <= LONGEST:
        yield f"failover_after {after} is out of range: {SHORTEST} to {LONGEST} seconds"


def spec(candidates: list[str], after: int, live: Object | None) -> Object:
    """The part of the spec of a SyncedResource: none without candidates, and an explicit one where it has to go."""
    if candidates:
        return {"failover": {"candidates": candidates, "afterSeconds": after}}
    return {"failover": None} if live and "failover" in live["spec"] else {}


def rights(kind: Kind, candidates: list[str]) -> list[Object]:
    """The rights on the hub of the candidates' syncers: one ConfigMap and one SyncedResource.

    The policies tmc-failover and tmc-fabric narrow them to what a failover writes (manifests/hub/admission.yaml).
    """
    name = f"tmc-failover.{kind.name}"
    fence = _rule("", "configmaps", kind, "get", "patch")
    term = _rule(names.FABRIC_GROUP, "syncedresources", kind, "patch")
    accounts = [
        {"kind": "ServiceAccount", "name": f"syncer-{candidate}", "namespace": names.HUB_NAMESPACE}
        for candidate in candidates
    ]
    return [
        role(name, names.HUB_NAMESPACE, [fence]),
        binding("RoleBinding", name, "Role", name, accounts, names.HUB_NAMESPACE),
        cluster_role(name, [term]),
        binding("ClusterRoleBinding", name, "ClusterRole", name, accounts),
    ]


def _rule(group: str, resource: str, kind: Kind, *verbs: str) -> Object:
    return {"apiGroups": [group], "resources": [resource], "resourceNames": [kind.name], "verbs": list(verbs)}
