# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading Kubernetes objects: whose is it, is it going, who holds it.

Every function is pure and total: a malformed object reads as an ordinary object that is nobody's copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tmc.core.store import OUTLINE
from tmc.sync import names

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object was created: its identity in the whole fabric is (`cluster_uid`, `uid`), never a name."""

    cluster: str
    cluster_uid: str
    uid: str
    generation: int


def metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    return obj.get("metadata") or {}


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("annotations") or {}


def finalizers_of(obj: Mapping[str, Any]) -> list[str]:
    return metadata(obj).get("finalizers") or []


def uid_of(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("uid", ""))


def generation_of(obj: Mapping[str, Any]) -> int:
    return int(metadata(obj).get("generation") or 0)


def resource_version(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("resourceVersion", ""))


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(metadata(obj).get("deletionTimestamp"))


def is_outline(*objects: Mapping[str, Any] | None) -> bool:
    """Of one of these only the metadata is known, because it is nested too deep: what else it has not says nothing."""
    return any(obj is not None and OUTLINE in obj for obj in objects)


def status_of(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The status, or an empty mapping: absent and empty mean the same to the fabric."""
    return obj.get("status") or {}


def alike(one: Any, other: Any) -> bool:
    """Equal as JSON values are: `==` takes true for 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def marked_origin(obj: Mapping[str, Any]) -> Origin | None:
    """The origin that a copy's marks name; None when the object does not carry all of them."""
    cluster = labels_of(obj).get(names.ORIGIN)
    notes = annotations_of(obj)
    uid, cluster_uid = notes.get(names.ORIGIN_UID), notes.get(names.ORIGIN_CLUSTER_UID)
    if not cluster or not uid or not cluster_uid:
        return None
    generation = notes.get(names.ORIGIN_GENERATION, "")
    return Origin(cluster, cluster_uid, uid, int(generation) if generation.isdecimal() and len(generation) < 19 else 0)


def origin_on(obj: Mapping[str, Any], cluster: str, cluster_uid: str) -> Origin:
    """The origin of an object that stands on the named cluster: the one it is marked with, or this cluster itself.

    Marks that name the very cluster the object stands on are somebody's typing: such an object is no copy.
    """
    marked = marked_origin(obj)
    if marked is not None and marked.cluster_uid != cluster_uid:
        return marked
    return Origin(cluster, cluster_uid, uid_of(obj), generation_of(obj))
