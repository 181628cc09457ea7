# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Compare the TaskQueues of all clusters, as they were listed at about one moment (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tmc.validate.contract import (
    PROBE_LABEL,
    STATE_ANNOTATION,
    comparable_status,
    first_difference,
    origin_identity,
)
from tmc.validate.observations import Object

Identity = tuple[str, str]


def differences(
    snapshot: Mapping[str, Sequence[Object]], uids: Mapping[str, str], processor: str
) -> tuple[int, dict[tuple[str, str], str]]:
    """How many TaskQueues were compared, and where one differs: (cluster, "namespace/name") -> how it does.

    `snapshot`: cluster -> its TaskQueues; `uids`: cluster -> uid of its kube-system. The processor owns status, so it
    is the reference. Left out: probes, what is being deleted, and names that lost a conflict (their owner was told).
    """
    by_identity: dict[Identity, dict[str, Object]] = {}
    for cluster, objects in snapshot.items():
        for obj in objects:
            by_identity.setdefault(origin_identity(obj, uids[cluster]), {})[cluster] = obj
    conflicts = _conflicts(snapshot)
    found: dict[tuple[str, str], str] = {}
    compared = 0
    for identity, copies in by_identity.items():
        if any(_comes_or_goes(obj) for obj in copies.values()) or _is_loser(copies):
            continue
        compared += 1
        name = _name(next(iter(copies.values())))
        origin = next((cluster for cluster, uid in uids.items() if uid == identity[0]), "")
        for cluster in snapshot:
            text = "" if (cluster, name) in conflicts else _difference(copies, cluster, origin, processor)
            if text:
                found[(cluster, name)] = text
    return compared, found


def _difference(copies: Mapping[str, Object], cluster: str, origin: str, processor: str) -> str:
    if cluster not in copies:
        return f"is missing here{_state(copies.get(origin))}"
    if origin not in copies:
        return f"is here, but not on its origin {origin or '(a cluster that was not asked about)'}"
    if processor not in copies:
        return ""
    here, there = comparable_status(copies[cluster]), comparable_status(copies[processor])
    difference = first_difference(here, there, "status")
    return f"{difference}, which {processor} has" if difference else ""


def _state(origin_object: Object | None) -> str:
    state = ((origin_object or {}).get("metadata", {}).get("annotations") or {}).get(STATE_ANNOTATION)
    return f" (its origin says: {state})" if state else ""


def _conflicts(snapshot: Mapping[str, Sequence[Object]]) -> set[tuple[str, str]]:
    """(cluster, name) where a loser of a name conflict sits: the winner rightly has no copy there."""
    return {(cluster, _name(obj)) for cluster, objects in snapshot.items() for obj in objects if _lost(obj)}


def _is_loser(copies: Mapping[str, Object]) -> bool:
    return len(copies) == 1 and _lost(next(iter(copies.values())))


def _lost(obj: Object) -> bool:
    return bool((obj["metadata"].get("annotations") or {}).get(STATE_ANNOTATION) == "NameConflict")


def _comes_or_goes(obj: Object) -> bool:
    metadata = obj["metadata"]
    return "deletionTimestamp" in metadata or PROBE_LABEL in (metadata.get("labels") or {})


def _name(obj: Object) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata'].get('name', '')}"
