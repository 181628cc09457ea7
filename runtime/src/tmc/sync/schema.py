# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether a kind is the same on the hub and on a member: pure comparison of two custom resource definitions.

A field that one side knows and the other prunes would be lost on its way, so such a kind is not carried until the
definitions agree. What only validates (enums, patterns, required) may differ: a refused object is told of by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tmc.sync.objects import Object, is_deleting, uid_of

State = Literal["Pending", "Accepted", "Incompatible"]
FIELDS_NAMED = 32
_SYSTEM = frozenset({"apiVersion", "kind", "metadata"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a member stands to a kind. `pruned` are paths such as `spec.tasks[].retries`, the first `FIELDS_NAMED`."""

    state: State
    message: str = ""
    pruned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster's name, and its definition of the kind; None when it has none, or none that is known."""

    cluster: str
    definition: Object | None


def fingerprint(definition: Object | None) -> object:
    """Whatever of a definition a verdict depends on."""
    if definition is None:
        return None
    established = _established(definition)
    return uid_of(definition), definition["metadata"].get("generation"), established, is_deleting(definition)


def judge(version: str, hub: Place, member: Place) -> Verdict:
    """What the definitions say about carrying `version` of the kind. Unknown ones are no hindrance."""
    if member.definition is not None and is_deleting(member.definition):
        why = "is being deleted; its objects there are kept from going any further until it is back"
        return Verdict("Pending", f"the kind {why}, on {member.cluster}")
    for place in (hub, member):
        if place.definition is not None and (why := _unserved(place.definition, version)):
            return Verdict("Pending", f"{why} on {place.cluster}")
    if hub.definition is None or member.definition is None:
        return Verdict("Accepted")
    return _compared(version, hub, member)


def _unserved(definition: Object, version: str) -> str:
    served = [v["name"] for v in definition["spec"]["versions"] if v.get("served")]
    if version not in served:
        return f"version {version} is not served (served: {', '.join(served) or 'none'})"
    return "" if _established(definition) else "the kind is not established yet"


def _established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)


def _compared(version: str, hub: Place, member: Place) -> Verdict:
    here, there = _shape(member.definition, version), _shape(hub.definition, version)
    for what, shape in here.items():
        if shape != there[what]:
            return Verdict("Incompatible", f"{what} is {shape} on {member.cluster} and {there[what]} on {hub.cluster}")
    mine, theirs = _schema(member.definition, version), _schema(hub.definition, version)
    dropped = {member.cluster: list(_lost(theirs, mine)), hub.cluster: list(_lost(mine, theirs))}
    fields = sorted({path for paths in dropped.values() for path in paths})
    if fields:
        text = "; ".join(f"dropped on {where}: {_some(paths)}" for where, paths in dropped.items() if paths)
        return Verdict("Incompatible", text, tuple(fields[:FIELDS_NAMED]))
    unlike = list(_unlike(mine, theirs))
    if unlike:
        return Verdict("Incompatible", f"other types on {member.cluster} and {hub.cluster}: {_some(unlike)}")
    return Verdict("Accepted")


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - 8} more" if len(paths) > 8 else ""
    return ", ".join(sorted(paths)[:8]) + more


def _shape(definition: Object | None, version: str) -> dict[str, str]:
    assert definition is not None
    spec = definition["spec"]
    has_status = "status" in (_version(definition, version).get("subresources") or {})
    return {
        "scope": str(spec["scope"]),
        "kind": str(spec["names"]["kind"]),
        "the status subresource": "on" if has_status else "off",
    }


def _version(definition: Object, version: str) -> Mapping[str, Any]:
    return next(v for v in definition["spec"]["versions"] if v["name"] == version)


def _schema(definition: Object | None, version: str) -> Mapping[str, Any]:
    assert definition is not None
    schema: Mapping[str, Any] = (_version(definition, version).get("schema") or {}).get("openAPIV3Schema") or {}
    properties = {name: s for name, s in (schema.get("properties") or {}).items() if name not in _SYSTEM}
    return {**schema, "properties": properties}


def _lost(keeper: Mapping[str, Any], pruner: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The fields that survive under `keeper` and are pruned under `pruner`; both are structural schemas.

    Source: the pruning rules of CustomResourceDefinitions (apiextensions-apiserver, pkg/apiserver/schema/pruning).
    """
    open_ended, known = _is_open(pruner), pruner.get("properties") or {}
    rest = pruner.get("additionalProperties")
    if _is_open(keeper) and not open_ended and not rest:
        yield f"{path}.*".lstrip(".")
        return
    for name, schema in (keeper.get("properties") or {}).items():
        inner = f"{path}.{name}".lstrip(".")
        match = known.get(name, rest)
        if isinstance(match, Mapping):
            yield from _lost(schema, match, inner)
        elif not match and not open_ended:
            yield inner
    yield from _lost_of_maps(keeper, pruner, path)
    if isinstance(keeper.get("items"), Mapping) and isinstance(pruner.get("items"), Mapping):
        yield from _lost(keeper["items"], pruner["items"], f"{path}[]")


def _lost_of_maps(keeper: Mapping[str, Any], pruner: Mapping[str, Any], path: str) -> Iterator[str]:
    values, match = keeper.get("additionalProperties"), pruner.get("additionalProperties")
    if not values:
        return
    if isinstance(values, Mapping) and isinstance(match, Mapping):
        yield from _lost(values, match, f"{path}.*".lstrip("."))
    elif not match and not _is_open(pruner):
        yield f"{path}.*".lstrip(".")


def _is_open(schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def _unlike(one: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The fields that both know, with types that refuse each other's values."""
    types = (one.get("type"), other.get("type"))
    if all(types) and types[0] != types[1]:
        yield f"{path or 'the object'} ({types[0]}, {types[1]})"
        return
    theirs = other.get("properties") or {}
    for name, schema in (one.get("properties") or {}).items():
        if name in theirs:
            yield from _unlike(schema, theirs[name], f"{path}.{name}".lstrip("."))
    for inner, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(one.get(inner), Mapping) and isinstance(other.get(inner), Mapping):
            yield from _unlike(one[inner], other[inner], f"{path}{suffix}")
