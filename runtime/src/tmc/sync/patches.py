# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""JSON patches (RFC 6902), and what guards them: every write says what it rests on, and the API server checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmc.sync.objects import annotations_of, metadata, resource_version, uid_of

PatchOps = list[dict[str, Any]]


def guarded(ops: PatchOps, seen: Mapping[str, Any]) -> PatchOps:
    """`ops`, refused with 409 unless the object still is what was seen (its resourceVersion, hence its uid too)."""
    return [{"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version(seen)}, *ops]


def for_uid(ops: PatchOps, seen: Mapping[str, Any]) -> PatchOps:
    """`ops`, refused with 422 unless the object has the uid that was seen, whatever else has changed of it since.

    For a change of one entry that others leave alone: `ops` must test themselves what else they rest on. Changes that
    several members make at once do then not refuse each other.
    """
    return [{"op": "test", "path": "/metadata/uid", "value": uid_of(seen)}, *ops]


def seen_version(patch: PatchOps) -> str:
    """The resourceVersion that a patch is `guarded` by; empty when it is made `for_uid`."""
    return next((str(op["value"]) for op in patch if op["path"] == "/metadata/resourceVersion"), "")


def passes(patch: PatchOps, obj: Mapping[str, Any]) -> bool:
    """Whether every `test` of a JSON patch holds for this object."""
    return all(_found(obj, str(op["path"])) == op["value"] for op in patch if op["op"] == "test")


def _found(node: Any, path: str) -> Any:
    """What is at a JSON pointer; None: nothing."""
    for token in path.split("/")[1:]:
        if isinstance(node, list):
            node = node[int(token)] if token.isdecimal() and int(token) < len(node) else None
        else:
            node = node.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    return node


def pointer(key: str) -> str:
    """A key as a JSON pointer's token (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def with_finalizers(obj: Mapping[str, Any], wanted: list[str]) -> PatchOps:
    """Exactly these finalizers."""
    if not wanted:
        return [{"op": "remove", "path": "/metadata/finalizers"}] if "finalizers" in metadata(obj) else []
    return [{"op": "add", "path": "/metadata/finalizers", "value": wanted}]


def with_annotation(obj: Mapping[str, Any], key: str, value: str) -> PatchOps:
    """This annotation beside the others."""
    if not annotations_of(obj):
        return [{"op": "add", "path": "/metadata/annotations", "value": {key: value}}]
    return [{"op": "add", "path": f"/metadata/annotations/{pointer(key)}", "value": value}]
