# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a copy must look like, and the smallest patch that makes it so.

An `Image` is the part of an object that its origin owns: every top-level field but `apiVersion`, `kind`, `metadata` and
`status`, and the user's labels and annotations. Whatever others put on a copy (an operator's finalizers, labels and
annotations) is not in the image: it survives on the copy and does not travel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tmc.sync import names
from tmc.sync.objects import Object, Origin, alike, annotations_of, labels_of
from tmc.sync.patches import PatchOps, pointer

_NOT_TRAVELLING = frozenset({"apiVersion", "kind", "metadata", "status"})


@dataclass(frozen=True, slots=True)
class Image:
    """The origin's part of an object: `fields` by top-level name, the user's labels and annotations."""

    origin: Origin
    fields: dict[str, Any]
    labels: dict[str, str]
    annotations: dict[str, str]

    def marked_labels(self) -> dict[str, str]:
        return {**self.labels, names.ORIGIN: self.origin.cluster}

    def marked_annotations(self) -> dict[str, str]:
        keys = {"annotations": sorted(self.annotations), "labels": sorted(self.labels)}
        return {
            **self.annotations,
            names.ORIGIN_UID: self.origin.uid,
            names.ORIGIN_CLUSTER_UID: self.origin.cluster_uid,
            names.ORIGIN_GENERATION: str(self.origin.generation),
            names.ORIGIN_KEYS: json.dumps(keys, separators=(",", ":"), sort_keys=True),
        }


def image_of_origin(obj: Mapping[str, Any], origin: Origin) -> Image:
    """The image of an object that stands on its own origin cluster."""
    return Image(
        origin,
        _fields(obj),
        {k: v for k, v in labels_of(obj).items() if _travels(k)},
        {k: v for k, v in annotations_of(obj).items() if _travels(k)},
    )


def image_of_copy(copy: Mapping[str, Any], origin: Origin) -> Image:
    """The image that a copy carries: only the keys that travelled, not those that others added to this copy."""
    carried = carried_keys(copy)
    return Image(
        origin,
        _fields(copy),
        {k: v for k, v in labels_of(copy).items() if k in carried["labels"]},
        {k: v for k, v in annotations_of(copy).items() if k in carried["annotations"]},
    )


def carried_keys(copy: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The user's label and annotation keys that travelled to this copy, as its own note says."""
    try:
        noted = json.loads(annotations_of(copy).get(names.ORIGIN_KEYS, "{}"))
    except ValueError:
        noted = {}
    noted = noted if isinstance(noted, dict) else {}
    return {part: _keys(noted.get(part)) for part in ("labels", "annotations")}


def _keys(noted: Any) -> frozenset[str]:
    listed = noted if isinstance(noted, list) else []
    return frozenset(key for key in listed if isinstance(key, str) and _travels(key))


def born(image: Image, template: Mapping[str, Any], finalizers: Iterable[str], *, waits_for_status: bool) -> Object:
    """A new copy of `image`, with the names of `template` (apiVersion, kind, name, namespace).

    `waits_for_status` marks a copy whose status has yet to be restored, so that our controller does not begin anew.
    """
    meta: dict[str, Any] = {"name": template["metadata"]["name"], "labels": image.marked_labels()}
    if namespace := template["metadata"].get("namespace"):
        meta["namespace"] = namespace
    meta["annotations"] = image.marked_annotations()
    if waits_for_status:
        meta["annotations"][names.STATUS_PENDING] = "true"
    if held := sorted(finalizers):
        meta["finalizers"] = held
    return {"apiVersion": template["apiVersion"], "kind": template["kind"], "metadata": meta, **image.fields}


def changes(image: Image, copy: Mapping[str, Any], *, waits_for_status: bool = False) -> PatchOps:
    """The JSON patch (RFC 6902) that makes `copy` carry `image`, without guard; empty when it does already."""
    carried = carried_keys(copy)
    wanted = image.marked_annotations()
    if waits_for_status:
        wanted[names.STATUS_PENDING] = "true"
    return [
        *_replace_fields(_fields(copy), image.fields),
        *_merge_keys("/metadata/labels", labels_of(copy), image.marked_labels(), carried["labels"]),
        *_merge_keys(
            "/metadata/annotations", annotations_of(copy), wanted, carried["annotations"] | {names.STATUS_PENDING}
        ),
    ]


def _fields(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in obj.items() if k not in _NOT_TRAVELLING}


def _travels(key: str) -> bool:
    return not key.startswith(names.PREFIX) and key != names.LAST_APPLIED


def _replace_fields(have: Mapping[str, Any], want: Mapping[str, Any]) -> PatchOps:
    put: PatchOps = [
        {"op": "add", "path": f"/{pointer(k)}", "value": v}
        for k, v in want.items()
        if k not in have or not alike(have[k], v)
    ]
    return put + [{"op": "remove", "path": f"/{pointer(k)}"} for k in have if k not in want]


def _merge_keys(path: str, have: Mapping[str, str], want: Mapping[str, str], ours: frozenset[str]) -> PatchOps:
    if not have and want:
        return [{"op": "add", "path": path, "value": dict(want)}]
    put: PatchOps = [
        {"op": "add", "path": f"{path}/{pointer(k)}", "value": v} for k, v in want.items() if have.get(k) != v
    ]
    return put + [{"op": "remove", "path": f"{path}/{pointer(k)}"} for k in have if k in ours and k not in want]
