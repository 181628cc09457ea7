# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Everything that an API server has: all objects of all kinds, as it lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._discovery import served

# What a server and its controller manager write by themselves, at any time: heartbeats and news.
OWN_LIFE = {
    ("coordination.k8s.io", "leases", "kube-system"),
    ("coordination.k8s.io", "leases", "kube-node-lease"),
}
NEWS = {("", "events"), ("events.k8s.io", "events")}
# What an API server and the controllers of an embedded plane (_embedded_programs.CONTROLLERS) make by themselves, some
# of it only after the server has said that it is ready.
FROM_THE_START = {
    *(f"namespaces /{name}" for name in ("default", "kube-node-lease", "kube-public", "kube-system")),
    *(
        f"serviceaccounts kube-system/{name}"
        for name in ("generic-garbage-collector", "namespace-controller", "service-account-controller")
    ),
    "configmaps kube-system/kube-apiserver-legacy-service-account-token-tracking",
    "servicecidrs.networking.k8s.io /kubernetes",
    "services default/kubernetes",
}
# Kinds whose objects the server itself gives a status a moment after they came.
JUDGED = ("apiservices.", "customresourcedefinitions.", "flowschemas.", "servicecidrs.")


def every_object(kubeconfig: Path) -> dict[str, Any]:
    """``<kind>.<group> <namespace>/<name>`` -> the whole object, resourceVersion and managedFields included."""
    client = Client(_kubeconfig.load_file(str(kubeconfig)))
    found: dict[str, Any] = {}
    for resource in served(client):
        for obj in client.list(resource):
            metadata = obj["metadata"]
            place = metadata.get("namespace", "")
            if (resource.group, resource.plural, place) in OWN_LIFE:
                continue
            if (resource.group, resource.plural) in NEWS and is_from_kubernetes(obj):
                continue
            found[f"{resource.name} {place}/{metadata['name']}"] = obj
    return found


def unfinished(objects: dict[str, Any]) -> list[str]:
    """What an embedded plane's own controllers have still to do, given all its objects: one line for each."""
    namespaces = [name.split("/")[1] for name, obj in objects.items() if name.startswith("namespaces ") and lives(obj)]
    wanted = FROM_THE_START | {f"serviceaccounts {namespace}/default" for namespace in namespaces}
    versions = served_by_definitions(objects)
    registered = {
        name for name, obj in objects.items()
        if (obj["metadata"].get("labels") or {}).get("kube-aggregator.kubernetes.io/automanaged") == "true"
    }  # fmt: skip
    lines = [f"missing: {name}" for name in (wanted - objects.keys()) | (versions - registered)]
    lines += [f"to go: {name}" for name in registered - versions]
    lines += [
        f"not judged: {name}" for name, obj in objects.items()
        if name.startswith(JUDGED) and not obj.get("status", {}).get("conditions")
    ]  # fmt: skip
    return sorted(lines)


def served_by_definitions(objects: dict[str, Any]) -> set[str]:
    """The APIServices that the server registers for the kinds of CustomResourceDefinitions."""
    return {
        f"apiservices.apiregistration.k8s.io /{version['name']}.{obj['spec']['group']}"
        for name, obj in objects.items() if name.startswith("customresourcedefinitions.") and lives(obj)
        for version in obj["spec"]["versions"] if version["served"]
    }  # fmt: skip


def lives(obj: Any) -> bool:
    return "deletionTimestamp" not in obj["metadata"]


def is_from_kubernetes(event: Any) -> bool:
    """Whether an Event tells of the cluster's own components."""
    component = event.get("reportingComponent") or (event.get("source") or {}).get("component", "")
    return not component.startswith(("tmc", "taskqueue"))


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """One line for each object that came, went or is another one now. Empty: the two are the same, byte for byte."""
    lines = [f"went: {name}" for name in before.keys() - after.keys()]
    lines += [f"came: {name}" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        if before[name] != after[name]:
            lines.append(f"changed: {name}: {before[name]} -> {after[name]}")
    return sorted(lines)
