# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TaskQueue documents before they are sent: where they come from, what is wrong with them, what defaults complete them.

The CRD is the judge; the checks here only repeat its field rules, so that one bad document among a thousand is found
before the first of them is submitted.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import yaml
from ansible_collections.tmc.cross_cluster.plugins.module_utils._names import is_dns_label, is_duration

Object = dict[str, Any]

API_VERSION = "demo.tmc.io/v1"
KIND = "TaskQueue"
PRIORITIES = ("low", "normal", "high", "critical")
SPEC_DEFAULTS: Object = {"priority": "normal", "parallelism": 5}
TASK_DEFAULTS: Object = {"timeout": "5m"}
LIMIT = 100
_INDEX = re.compile(r"\{index(?::(0?\d+)d?)?\}")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


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


def _metadata(document: Object) -> Object:
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def title(document: Object) -> str:
    metadata = _metadata(document)
    return f"{metadata.get('namespace', '?')}/{metadata.get('name', '?')}"


def problems(documents: list[Object], *, strict: bool) -> list[str]:
    """All that is wrong, each with the document it is about; an empty list when everything is fine."""
    found = [
        f"{title(document)}: {problem}" for document in documents for problem in _problems_of(document, strict=strict)
    ]
    seen: set[str] = set()
    for document in documents:
        if title(document) in seen:
            found.append(f"{title(document)}: is there twice; names must be unique in one call")
        seen.add(title(document))
    return found


def _problems_of(document: Object, *, strict: bool) -> Iterator[str]:
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        yield f"expected {API_VERSION} {KIND}, got {document.get('apiVersion')} {document.get('kind')}"
        return
    name = _metadata(document).get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 63:
        yield f"metadata.name: {name!r} must be at most 63 lower-case letters, digits, '-' or '.'"
    spec = document.get("spec")
    if not isinstance(spec, dict):
        yield "spec: Required value" if spec is None else f"spec: must be a mapping, got {type(spec).__name__}"
        return
    yield from _unknown(document, ("apiVersion", "kind", "metadata", "spec", "status"), "", strict)
    yield from _unknown(spec, ("region", "priority", "parallelism", "tasks"), "spec.", strict)
    yield from _spec_problems(spec, strict)


def _unknown(mapping: Object, known: tuple[str, ...], prefix: str, strict: bool) -> Iterator[str]:
    for key in mapping:
        if strict and key not in known:
            yield f'unknown field "{prefix}{key}"; known: {", ".join(known)}'


def _spec_problems(spec: Object, strict: bool) -> Iterator[str]:
    region = spec.get("region")
    if not isinstance(region, str) or not 1 <= len(region) <= 63:
        yield f"spec.region: {region!r} must be a text of 1-63 characters"
    priority = spec.get("priority", "normal")
    if priority not in PRIORITIES:
        yield f"spec.priority: Unsupported value: {priority!r}: supported values: {', '.join(PRIORITIES)}"
    parallelism = spec.get("parallelism", 5)
    if isinstance(parallelism, bool) or not isinstance(parallelism, int) or not 1 <= parallelism <= LIMIT:
        yield f"spec.parallelism: {parallelism!r} must be an integer 1-{LIMIT}"
    tasks = spec.get("tasks")
    if not isinstance(tasks, list) or not 1 <= len(tasks) <= LIMIT:
        amount = f"{len(tasks)} items" if isinstance(tasks, list) else repr(tasks)
        yield f"spec.tasks: {amount}, must be a list of 1-{LIMIT} tasks"
        return
    names: set[Any] = set()
    for index, task in enumerate(tasks):
        where = f"spec.tasks[{index}]"
        if not isinstance(task, dict):
            yield f"{where}: must be a mapping, got {type(task).__name__}"
            continue
        yield from _task_problems(task, where, strict)
        if task.get("name") in names:
            yield f"{where}: Duplicate value: name {task.get('name')!r}"
        names.add(task.get("name"))


def _task_problems(task: Object, where: str, strict: bool) -> Iterator[str]:
    yield from _unknown(task, ("name", "command", "timeout", "simulate"), f"{where}.", strict)
    name, command, timeout = task.get("name"), task.get("command"), task.get("timeout", "5m")
    if not isinstance(name, str) or not is_dns_label(name):
        yield f"{where}.name: {name!r} must be a DNS label: at most 63 lower-case letters, digits or '-'"
    if not isinstance(command, str) or not 1 <= len(command) <= 1024:
        size = f"{len(command)} characters" if isinstance(command, str) else repr(command)
        yield f"{where}.command: {size}, must be a text of 1-1024 characters"
    elif any(ord(character) < 32 or ord(character) == 127 for character in command):
        yield f"{where}.command: must not contain control characters"
    if not isinstance(timeout, str) or not is_duration(timeout):
        yield f"{where}.timeout: {timeout!r} must be a duration such as 30s, 5m or 1h30m, at most 24h"


def name_problems(documents: list[Object], *, strict: bool) -> list[str]:
    """What is wrong with documents of which only the name counts, because they are to be removed."""
    del strict
    names = ((document, _metadata(document).get("name")) for document in documents)
    return [
        f"{title(document)}: metadata.name: {name!r} is no name of a TaskQueue"
        for document, name in names
        if not isinstance(name, str) or not _NAME.fullmatch(name)
    ]
