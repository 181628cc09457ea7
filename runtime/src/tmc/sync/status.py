# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Carrying a whole status from one cluster to another.

Only `observedGeneration` (top level and in conditions) means something else on every cluster, since generations are
counted by each API server. It is mapped through the origin's generation, which every copy carries as an annotation,
and it never claims more than was processed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmc.sync.objects import generation_of, marked_origin, status_of


def carried_status(source: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """The status that `target` must show when `source` holds the truth: a new mapping, `source` is left alone."""
    status, current = status_of(source), status_of(target)
    if not isinstance(status, dict):
        return status
    current = current if isinstance(current, dict) else {}
    status = dict(status)
    if "observedGeneration" in status:
        status["observedGeneration"] = _mapped(status["observedGeneration"], source, target, current)
    conditions = status.get("conditions")
    if isinstance(conditions, list):
        shown = current.get("conditions")
        shown = [c for c in shown if isinstance(c, dict)] if isinstance(shown, list) else []
        known = {c["type"]: c for c in shown if isinstance(c.get("type"), str)}
        status["conditions"] = [_condition(c, source, target, known) for c in conditions]
    return status


def _condition(
    condition: Any, source: Mapping[str, Any], target: Mapping[str, Any], known: Mapping[Any, Mapping[str, Any]]
) -> Any:
    if not isinstance(condition, dict) or "observedGeneration" not in condition:
        return condition
    kind = condition.get("type")
    current = known.get(kind, {}) if isinstance(kind, str) else {}
    return {**condition, "observedGeneration": _mapped(condition["observedGeneration"], source, target, current)}


def _mapped(observed: Any, source: Mapping[str, Any], target: Mapping[str, Any], current: Mapping[str, Any]) -> Any:
    """`observed` counts `source`'s generations; the answer counts `target`'s.

    An observation that is behind on either side keeps what the target shows already, if that is behind too; else it
    is 0. So the answer is a fixed point: mapping again what was written changes nothing.
    """
    if not isinstance(observed, int):
        return observed
    if observed >= generation_of(source):
        processed = _origin_generation(source)
        if marked_origin(target) is None:
            return processed
        if processed == _origin_generation(target):
            return generation_of(target)
    shown = current.get("observedGeneration")
    return shown if isinstance(shown, int) and shown < generation_of(target) else 0


def _origin_generation(obj: Mapping[str, Any]) -> int:
    marked = marked_origin(obj)
    return generation_of(obj) if marked is None else marked.generation
