# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""TaskQueue documents before they are sent: what is found wrong, with the field and the allowed values."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _taskqueue, _taskqueue_rules
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
    *(
        ({**queue(), "metadata": {"name": "a", "namespace": bad}}, f"metadata.namespace: {bad!r} must be a DNS label")
        for bad in ("a/b", "../x", "A", "", "n" * 64, 5, None)
    ),
    *(
        ({**queue(), "metadata": {"name": "a", "namespace": "n", field: ["x"]}}, f"metadata.{field}: must be a mapping")
        for field in ("labels", "annotations")
    ),
    *(
        ({**queue(), "metadata": {"name": "a", "namespace": "n", "labels": bad}}, "metadata.labels: .* is no label")
        for bad in (
            {"a": 1},
            {"a": "b c"},
            {"a": "x" * 64},
            {"a b": "c"},
            {"": "c"},
            {"/a": "c"},
            {"A/b": "c"},
            {1: "c"},
        )
    ),
    *(
        (
            {**queue(), "metadata": {"name": "a", "namespace": "n", "annotations": bad}},
            "annotations: .* is no annotation",
        )
        for bad in ({"a": 1}, {"a b": "c"}, {"a": "x" * 300_000})
    ),
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
    *(
        (task(command=f"a{bad}b"), "command: must not contain control characters")
        for bad in ("\0", "\n", "\x1b[31m", "\x85", "\x9b", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069")
    ),
    *((task(name=bad), rf"spec.tasks\[0\].name: '{bad}' must be a DNS label") for bad in ("A b", "a" * 64, "-a", "")),
    (task(unknown=1), r'unknown field "spec.tasks\[0\].unknown"'),
    *(
        (task(timeout=bad), "timeout: " + re.escape(repr(bad)) + " must be a duration")
        for bad in (
            "5",
            "-5m",
            "5 minutes",
            5,
            "999999h",
            "0s",
            "0h0m",
            "24h1s",
            "1000000s",
            "1s" * 9,
            "1.5h",
            "5M",
            "",
            "5m\n",
        )
    ),
    *((task(simulate=bad), "simulate: must be a mapping") for bad in ("x", None, [])),
    *((task(simulate={"fail": bad}), "simulate.fail: .* must be true or false") for bad in ("yes", 1, None)),
    *((task(simulate={"failures": bad}), "simulate.failures: .* integer 0-100") for bad in (-1, 101, 1.5, True, "1")),
    *((task(simulate={"duration": bad}), "simulate.duration: .* must be a duration") for bad in ("3 s", 3, "24h1ms")),
    (task(simulate={"fial": True}), r'unknown field "spec.tasks\[0\].simulate.fial"; known: fail, failures, duration'),
    (task(name=["a"]), r"spec.tasks\[0\].name: \['a'\] must be a DNS label"),
    (queue(priority="urgent"), "priority: Unsupported value: 'urgent': supported values: low, normal, high, critical"),
    *((queue(parallelism=bad), f"parallelism: {bad!r} must be an integer 1-100") for bad in (0, -1, 1000, 2.5, "3")),
    *((queue(region=bad), "region: .* 1-63") for bad in ("", "x" * 200, ..., 5)),
    *((queue(region=bad), "region: must not contain control characters") for bad in ("a\x1b[31m", "a\nb", "a\u2028")),
]


@pytest.mark.parametrize(
    ("document", "message"), BAD, ids=[f"{n}-{message}" for n, (_document, message) in enumerate(BAD)]
)
def test_bad(document: dict[str, Any], message: str) -> None:
    found = "\n".join(_taskqueue_rules.problems([document], strict=True))
    assert re.search(message, found), found


@pytest.mark.parametrize(
    "document",
    [
        queue(priority="high", parallelism=100),
        queue(region="a\u202eb"),
        task(command="größe=5 数据 👩‍💻 $(id) \\", timeout="24h"),
        task(simulate={"fail": True, "failures": 100, "duration": "0s"}, timeout="1h30m"),
        task(simulate={}),
        {**queue(), "metadata": {"name": "a", "namespace": "n", "labels": {"x.io/A_b.c": "", "run": "R-1"}}},
        {
            **queue(),
            "metadata": {"name": "a", "namespace": "n", "annotations": {"x.io/a": "any\ntext"}, "labels": None},
        },
    ],
)
def test_good(document: dict[str, Any]) -> None:
    assert _taskqueue_rules.problems([document], strict=True) == []


def test_two_tasks_without_a_good_name_are_told_of_it() -> None:
    found = _taskqueue_rules.problems([queue(tasks=[{**TASK, "name": ["a"]}, {"command": "c"}])], strict=True)
    assert len(found) == 2


@pytest.mark.parametrize("namespace", ["a/b", "", 5])
def test_what_is_removed_has_a_namespace_that_can_be_one(namespace: Any) -> None:
    found = _taskqueue_rules.name_problems([{"metadata": {"name": "a", "namespace": namespace}}], strict=True)
    assert len(found) == 1
    assert f"metadata.namespace: {namespace!r} must be a DNS label" in found[0]


def test_unknown_fields_pass_when_not_strict() -> None:
    assert _taskqueue_rules.problems([queue(taskz=[])], strict=False) == []


def test_the_same_name_twice_is_found_among_many() -> None:
    assert _taskqueue_rules.problems([queue(), queue()], strict=True) == [
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
