# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What docs/protocol.md promises, as functions: the validator computes every expectation from here, by itself.

Nothing is shared with the syncer or the controller on purpose: what is wrong there must not be wrong here too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

RESOURCE_NAME = "taskqueues.demo.tmc.io"
COPIES_POLICY = f"tmc-copies.{RESOURCE_NAME}"

ORIGIN_LABEL = "tmc.io/origin"
ORIGIN_UID = "tmc.io/origin-uid"
ORIGIN_CLUSTER_UID = "tmc.io/origin-cluster-uid"
STATE_ANNOTATION = "tmc.io/sync-state"
PROBE_LABEL = "tmc.io/probe"

SYNCER_MANAGER = "tmc-syncer"
CONTROLLER_MANAGER = "taskqueue-controller"
VALIDATOR_MANAGER = "tmc-validate"

SYNCER_NAMESPACE = "tmc-system"
CONTROLLER_NAMESPACE = "default"
CONTROLLER_LEASE = "taskqueue-controller"

TERMINAL_PHASES = ("Completed", "Failed")


def syncer_lease(member: str) -> str:
    """Name of the Lease (namespace `tmc-system` of the hub) that the member's syncer renews."""
    return f"syncer-{member}"


def task_result(origin_uid: str, task: str, command: str) -> str:
    """`tasks[].result` of a success, by any executor: only who saw this object's uid and command can know it."""
    return hashlib.sha256(f"{origin_uid}/{task}/{command}".encode()).hexdigest()[:16]


def spec_hash(spec: Mapping[str, Any]) -> str:
    """`status.observedSpecHash` of an origin's `spec`."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def origin_identity(obj: Mapping[str, Any], cluster_uid: str) -> tuple[str, str]:
    """(origin cluster's uid, origin object's uid) of an object seen on the cluster with `cluster_uid`."""
    metadata = obj.get("metadata", {})
    annotations = metadata.get("annotations") or {}
    labelled = ORIGIN_LABEL in (metadata.get("labels") or {})
    origin_cluster, origin_uid = annotations.get(ORIGIN_CLUSTER_UID), annotations.get(ORIGIN_UID)
    if labelled and origin_uid and origin_cluster and origin_cluster != cluster_uid:
        return origin_cluster, origin_uid
    return cluster_uid, metadata.get("uid", "")


def comparable_status(obj: Mapping[str, Any] | None) -> dict[str, Any]:
    """The object's status without `observedGeneration`, the only part that rightly differs from cluster to cluster."""
    status = dict((obj or {}).get("status") or {})
    status.pop("observedGeneration", None)
    if "conditions" in status:
        status["conditions"] = [
            {key: value for key, value in condition.items() if key != "observedGeneration"}
            for condition in status["conditions"]
        ]
    return status


def first_difference(left: Any, right: Any, path: str) -> str:
    """Where two JSON values differ first, as `status.progress: "3/5" is not "5/5"`; empty text when they are equal."""
    if left == right:
        return ""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            if left.get(key) != right.get(key):
                return first_difference(left.get(key), right.get(key), f"{path}.{key}")
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            if one != other:
                return first_difference(one, other, f"{path}[{index}]")
    return f"{path}: {_brief(left)} is not {_brief(right)}"


def _brief(value: Any, limit: int = 80) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= limit else text[: limit - 3] + "..."
