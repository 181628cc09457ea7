# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rights that bringing up and removing a fabric takes, and which of them a user lacks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
MANAGE = ("get", "list", "create", "patch", "delete")
RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
LEASES = "coordination.k8s.io"


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, in all namespaces; ``resource`` may have a subresource (``serviceaccounts/token``)."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


EVERYTHING = Right("*", "*", "*")


def rights(group: str, resources: tuple[str, ...], verbs: tuple[str, ...]) -> set[Right]:
    return {Right(group, resource, verb) for resource, verb in product(resources, verbs)}


def needed(kinds: list[tuple[str, str]], *, deployments: bool) -> set[Right]:
    """What the modules do themselves on a cluster that carries ``kinds`` (group, resource)."""
    found = (
        rights("", ("namespaces", "configmaps", "serviceaccounts"), MANAGE)
        | rights("", ("serviceaccounts/token",), ("create",))
        | rights("", ("events",), ("list", "delete"))
        | rights(LEASES, ("leases",), ("get", "list", "delete"))
        | rights(RBAC, ("roles", "rolebindings", "clusterroles", "clusterrolebindings"), MANAGE)
        | rights(ADMISSION, ("validatingadmissionpolicies", "validatingadmissionpolicybindings"), MANAGE)
        | rights("apiextensions.k8s.io", ("customresourcedefinitions",), MANAGE)
        | rights(names.FABRIC_GROUP, ("syncedresources", "members", "tombstones"), MANAGE)
    )
    for group, resource in kinds:
        found |= rights(group, (resource,), MANAGE)
    if deployments:
        found |= rights("apps", ("deployments",), MANAGE) | rights("policy", ("poddisruptionbudgets",), MANAGE)
        found |= rights("", ("secrets",), MANAGE)
    return found


def granted(kinds: list[tuple[str, str]]) -> set[Right]:
    """What the syncers and controllers get. Who may not ``escalate`` can only give rights that are their own."""
    found = (
        rights(LEASES, ("leases",), ("get", "create", "update", "patch"))
        | rights("", ("namespaces",), ("get", "list", "watch", "create"))
        | rights("", ("events",), ("create", "patch"))
        | rights("apiextensions.k8s.io", ("customresourcedefinitions",), ("get", "list", "watch"))
        | rights(names.FABRIC_GROUP, ("syncedresources",), ("get", "list", "watch", "create", "patch", "delete"))
        | rights(names.FABRIC_GROUP, ("members/status",), ("patch",))
        | rights(names.FABRIC_GROUP, ("members",), ("get", "list", "watch"))
        | rights(names.FABRIC_GROUP, ("tombstones",), (*MANAGE, "update", "watch"))
    )
    for group, resource in kinds:
        found |= rights(group, (resource,), (*MANAGE, "update", "watch"))
        found |= rights(group, (f"{resource}/status",), ("get", "update", "patch"))
    return found


def lacking(client: Client, kinds: list[tuple[str, str]], *, deployments: bool) -> list[Right]:
    """The rights that the user of this connection has not, asked by SelfSubjectAccessReview."""
    if allowed(client, EVERYTHING):
        return []
    wanted = needed(kinds, deployments=deployments)
    if not all(allowed(client, Right(RBAC, each, "escalate")) for each in ("roles", "clusterroles")):
        wanted |= granted(kinds)
    ordered = sorted(wanted)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda right: allowed(client, right), ordered)
        return [right for right, answer in zip(ordered, answers) if not answer]


def allowed(client: Client, right: Right) -> bool:
    resource, _slash, subresource = right.resource.partition("/")
    attributes = {"group": right.group, "resource": resource, "subresource": subresource, "verb": right.verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    return bool((client.request("POST", REVIEWS, body=review).get("status") or {}).get("allowed"))


def summary(found: list[Right]) -> str:
    """``create, patch clusterroles.rbac.authorization.k8s.io; delete leases...``: one part a resource."""
    by_resource: dict[str, list[str]] = {}
    for right in found:
        name = f"{right.resource}.{right.group}" if right.group else right.resource
        by_resource.setdefault(name, []).append(right.verb)
    return "; ".join(f"{', '.join(verbs)} {name}" for name, verbs in by_resource.items())
