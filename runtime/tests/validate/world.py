# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A healthy fabric as the validator would have seen it; tests spoil one thing at a time."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from tmc.validate.observations import (
    Attempt,
    Cluster,
    Comparison,
    LeaseKey,
    LeaseSample,
    Object,
    Observations,
    Probe,
    ProbeView,
    Sighting,
)

HUB, MEMBERS = "kcp", ("east", "west")
PROCESSOR, EPOCH, HOLDER = "west", 3, "host_ab12"
POLICY = "tmc-copies.taskqueues.demo.tmc.io"
REFUSAL = Attempt(
    True, 403, f"x is forbidden: ValidatingAdmissionPolicy '{POLICY}' with binding 'b' denied request: go to \"east\""
)
CONTROLLER_LEASE = LeaseKey(PROCESSOR, "default", "taskqueue-controller")
SYNCED: Object = {
    "spec": {
        "group": "demo.tmc.io",
        "processor": PROCESSOR,
        "epoch": EPOCH,
        "statusWriters": ["system:serviceaccount:default:taskqueue-controller"],
    }
}


def cluster_uid(name: str) -> str:
    return f"uid-of-{name}"


def probe_of(origin: str) -> Probe:
    nonce = f"nonce{origin}"
    spec = {
        "region": origin,
        "tasks": [{"name": f"probe-{n}", "command": f"echo {nonce}-{n}", "timeout": "5m"} for n in (1, 2)],
    }
    name = f"tmc-probe-{nonce}"
    stored = {"metadata": {"name": name, "namespace": "default", "uid": f"object-{origin}"}, "spec": spec}
    return Probe(nonce, origin, "default", name, stored, created_at=10.0)


def status_of(probe: Probe, completed: int) -> dict[str, Any]:
    """The status after `completed` tasks, by the text of the contract and not by the validator's functions."""
    results = [
        hashlib.sha256(f"{probe.uid}/{task['name']}/{task['command']}".encode()).hexdigest()[:16]
        for task in probe.spec["tasks"]
    ]
    canonical = json.dumps(probe.spec, sort_keys=True, separators=(",", ":"))
    tasks: list[dict[str, Any]] = []
    for index, task in enumerate(probe.spec["tasks"]):
        done = {"state": "Succeeded", "result": results[index]} if index < completed else {"state": "Pending"}
        tasks.append({"name": task["name"], **done})
    return {
        "phase": "Completed" if completed == len(tasks) else "Running",
        "progress": f"{completed}/{len(tasks)}",
        "completedTasks": completed,
        "totalTasks": len(tasks),
        "failedTasks": 0,
        "processingCluster": f"{PROCESSOR}-controller",
        "processorIdentity": HOLDER,
        "epoch": EPOCH,
        "observedSpecHash": hashlib.sha256(canonical.encode()).hexdigest()[:16],
        "observedGeneration": 1,
        "tasks": tasks,
        "conditions": [{"type": "Complete", "status": "True", "observedGeneration": 1}],
    }


def object_on(cluster: str, probe: Probe, completed: int | None, version: int) -> Object:
    """The probe as the cluster shows it; `completed` None: without status."""
    is_copy = cluster != probe.origin
    metadata: dict[str, Any] = {
        "name": probe.name,
        "namespace": "default",
        "uid": f"copy-{cluster}-{probe.origin}" if is_copy else probe.uid,
        "generation": 1,
        "resourceVersion": str(version),
        "managedFields": [
            {
                "manager": "tmc-syncer" if is_copy else "tmc-validate",
                "operation": "Update",
                "fieldsV1": {"f:spec": {}, "f:metadata": {}},
            }
        ],
    }
    if is_copy:
        metadata["labels"] = {"tmc.io/origin": probe.origin}
        metadata["annotations"] = {
            "tmc.io/origin-uid": probe.uid,
            "tmc.io/origin-cluster-uid": cluster_uid(probe.origin),
        }
    obj: Object = {"metadata": metadata, "spec": copy.deepcopy(probe.spec)}
    if completed is not None:
        obj["status"] = status_of(probe, completed)
        manager = "taskqueue-controller" if cluster == PROCESSOR else "tmc-syncer"
        metadata["managedFields"].append(
            {"manager": manager, "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}
        )
    return obj


def view_of(cluster: str, probe: Probe) -> ProbeView:
    lag = 0.0 if cluster == PROCESSOR else 0.02
    steps = (None, 0, 1, 2)
    sightings = [Sighting(10.1 + i + lag, object_on(cluster, probe, done, 100 + i)) for i, done in enumerate(steps)]
    return ProbeView(
        sightings=[*sightings, Sighting(20.5, None)],
        final=copy.deepcopy(sightings[-1].object),
        status_attempt=REFUSAL,
        spec_attempt=REFUSAL if cluster != probe.origin else None,
        gone_after=0.5,
    )


def healthy() -> Observations:
    names = (HUB, *MEMBERS)
    seen = Observations(HUB, MEMBERS)
    seen.clusters = {name: Cluster(name, True, "v1.35.4", cluster_uid(name)) for name in names}
    seen.synced = {name: copy.deepcopy(SYNCED) for name in names}
    seen.synced_after = copy.deepcopy(SYNCED)
    seen.member_uids = {name: cluster_uid(name) for name in MEMBERS}
    seen.probes = [probe_of(name) for name in names]
    seen.views = {(name, probe.name): view_of(name, probe) for name in names for probe in seen.probes}
    keys = [LeaseKey(HUB, "tmc-system", f"syncer-{member}") for member in MEMBERS]
    for key in (*keys, CONTROLLER_LEASE):
        seen.leases[key] = [
            LeaseSample(10.0, HOLDER, "2026-01-01T00:00:00.000000Z", "7"),
            LeaseSample(13.0, HOLDER, "2026-01-01T00:00:03.000000Z", "9"),
        ]
    seen.comparison = Comparison(compared=5)
    seen.followed_for, seen.deletion_at = 4.0, 20.0
    return seen
