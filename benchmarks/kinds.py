# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of the benchmark: three alike but for their names, so that only who carries them differs."""

from __future__ import annotations

from typing import Any

from tmc.api.resource import Resource

GROUP = "bench.tmc.io"
NAMESPACE = "default"
MANAGER = "bench"
# The fabric carries the first; the mirrors that it is compared with carry the status of the other two.
OURS = Resource(GROUP, "v1", "parcels", "Parcel")
BARE = Resource(GROUP, "v1", "bareparcels", "BareParcel")
KOPF = Resource(GROUP, "v1", "kopfparcels", "KopfParcel")
TASK_QUEUES = Resource("demo.tmc.io", "v1", "taskqueues", "TaskQueue")

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"text": {"type": "string"}}},
        "status": {
            "type": "object",
            "properties": {"step": {"type": "integer"}, "message": {"type": "string"}},
        },
    },
}


def definition(kind: Resource) -> dict[str, Any]:
    """The custom resource definition of a kind."""
    version = {"name": kind.version, "served": True, "storage": True, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.name},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "versions": [{**version, "schema": {"openAPIV3Schema": SCHEMA}}],
        },
    }


def parcel(kind: Resource, name: str) -> dict[str, Any]:
    """An object of about 1 KB, as people's are."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"text": "x" * 700},
    }


def status(step: int) -> dict[str, Any]:
    return {"status": {"step": step, "message": f"step {step} of the benchmark"}}


def step_of(obj: dict[str, Any]) -> int | None:
    """The step that an object's status shows."""
    step = obj.get("status", {}).get("step")
    return step if isinstance(step, int) else None


def task_queue(name: str) -> dict[str, Any]:
    """A TaskQueue like those of the demo: five tasks."""
    tasks = [{"name": f"task-{i}", "command": f"bench --task={i}"} for i in range(5)]
    return {
        "apiVersion": TASK_QUEUES.api_version,
        "kind": TASK_QUEUES.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"region": "bench", "priority": "low", "parallelism": 2, "tasks": tasks},
    }
