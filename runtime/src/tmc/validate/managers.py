# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading `metadata.managedFields`: the API server's own record of who wrote which field, and through which door."""

from __future__ import annotations

from dataclasses import dataclass

from tmc.validate.observations import Object


@dataclass(frozen=True, slots=True)
class Manager:
    """One writer. `subresource` is empty for the main endpoint, `status` for the status subresource."""

    manager: str
    operation: str
    subresource: str


def managers_of(obj: Object | None, top_field: str) -> list[Manager]:
    """Who owns something at or below the top-level field, e.g. `f:status`."""
    entries = (obj or {}).get("metadata", {}).get("managedFields") or []
    return [
        Manager(entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", ""))
        for entry in entries
        if top_field in (entry.get("fieldsV1") or {})
    ]
