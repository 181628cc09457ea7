# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a set of objects to a wanted state: look first, check the rights, then write only what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._names import MANAGED_BY
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import BY_KIND, Resource

OLDEST_SERVER = (1, 30)


@dataclass(frozen=True)
class Change:
    """One object to be written (``after``) or, when ``after`` is None, deleted."""

    resource: Resource
    before: Object | None
    after: Object | None

    @property
    def verb(self) -> str:
        if self.after is None:
            return "delete"
        return "create" if self.before is None else "patch"

    @property
    def title(self) -> str:
        metadata = (self.after or self.before or {})["metadata"]
        where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
        return f"{self.resource.kind} {where}{metadata['name']}"


def contains(live: Any, wanted: Any) -> bool:
    """Whether ``live`` says everything that ``wanted`` says; what the API server adds (defaults) is ignored."""
    if live is None and wanted in ("", [], {}):
        return True
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(contains(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        same = isinstance(live, list) and len(live) == len(wanted)
        return same and all(contains(one, other) for one, other in zip(live, wanted))
    return bool(live == wanted)


def plan_present(client: Client, objects: list[Object]) -> list[Change]:
    """The changes that would make every one of ``objects`` so."""
    changes = []
    for wanted in objects:
        resource = BY_KIND[wanted["kind"]]
        metadata = wanted["metadata"]
        live = client.get(resource, metadata["name"], metadata.get("namespace", ""))
        if live is None or not contains(live, wanted):
            changes.append(Change(resource, live, wanted))
    return changes


def plan_absent(client: Client, objects: list[Object]) -> list[Change]:
    """Deletions of those of ``objects`` that are there and carry our mark; a stranger of the same name is an error."""
    changes = []
    for wanted in objects:
        resource = BY_KIND[wanted["kind"]]
        metadata = wanted["metadata"]
        live = client.get(resource, metadata["name"], metadata.get("namespace", ""))
        if live is None or live["metadata"].get("deletionTimestamp"):
            continue
        if not contains(live["metadata"].get("labels") or {}, MANAGED_BY):
            raise TmcError(
                f"{resource.kind} {metadata['name']} on '{client.label}' does not carry the label "
                "app.kubernetes.io/managed-by=tmc.cross_cluster, so it is not removed; remove it yourself if you want"
            )
        changes.append(Change(resource, live, None))
    return changes


def carry_out(client: Client, changes: list[Change], *, checked: bool = False) -> None:
    """Checks every right first, so that a missing one leaves nothing half-done; then writes in order."""
    if not checked:
        check_rights(client, changes)
    for change in changes:
        try:
            _write(client, change)
        except ApiError as error:
            raise TmcError(f"cannot {change.verb} {change.title} on '{client.label}': {error}") from error


def _write(client: Client, change: Change) -> None:
    metadata = (change.after or change.before or {})["metadata"]
    name, namespace = metadata["name"], metadata.get("namespace", "")
    if change.after is None:
        client.delete(change.resource, name, namespace, uid=metadata["uid"])
    else:
        client.patch(change.resource, name, change.after, namespace, content_type=APPLY_PATCH, strict=True)


def check_rights(client: Client, changes: list[Change]) -> None:
    """Raises TmcError naming the user, verb, resource and cluster of the first right that is missing."""
    # Server-side apply needs `patch` and, for what is not there yet, `create` as well.
    wanted = {
        (change.resource, verb)
        for change in changes
        for verb in ({"patch", change.verb} if change.after else {"delete"})
    }
    for resource, verb in sorted(wanted, key=lambda pair: (pair[0].name, pair[1])):
        if not _allowed(client, resource, verb):
            raise TmcError(
                f"user '{whoami(client)}' may not {verb} {resource.plural} on '{client.label}'; "
                "use a kubeconfig of a user who may, such as the cluster's administrator"
            )


def _allowed(client: Client, resource: Resource, verb: str) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"group": resource.group, "resource": resource.plural, "verb": verb}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return bool((client.request("POST", path, body=review).get("status") or {}).get("allowed"))


def whoami(client: Client) -> str:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
    return str((answer.get("status") or {}).get("userInfo", {}).get("username", "unknown"))


def require_server(client: Client) -> str:
    """The server's version; TmcError when it is too old for what admission needs."""
    answer = client.request("GET", "/version")
    version = str(answer.get("gitVersion", "unknown"))
    numbers = "".join(c if c.isdigit() else " " for c in version).split()
    if len(numbers) >= 2 and tuple(int(number) for number in numbers[:2]) < OLDEST_SERVER:
        raise TmcError(
            f"server '{client.label}' is {version} and lacks ValidatingAdmissionPolicy v1: 1.30 or newer is needed"
        )
    return version


def cluster_uid(client: Client) -> str:
    """The identity of a cluster: the uid of its kube-system namespace."""
    from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import NAMESPACE

    namespace = client.get(NAMESPACE, "kube-system")
    if namespace is None:
        raise TmcError(
            f"cluster '{client.label}' has no namespace kube-system, so it has no identity yet; try again when it is up"
        )
    return str(namespace["metadata"]["uid"])


def diff_of(changes: list[Change]) -> dict[str, Any]:
    """Before and after of all changes, as Ansible's --diff shows it, without managedFields."""
    return {
        "before": {change.title: _shown(change.before) for change in changes},
        "after": {change.title: _shown(change.after) for change in changes},
    }


def _shown(obj: Object | None) -> Object:
    if obj is None:
        return {}
    hidden = ("managedFields", "uid", "resourceVersion", "generation", "creationTimestamp")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in hidden}
    return obj | {"metadata": metadata}
