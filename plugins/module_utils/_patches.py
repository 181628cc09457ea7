# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patches of manifests: the part of Kubernetes' strategic merge that an overlay of kustomize needs; pure functions."""

from __future__ import annotations

from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput

Object = dict[str, Any]


def patched(objects: list[Object], patches: list[Object]) -> list[Object]:
    """The objects with every patch merged into those of its kind and name; raises InvalidInput when there is none."""
    for patch in patches:
        kind, name = patch.get("kind"), (patch.get("metadata") or {}).get("name")
        if not any(_is(obj, kind, name) for obj in objects):
            there = ", ".join(f"{obj['kind']} {obj['metadata']['name']}" for obj in objects)
            raise InvalidInput(f"patches: there is no {kind} {name} in these files to be patched; there are: {there}")
        objects = [merged(obj, patch) if _is(obj, kind, name) else obj for obj in objects]
    return objects


def _is(obj: Object, kind: Any, name: Any) -> bool:
    return bool(obj["kind"] == kind and obj["metadata"]["name"] == name)


def merged(base: Any, patch: Any) -> Any:
    """Mappings key by key, None takes a key away; lists of named things by name; everything else is replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        together = {key: merged(base.get(key), patch[key]) if key in patch else base[key] for key in base}
        together |= {key: value for key, value in patch.items() if key not in base}
        return {key: value for key, value in together.items() if value is not None}
    if _named(base) and _named(patch):
        changes = {entry["name"]: entry for entry in patch}
        old = [merged(entry, changes.pop(entry["name"], {})) for entry in base]
        return old + list(changes.values())
    return patch


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) and "name" in entry for entry in value)
