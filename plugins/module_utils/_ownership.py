# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose is an object: the fabric's own, a copy, somebody's that the fabric has marked, or nothing of ours.

Pure functions of an object's metadata (docs/protocol.md, "Metadata on copies").
"""

from __future__ import annotations

from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names

Object = dict[str, Any]

PREFIX = "tmc.io/"
ORIGIN = "tmc.io/origin"
ORIGIN_UID = "tmc.io/origin-uid"
ORIGIN_CLUSTER_UID = "tmc.io/origin-cluster-uid"
# What a syncer writes on an object that somebody else owns.
STATE_NOTES = ("tmc.io/sync-state", "tmc.io/status-pending")
SYNCER = "tmc-syncer"  # field manager of all writes of a syncer
# Field managers of the modules, the syncers, the controller and their Leases.
OUR_MANAGERS = {names.FIELD_MANAGER, SYNCER, "taskqueue-controller", "tmc"}
OUR_NAMES = ("tmc-", "taskqueue-controller", "kcp-syncer", "syncer-")
PART_OF = {"app.kubernetes.io/part-of": "tmc-cross-cluster"}


def managers(obj: Object) -> set[str]:
    """The field managers that have written something of the object that is still there."""
    return {str(entry.get("manager", "")) for entry in obj["metadata"].get("managedFields") or []}


def labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def is_labelled(obj: Object) -> bool:
    """Whether the object says that this collection manages it."""
    return names.MANAGED_BY.items() <= labels(obj).items()


def is_ours(obj: Object) -> bool:
    """Whether the object is the fabric's own: labelled so, or one of its names, written by its modules or programs."""
    if is_labelled(obj):
        return True
    return bool(managers(obj) & OUR_MANAGERS) and obj["metadata"]["name"].startswith(OUR_NAMES)


def is_our_definition(crd: Object) -> bool:
    """Whether a CRD goes with the fabric: its own group's, and one that the modules made and labelled.

    One that somebody else wrote as well, or that the modules applied for somebody else, holds data that is not ours.
    """
    if crd["metadata"]["name"].endswith(f".{names.FABRIC_GROUP}"):
        return True
    others = managers(crd) - {names.FIELD_MANAGER, "kube-apiserver"}
    return is_labelled(crd) and names.FIELD_MANAGER in managers(crd) and not others


def is_foreign_definition(crd: Object) -> bool:
    """Whether somebody else installed a CRD: the modules neither wrote it nor does it say that it is the fabric's."""
    marked = is_labelled(crd) or PART_OF.items() <= labels(crd).items()
    fabric = crd["metadata"]["name"].endswith(f".{names.FABRIC_GROUP}")
    return not marked and not fabric and names.FIELD_MANAGER not in managers(crd)


def is_copy(obj: Object, cluster_uid: str) -> bool:
    """Whether the object is a copy of one of another cluster; marks that name this very cluster were typed."""
    notes = obj["metadata"].get("annotations") or {}
    other = notes.get(ORIGIN_CLUSTER_UID)
    return bool(labels(obj).get(ORIGIN) and notes.get(ORIGIN_UID) and other) and other != cluster_uid


def our_finalizers(obj: Object) -> list[str]:
    return [name for name in obj["metadata"].get("finalizers") or [] if name.startswith(PREFIX)]


def release(obj: Object, *, whole: bool = False) -> Object:
    """The merge patch of metadata that takes our marks off; empty when there are none.

    ``whole``: also those that make it a copy, so that it becomes an ordinary object of the cluster it is on.
    """
    metadata = obj["metadata"]
    notes = metadata.get("annotations") or {}
    doomed = [key for key in notes if key in STATE_NOTES or (whole and key.startswith(PREFIX))]
    patch: Object = {}
    if our_finalizers(obj):
        patch["finalizers"] = [name for name in metadata["finalizers"] if not name.startswith(PREFIX)]
    if doomed:
        patch["annotations"] = dict.fromkeys(doomed)
    if whole and ORIGIN in labels(obj):
        patch["labels"] = {ORIGIN: None}
    return patch
