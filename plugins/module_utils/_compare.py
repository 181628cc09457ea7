# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares what several clusters say about the same objects; pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]

ABSENT = "(absent)"
_UNTRAVELLED = ("apiVersion", "kind", "metadata", "status")


@dataclass(frozen=True)
class Difference:
    """A field of one object on which the clusters disagree: what each of them says."""

    namespace: str
    name: str
    field: str
    values: dict[str, Any]

    def as_dict(self) -> Object:
        return {"namespace": self.namespace, "name": self.name, "field": self.field, "values": self.values}


def view(obj: Object) -> Object:
    """The parts of an object that must be the same everywhere.

    ``origin`` is the uid of the origin object, so that two objects that merely share a name are told apart.
    observedGeneration counts generations of each cluster's own object and so differs by nature: it is masked.
    """
    metadata = obj.get("metadata") or {}
    notes = metadata.get("annotations") or {}
    spec = {key: value for key, value in obj.items() if key not in _UNTRAVELLED}
    origin = notes.get("tmc.io/origin-uid") or metadata.get("uid", "")
    return {"origin": origin, **spec, "status": _masked(obj.get("status") or {})}


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items() if key != "observedGeneration"}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def key_of(obj: Object) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def compare(views: dict[str, dict[Key, Object]], ignored: tuple[str, ...] = ()) -> list[Difference]:
    """All differences between clusters (name -> object -> view), sorted by object and field."""
    keys = sorted({key for objects in views.values() for key in objects})
    return [difference for key in keys for difference in _compare_one(key, views, ignored)]


def _compare_one(key: Key, views: dict[str, dict[Key, Object]], ignored: tuple[str, ...]) -> Iterator[Difference]:
    present = {cluster: key in objects for cluster, objects in views.items()}
    if not all(present.values()):
        values = {cluster: "present" if there else ABSENT for cluster, there in present.items()}
        yield Difference(*key, "object", values)
        return
    flat = {cluster: dict(_flatten(objects[key])) for cluster, objects in views.items()}
    for field in sorted({field for fields in flat.values() for field in fields}):
        if any(field == one or field.startswith((f"{one}.", f"{one}[")) for one in ignored):
            continue
        values = {cluster: fields.get(field, ABSENT) for cluster, fields in flat.items()}
        first = flat[min(flat)].get(field, ABSENT)
        if any(value != first or type(value) is not type(first) for value in values.values()):
            yield Difference(*key, field, values)


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their path: ``status.tasks[0].state``. An empty list or mapping is a leaf, too."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flatten(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _flatten(item, f"{path}[{index}]")
    else:
        yield path, value


def newest_status_time(objects: list[Object]) -> float | None:
    """When the API server last took a status of one of ``objects`` (seconds since the epoch, from managedFields)."""
    stamps = [
        entry["time"]
        for obj in objects
        for entry in obj["metadata"].get("managedFields") or []
        if entry.get("time") and "f:status" in (entry.get("fieldsV1") or {})
    ]
    return datetime.fromisoformat(max(stamps).replace("Z", "+00:00")).timestamp() if stamps else None


def table(differences: list[Difference], clusters: list[str], limit: int = 20) -> str:
    """The differences for a person: one line each, one column a cluster."""
    rows = [["OBJECT", "FIELD", *clusters]]
    for one in differences[:limit]:
        where = f"{one.namespace}/{one.name}" if one.namespace else one.name
        rows.append([where, one.field, *(_cell(one.values.get(cluster, "?")) for cluster in clusters)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    if len(differences) > limit:
        lines.append(f"... and {len(differences) - limit} more differences")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return text if len(text) <= 40 else text[:37] + "..."
