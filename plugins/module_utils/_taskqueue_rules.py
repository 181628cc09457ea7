# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with TaskQueue documents.

The API server is the judge; the checks here repeat its rules (manifests/taskqueue/crd.yaml, and those for metadata), so
that one bad document among a thousand is found before the first of them is submitted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._names import is_dns_label
from ansible_collections.tmc.cross_cluster.plugins.module_utils._taskqueue import API_VERSION, KIND, metadata_of, title

Object = dict[str, Any]

PRIORITIES = ("low", "normal", "high", "critical")
LIMIT = 100
ANNOTATIONS_LIMIT = 256 * 1024  # bytes, all together
DAY = 24 * 60 * 60 * 1000
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"([0-9]{1,6}(ms|s|m|h))+")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_CONTROL = ("Cc", "Zl", "Zp")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


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


def name_problems(documents: list[Object], *, strict: bool) -> list[str]:
    """What is wrong with documents of which only the name counts, because they are to be removed."""
    del strict
    found = []
    for document in documents:
        name = metadata_of(document).get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            found.append(f"{title(document)}: metadata.name: {name!r} is no name of a TaskQueue")
        found += [f"{title(document)}: {problem}" for problem in _namespace_problems(metadata_of(document))]
    return found


def _problems_of(document: Object, *, strict: bool) -> Iterator[str]:
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        yield f"expected {API_VERSION} {KIND}, got {document.get('apiVersion')} {document.get('kind')}"
        return
    yield from _metadata_problems(metadata_of(document))
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


def _metadata_problems(metadata: Object) -> Iterator[str]:
    name = metadata.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 63:
        yield f"metadata.name: {name!r} must be at most 63 lower-case letters, digits, '-' or '.'"
    yield from _namespace_problems(metadata)
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for field, marks in (("labels", labels), ("annotations", annotations)):
        if not isinstance(marks, dict):
            yield f"metadata.{field}: must be a mapping, got {type(marks).__name__}"
            return
    for key, value in labels.items():
        if not _is_key(key) or not _is_label_value(value):
            yield (
                f"metadata.labels: {key!r}: {value!r} is no label: key and value are texts of at most 63 letters, digits, "
                "'-', '_' or '.', the key perhaps with a prefix such as example.com/"
            )
    yield from _annotation_problems(annotations)


def _annotation_problems(annotations: Object) -> Iterator[str]:
    size = 0
    for key, value in annotations.items():
        if not isinstance(key, str) or not _is_key(key.lower()) or not isinstance(value, (str, type(None))):
            yield f"metadata.annotations: {key!r} is no annotation: the key is as a label's, and the value is a text"
            continue
        size += len(key.encode()) + len((value or "").encode())
    if size > ANNOTATIONS_LIMIT:
        yield f"metadata.annotations: {size} bytes is no annotation's size: at most {ANNOTATIONS_LIMIT} all together"


def _namespace_problems(metadata: Object) -> Iterator[str]:
    namespace = metadata.get("namespace")
    if not isinstance(namespace, str) or not is_dns_label(namespace):
        yield f"metadata.namespace: {namespace!r} must be a DNS label: at most 63 lower-case letters, digits or '-'"


def _is_key(key: Any) -> bool:
    if not isinstance(key, str):
        return False
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _NAME.fullmatch(prefix)):
        return False
    return _LABEL_NAME.fullmatch(name) is not None


def _is_label_value(value: Any) -> bool:
    return value in (None, "") or (isinstance(value, str) and _LABEL_NAME.fullmatch(value) is not None)


def _spec_problems(spec: Object, strict: bool) -> Iterator[str]:
    region = spec.get("region")
    if not isinstance(region, str) or not 1 <= len(region) <= 63:
        yield f"spec.region: {region!r} must be a text of 1-63 characters"
    elif _has_control(region):
        yield "spec.region: must not contain control characters"
    priority = spec.get("priority", "normal")
    if priority not in PRIORITIES:
        yield f"spec.priority: Unsupported value: {priority!r}: supported values: {', '.join(PRIORITIES)}"
    parallelism = spec.get("parallelism", 5)
    if not _is_integer(parallelism, 1):
        yield f"spec.parallelism: {parallelism!r} must be an integer 1-{LIMIT}"
    yield from _tasks_problems(spec.get("tasks"), strict)


def _tasks_problems(tasks: Any, strict: bool) -> Iterator[str]:
    if not isinstance(tasks, list) or not 1 <= len(tasks) <= LIMIT:
        amount = f"{len(tasks)} items" if isinstance(tasks, list) else repr(tasks)
        yield f"spec.tasks: {amount}, must be a list of 1-{LIMIT} tasks"
        return
    names: set[str] = set()
    for index, task in enumerate(tasks):
        where = f"spec.tasks[{index}]"
        if not isinstance(task, dict):
            yield f"{where}: must be a mapping, got {type(task).__name__}"
            continue
        yield from _task_problems(task, where, strict)
        name = task.get("name")
        if isinstance(name, str):
            if name in names:
                yield f"{where}: Duplicate value: name {name!r}"
            names.add(name)


def _task_problems(task: Object, where: str, strict: bool) -> Iterator[str]:
    yield from _unknown(task, ("name", "command", "timeout", "simulate"), f"{where}.", strict)
    name, command, timeout = task.get("name"), task.get("command"), task.get("timeout", "5m")
    if not isinstance(name, str) or not is_dns_label(name):
        yield f"{where}.name: {name!r} must be a DNS label: at most 63 lower-case letters, digits or '-'"
    if not isinstance(command, str) or not 1 <= len(command) <= 1024:
        size = f"{len(command)} characters" if isinstance(command, str) else repr(command)
        yield f"{where}.command: {size}, must be a text of 1-1024 characters"
    elif _has_control(command) or _TURNING.search(command):
        yield f"{where}.command: must not contain control characters or marks that turn the direction of text"
    if not 0 < _milliseconds(timeout) <= DAY:
        yield f"{where}.timeout: {timeout!r} must be a duration such as 30s, 5m or 1h30m, more than 0 and at most 24h"
    if "simulate" in task:
        yield from _simulate_problems(task["simulate"], f"{where}.simulate", strict)


def _simulate_problems(simulate: Any, where: str, strict: bool) -> Iterator[str]:
    if not isinstance(simulate, dict):
        yield f"{where}: must be a mapping, got {type(simulate).__name__}"
        return
    yield from _unknown(simulate, ("fail", "failures", "duration"), f"{where}.", strict)
    if not isinstance(simulate.get("fail", False), bool):
        yield f"{where}.fail: {simulate['fail']!r} must be true or false"
    if not _is_integer(simulate.get("failures", 0), 0):
        yield f"{where}.failures: {simulate['failures']!r} must be an integer 0-{LIMIT}"
    if not 0 <= _milliseconds(simulate.get("duration", "0s")) <= DAY:
        yield f"{where}.duration: {simulate['duration']!r} must be a duration such as 200ms, 3s or 1m, at most 24h"


def _is_integer(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= LIMIT


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) in _CONTROL for character in text)


def _milliseconds(value: Any) -> int:
    """The length of a duration; -1 when it is none."""
    if not isinstance(value, str) or len(value) > 16 or not _DURATION.fullmatch(value):
        return -1
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", value))
