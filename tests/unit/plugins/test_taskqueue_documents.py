# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""TaskQueue documents before they are sent: what is found wrong, with the field and the allowed values."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _taskqueue
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput

TASK = {"name": "t", "command": "c"}


def queue(**spec: Any) -> dict[str, Any]:
    about = {"region": "r", "tasks": [TASK], **spec}
    document = {"metadata": {"name": "a"}, "spec": {key: value for key, value in about.items() if value is not ...}}
    return _taskqueue.complete(document, "default")


def task(**changes: Any) -> dict[str, Any]:
    return queue(tasks=[{key: value for key, value in {**TASK, **changes}.items() if value is not ...}])


BAD = [
    ({**queue(), "spec": None}, "default/a: spec: Required value"),
    ({**queue(), "spec": "x"}, "spec: must be a mapping, got str"),
    ({**queue(), "kind": "ConfigMap"}, r"expected demo.tmc.io/v1 TaskQueue, got demo.tmc.io/v1 ConfigMap"),
    ({**queue(), "metadata": {}}, "metadata.name: None"),
    ({**queue(), "metadata": {"name": "a_b"}}, "metadata.name: 'a_b'"),
    ({**queue(), "metadata": {"name": "a" * 64}}, "metadata.name: .* at most 63"),
    ({**queue(), "metadata": "x"}, "metadata.name"),
    ({**queue(), "extra": 1}, 'unknown field "extra"'),
    (queue(taskz=[]), 'unknown field "spec.taskz"; known: region, priority, parallelism, tasks'),
    (queue(tasks=[]), "spec.tasks: 0 items, must be a list of 1-100"),
    (queue(tasks=...), "spec.tasks: None, must be a list"),
    (queue(tasks=[{**TASK, "name": f"t{n}"} for n in range(101)]), "spec.tasks: 101 items"),
    (queue(tasks=[TASK, TASK]), r"spec.tasks\[1\]: Duplicate value: name 't'"),
    (queue(tasks=["x"]), r"spec.tasks\[0\]: must be a mapping, got str"),
    (task(command=...), r"spec.tasks\[0\].command: None, must be a text of 1-1024"),
    (task(command=""), r"spec.tasks\[0\].command: 0 characters"),
    (task(command="x" * 1025), r"spec.tasks\[0\].command: 1025 characters"),
    *((task(command=f"a{bad}b"), "command: must not contain control characters") for bad in ("\0", "\n", "\x1b[31m")),
    *((task(name=bad), rf"spec.tasks\[0\].name: '{bad}' must be a DNS label") for bad in ("A b", "a" * 64, "-a", "")),
    (task(unknown=1), r'unknown field "spec.tasks\[0\].unknown"'),
    *((task(timeout=bad), f"timeout: {bad!r} must be a duration") for bad in ("5", "-5m", "5 minutes", 5)),
    (queue(priority="urgent"), "priority: Unsupported value: 'urgent': supported values: low, normal, high, critical"),
    *((queue(parallelism=bad), f"parallelism: {bad!r} must be an integer 1-100") for bad in (0, -1, 1000, 2.5, "3")),
    *((queue(region=bad), "region: .* 1-63") for bad in ("", "x" * 200, ..., 5)),
]


@pytest.mark.parametrize(("document", "message"), BAD, ids=[message for _document, message in BAD])
def test_bad(document: dict[str, Any], message: str) -> None:
    found = "\n".join(_taskqueue.problems([document], strict=True))
    assert re.search(message, found), found


def test_good() -> None:
    assert _taskqueue.problems([queue(priority="high", parallelism=100)], strict=True) == []


def test_unknown_fields_pass_when_not_strict() -> None:
    assert _taskqueue.problems([queue(taskz=[])], strict=False) == []


def test_the_same_name_twice_is_found_among_many() -> None:
    assert _taskqueue.problems([queue(), queue()], strict=True) == [
        "default/a: is there twice; names must be unique in one call"
    ]


def test_a_template_is_filled_everywhere() -> None:
    made = _taskqueue.expand(
        {"metadata": {"name": "l-{index:03d}"}, "spec": {"tasks": [{"command": "x {index}"}]}}, 2, 9
    )

    assert [one["metadata"]["name"] for one in made] == ["l-009", "l-010"]
    assert made[1]["spec"]["tasks"][0]["command"] == "x 10"


def test_a_template_without_a_number_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"put \{index\} into metadata.name"):
        _taskqueue.expand({"metadata": {"name": "x"}, "spec": {"region": "{index}"}}, 2, 1)


def test_defaults_are_those_of_the_crd(repository: Any) -> None:
    import yaml

    documents = yaml.safe_load_all((repository / "manifests" / "taskqueue" / "crd.yaml").read_text())
    schema = next(d for d in documents if d["kind"] == "CustomResourceDefinition")["spec"]["versions"][0]["schema"]
    spec = schema["openAPIV3Schema"]["properties"]["spec"]["properties"]
    tasks = spec["tasks"]["items"]["properties"]
    assert {name: about["default"] for name, about in spec.items() if "default" in about} == _taskqueue.SPEC_DEFAULTS
    assert {name: about["default"] for name, about in tasks.items() if "default" in about} == _taskqueue.TASK_DEFAULTS
    assert set(spec) == {"region", "priority", "parallelism", "tasks"}
    assert set(tasks) == {"name", "command", "timeout", "simulate"}
