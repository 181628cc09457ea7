# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TaskQueue documents before they are sent: where they come from, what defaults complete them."""

from __future__ import annotations

import copy
import re
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import yaml

Object = dict[str, Any]

API_VERSION = "demo.tmc.io/v1"
KIND = "TaskQueue"
SPEC_DEFAULTS: Object = {"priority": "normal", "parallelism": 5}
TASK_DEFAULTS: Object = {"timeout": "5m"}
_INDEX = re.compile(r"\{index(?::(0?\d+)d?)?\}")


def read_file(path: str) -> list[Object]:
    """The documents of a YAML file, empty ones left out. InvalidInput when it is no YAML, or holds other kinds."""
    try:
        with open(path, encoding="utf-8") as stream:
            documents = [d for d in yaml.safe_load_all(stream) if d is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"src '{path}' cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"src '{path}' is not YAML: {error}") from error
    kinds = [str(d.get("kind", "no kind")) if isinstance(d, dict) else type(d).__name__ for d in documents]
    if not documents or any(kind != KIND for kind in kinds):
        raise InvalidInput(f"src '{path}': expected {KIND} documents, got {', '.join(kinds) or 'nothing'}")
    return documents


def expand(template: Object, count: int, start: int) -> list[Object]:
    """``count`` documents of ``template``; ``{index}`` (or ``{index:04d}``, padded) in any text becomes the number."""
    documents = [_fill(template, number) for number in range(start, start + count)]
    if count > 1 and documents[0].get("metadata") == documents[1].get("metadata"):
        raise InvalidInput(
            "template makes the same name every time: put {index} into metadata.name, as in 'load-{index}'"
        )
    return documents


def _fill(value: Any, number: int) -> Any:
    if isinstance(value, str):
        return _INDEX.sub(lambda match: format(number, f"{match[1] or ''}d"), value)
    if isinstance(value, dict):
        return {key: _fill(item, number) for key, item in value.items()}
    return [_fill(item, number) for item in value] if isinstance(value, list) else value


def complete(document: Object, namespace: str) -> Object:
    """A copy with apiVersion, kind and namespace filled in."""
    result = copy.deepcopy(document)
    result.setdefault("apiVersion", API_VERSION)
    result.setdefault("kind", KIND)
    if isinstance(result.get("metadata"), dict):
        result["metadata"].setdefault("namespace", namespace)
    return result


def with_defaults(spec: Object) -> Object:
    """The spec as the API server will store it."""
    tasks = [{**TASK_DEFAULTS, **task} for task in spec["tasks"]]
    return {**SPEC_DEFAULTS, **spec, "tasks": tasks}


def metadata_of(document: Object) -> Object:
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def title(document: Object) -> str:
    metadata = metadata_of(document)
    return f"{metadata.get('namespace', '?')}/{metadata.get('name', '?')}"
