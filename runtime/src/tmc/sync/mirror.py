# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the mirror of a kind on the member is to say: pure functions."""

from __future__ import annotations

from typing import Any

from tmc.sync.objects import Object, annotations_of
from tmc.sync.patches import PatchOps, pointer

HUB_UID = "tmc.io/hub-uid"


def is_over(mirror: Object, spec: dict[str, Any]) -> bool:
    """Whether there was another term between that of the mirror and that of the hub's `spec`.

    A move adds one to the epoch: who is named in both, two or more apart, was not the processor in between.
    """
    return bool(spec["epoch"] > mirror["spec"]["epoch"] + 1)


def stood_down(spec: dict[str, Any], hub: str) -> dict[str, Any]:
    """The hub's `spec` as of the term before, which was another cluster's; nobody here knows whose, so it is `hub`."""
    return {**spec, "processor": hub, "epoch": spec["epoch"] - 1}


def mirrored(mirror: Object, spec: dict[str, Any], hub_uid: str) -> PatchOps:
    """The mirror says `spec`, and which hub that is from."""
    ops: PatchOps = []
    if mirror.get("spec") != spec:
        ops.append({"op": "add", "path": "/spec", "value": spec})
    if annotations_of(mirror).get(HUB_UID) != hub_uid:
        ops += annotated(mirror, HUB_UID, hub_uid)
    return ops


def annotated(mirror: Object, name: str, value: str) -> PatchOps:
    if annotations_of(mirror):
        return [{"op": "add", "path": f"/metadata/annotations/{pointer(name)}", "value": value}]
    return [{"op": "add", "path": "/metadata/annotations", "value": {name: value}}]
