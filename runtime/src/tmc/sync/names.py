# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The labels, annotations and finalizers of the fabric (docs/protocol.md, "Metadata on copies")."""

from __future__ import annotations

PREFIX = "tmc.io/"
ORIGIN = "tmc.io/origin"
ORIGIN_UID = "tmc.io/origin-uid"
ORIGIN_CLUSTER_UID = "tmc.io/origin-cluster-uid"
ORIGIN_GENERATION = "tmc.io/origin-generation"
ORIGIN_KEYS = "tmc.io/origin-keys"
SYNC_STATE = "tmc.io/sync-state"
STATUS_PENDING = "tmc.io/status-pending"
SYNC_FINALIZER = "tmc.io/sync"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
FIELD_MANAGER = "tmc-syncer"
MANAGED_BY = {"app.kubernetes.io/managed-by": "tmc.cross_cluster"}

NAME_CONFLICT = "NameConflict"
REJECTED = "Rejected"
WAITING = "Waiting"
KEPT = "Kept"


def finalizer_of(member: str) -> str:
    """The finalizer that says: `member` holds, or will hold, a copy of this object of the hub."""
    return PREFIX + member
