# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The end state of a run without what differs from run to run, so that two runs can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.faults.rules import ORIGIN_CLUSTER, ORIGIN_UID, origin_uid, result_of

CLUSTER_UID = "tmc.io/origin-cluster-uid"
TIMES = frozenset({"startTime", "finishTime", "lastProcessed", "completionTime", "lastTransitionTime"})
# Who did it and how often it was tried may differ after a crash; that nothing was done twice is a rule of its own.
PERSONAL = frozenset({"processorIdentity", "attempts", "message"})

State = dict[str, dict[str, Any]]


def normal_state(objects: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> State:
    """`objects` by cluster and name -> `cluster/name` -> normal form."""
    uids = {obj["metadata"]["uid"]: f"{cluster}/{name}" for cluster, of in objects.items() for name, obj in of.items()}
    return {f"{cluster}/{name}": normal(obj, uids) for cluster, of in objects.items() for name, obj in of.items()}


def normal(obj: Mapping[str, Any], uids: Mapping[str, str]) -> dict[str, Any]:
    metadata = obj["metadata"]
    notes = dict(metadata.get("annotations") or {})
    if ORIGIN_UID in notes:
        notes[ORIGIN_UID] = uids.get(notes[ORIGIN_UID], "of an object that is no more")
        notes[CLUSTER_UID] = "present" if notes.get(CLUSTER_UID) else "missing"
    return {
        "labels": metadata.get("labels") or {},
        "annotations": notes,
        "finalizers": sorted(metadata.get("finalizers") or ()),
        "owners": metadata.get("ownerReferences") or [],
        "deleting": bool(metadata.get("deletionTimestamp")),
        "origin": (metadata.get("labels") or {}).get(ORIGIN_CLUSTER, ""),
        "spec": obj["spec"],
        "status": normal_status(obj),
    }


def normal_status(obj: Mapping[str, Any]) -> Any:
    status = dict(obj.get("status") or {})
    commands = {task["name"]: task["command"] for task in obj["spec"]["tasks"]}
    tasks = []
    for task in status.get("tasks") or ():
        known = result_of(origin_uid(obj), task["name"], commands.get(task["name"], ""))
        result = task.get("result", "")
        tasks.append({**task, "result": "as it should be" if result == known else result})
    if tasks:
        status["tasks"] = tasks
    return scrubbed(status, obj["metadata"].get("generation"))


def scrubbed(value: Any, generation: int | None) -> Any:
    if isinstance(value, list):
        return [scrubbed(each, generation) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: scrubbed(each, generation) for key, each in value.items() if key not in TIMES | PERSONAL}
    if "observedGeneration" in kept:
        kept["observedGeneration"] = "present" if kept["observedGeneration"] == generation else "other"
    return kept


def differences(reference: State, found: State) -> list[str]:
    """What is different, one line each; empty: the states are equal."""
    lines = []
    for key in sorted(reference.keys() | found.keys()):
        if key not in found:
            lines.append(f"{key} is missing")
        elif key not in reference:
            lines.append(f"{key} should not be")
        else:
            lines += unequal(key, reference[key], found[key])
    return lines


def unequal(path: str, wanted: Any, got: Any) -> list[str]:
    if isinstance(wanted, dict) and isinstance(got, dict):
        keys = sorted(wanted.keys() | got.keys())
        return [line for key in keys for line in unequal(f"{path}.{key}", wanted.get(key), got.get(key))]
    return [] if wanted == got else [f"{path}: {got!r} instead of {wanted!r}"]
