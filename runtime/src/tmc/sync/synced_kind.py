# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A kind that the fabric carries, as its `SyncedResource` declares it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tmc.core.settings import parse_duration
from tmc.sync.objects import Object, metadata
from tmc.sync.succession import Succession, succession


@dataclass(frozen=True, slots=True)
class SyncedKind:
    """One kind that the fabric carries. `grace` in seconds; the policies as in docs/protocol.md."""

    name: str
    group: str
    version: str
    resource: str
    processor: str
    epoch: int
    grace: float
    namespaces: Literal["Create", "Wait"] = "Create"
    on_origin_deleted: Literal["Delete", "Keep"] = "Delete"
    succession: Succession = field(default_factory=Succession)

    def same_resource(self, other: SyncedKind) -> bool:
        return (self.group, self.version, self.resource) == (other.group, other.version, other.resource)


def synced_kind(obj: Object) -> SyncedKind:
    """A `SyncedResource` as a value.

    Raises:
        SettingsError: `spec.deletionGrace` is no duration.
        KeyError: a required field is missing, which the CRD's schema rules out.
    """
    spec = obj["spec"]
    grace = parse_duration(spec.get("deletionGrace", "5m"), name="spec.deletionGrace", minimum=1, maximum=30 * 86400)
    return SyncedKind(
        name=metadata(obj)["name"],
        group=spec["group"],
        version=spec["version"],
        resource=spec["resource"],
        processor=spec["processor"],
        epoch=int(spec.get("epoch", 1)),
        grace=grace,
        namespaces="Wait" if spec.get("namespaces") == "Wait" else "Create",
        on_origin_deleted="Keep" if spec.get("onOriginDeleted") == "Keep" else "Delete",
        succession=succession(spec),
    )
