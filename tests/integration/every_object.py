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
