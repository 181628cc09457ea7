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


def tombstone_of(uid: str, member: str) -> str:
    """The name of the tombstone by which `member` says that its object with this uid is gone.

    It ends with the member, because admission lets each make only names of its own: none can take another's.
    """
    return f"{uid}.{member}"


def buried_uid(tombstone: str) -> str:
    """The uid of the origin object for which the tombstone of this name stands."""
    return tombstone.partition(".")[0]


def finalizer_of(member: str) -> str:
    """The finalizer that says: `member` holds, or will hold, a copy of this object of the hub."""
    return PREFIX + member
