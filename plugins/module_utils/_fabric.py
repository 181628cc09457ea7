# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects, other than a kind's admission, that the modules keep on the clusters; pure functions."""

from __future__ import annotations

from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _admission_member
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names

Object = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
FABRIC = f"{names.FABRIC_GROUP}/{names.FABRIC_VERSION}"
ALL_VERBS = ["get", "list", "watch", "create", "update", "patch", "delete"]
LEASES = "coordination.k8s.io"


def member(name: str, cluster_uid: str) -> Object:
    return _object(FABRIC, "Member", name, spec={"clusterUID": cluster_uid})


def synced_resource(kind_name: str, spec: Object) -> Object:
    return _object(FABRIC, "SyncedResource", kind_name, spec=spec)


def hub_identity(name: str, cluster_uid: str) -> list[Object]:
    """What lets the syncer of member ``name`` into the hub: first the policies that hold it to its cluster's uid."""
    return [*_admission_member.policies(name, cluster_uid), *syncer_account(name)]


def syncer_account(name: str) -> list[Object]:
    """The account of the syncer of member ``name`` on the hub, and its rights there."""
    account = f"syncer-{name}"
    rules = [
        # `create` cannot be tied to a name by RBAC; the policy tmc-fabric does that.
        {"apiGroups": [LEASES], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": [LEASES],
            "resources": ["leases"],
            "resourceNames": [account],
            "verbs": ["get", "update", "patch"],
        },
        # The Leases of the others say who is heard of.
        {"apiGroups": [LEASES], "resources": ["leases"], "verbs": ["list"]},
        _own_token(account),
    ]
    return [
        service_account(account, names.HUB_NAMESPACE),
        role(account, names.HUB_NAMESPACE, rules),
        binding("RoleBinding", account, "Role", account, _account(account, names.HUB_NAMESPACE), names.HUB_NAMESPACE),
        binding(
            "ClusterRoleBinding",
            f"tmc-{account}",
            "ClusterRole",
            names.HUB_SYNCER_ROLE,
            _account(account, names.HUB_NAMESPACE),
        ),
    ]


def member_identity() -> list[Object]:
    """The syncer's account on its own cluster; manifests/member holds the same, with the ClusterRole."""
    account, namespace = names.MEMBER_SYNCER, names.MEMBER_NAMESPACE
    subject = _account(account, namespace)
    # What the member remembers of its hub is kept on a Lease.
    memory = [
        {"apiGroups": [LEASES], "resources": ["leases"], "resourceNames": [account], "verbs": ["get", "patch"]},
        {"apiGroups": [LEASES], "resources": ["leases"], "verbs": ["create"]},
    ]
    # The parameters of the admission policies, which the syncer keeps as the hub's SyncedResources say.
    parameters = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]}
    return [
        service_account(account, namespace),
        role(account, namespace, [_own_token(account), *memory]),
        binding("RoleBinding", account, "Role", account, subject, namespace),
        role(account, names.HUB_NAMESPACE, [parameters]),
        binding("RoleBinding", account, "Role", account, subject, names.HUB_NAMESPACE),
        binding("ClusterRoleBinding", account, "ClusterRole", account, subject),
    ]


def kind_rights(group: str, resource: str, *, hub: bool) -> list[Object]:
    """The syncers' rights on one synced kind, on the hub or on a member."""
    name = f"{'tmc-syncers' if hub else 'tmc-syncer'}.{resource}.{group}"
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": ALL_VERBS},
        {"apiGroups": [group], "resources": [f"{resource}/status"], "verbs": ["get", "update", "patch"]},
    ]
    subject = (
        {"kind": "Group", "apiGroup": RBAC, "name": names.HUB_SYNCERS_GROUP}
        if hub
        else _account(names.MEMBER_SYNCER, names.MEMBER_NAMESPACE)
    )
    return [
        cluster_role(name, rules),
        binding("ClusterRoleBinding", name, "ClusterRole", name, subject),
    ]


def service_account(name: str, namespace: str) -> Object:
    return _object("v1", "ServiceAccount", name, namespace, automountServiceAccountToken=False)


def role(name: str, namespace: str, rules: list[Object]) -> Object:
    return _object(f"{RBAC}/v1", "Role", name, namespace, rules=rules)


def cluster_role(name: str, rules: list[Object]) -> Object:
    return _object(f"{RBAC}/v1", "ClusterRole", name, rules=rules)


def binding(
    kind: str, name: str, role_kind: str, role_name: str, subjects: Object | list[Object], namespace: str = ""
) -> Object:
    reference = {"apiGroup": RBAC, "kind": role_kind, "name": role_name}
    named = subjects if isinstance(subjects, list) else [subjects]
    return _object(f"{RBAC}/v1", kind, name, namespace, roleRef=reference, subjects=named)


def _own_token(account: str) -> Object:
    return {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [account], "verbs": ["create"]}


def _account(name: str, namespace: str) -> Object:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _object(api_version: str, kind: str, name: str, namespace: str = "", **content: Any) -> Object:
    metadata: Object = {"name": name, "labels": dict(names.MANAGED_BY)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
