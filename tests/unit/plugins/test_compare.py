# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What counts as agreement between clusters."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _compare


def origin(**content: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": "a", "uid": "u1"}, "spec": {"size": 1}, **content}


def copied(uid: str = "u1", /, **content: Any) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": "a", "uid": "other", "annotations": {"tmc.io/origin-uid": uid}}
    return {**origin(**content), "metadata": metadata}


def differences(*objects: dict[str, Any] | None, ignored: tuple[str, ...] = ()) -> list[tuple[str, dict[str, Any]]]:
    views = {
        f"c{number}": {} if obj is None else {_compare.key_of(obj): _compare.view(obj)}
        for number, obj in enumerate(objects)
    }
    return [(one.field, one.values) for one in _compare.compare(views, ignored)]


def test_an_object_and_its_copies_agree() -> None:
    assert differences(origin(), copied(), copied()) == []


def test_another_object_of_the_same_name_does_not() -> None:
    assert differences(origin(), copied("u2")) == [("origin", {"c0": "u1", "c1": "u2"})]


def test_an_object_that_is_missing_somewhere() -> None:
    assert differences(origin(), None) == [("object", {"c0": "present", "c1": "(absent)"})]


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        ({"spec": {"size": 1}}, {"spec": {"size": 2}}, "spec.size"),
        ({"spec": {"size": 1}}, {"spec": {"size": "1"}}, "spec.size"),
        ({"spec": {"size": 1}}, {"spec": {"size": True}}, "spec.size"),
        ({"status": {"phase": "Running"}}, {}, "status"),
        ({"status": {"tasks": [{"s": 1}]}}, {"status": {"tasks": [{"s": 2}]}}, "status.tasks[0].s"),
        ({"status": {"tasks": []}}, {"status": {"tasks": [1]}}, "status.tasks"),
        ({"data": {"x": 1}}, {"data": {"x": 2}}, "data.x"),
    ],
)
def test_a_field_that_differs(one: dict[str, Any], other: dict[str, Any], field: str) -> None:
    assert field in [name for name, _values in differences(origin(**one), copied(**other))]


def test_the_generation_of_each_cluster_is_its_own() -> None:
    one, other = (
        {"status": {"observedGeneration": n, "conditions": [{"type": "X", "observedGeneration": n}]}} for n in (1, 7)
    )
    assert differences(origin(**one), copied(**other)) == []


def test_ignored_fields_stand_for_all_below() -> None:
    one, other = {"status": {"a": {"b": 1}, "ab": 1}}, {"status": {"a": {"b": 2}, "ab": 2}}
    assert [field for field, _values in differences(origin(**one), copied(**other), ignored=("status.a",))] == [
        "status.ab"
    ]


def test_the_table_is_for_a_terminal() -> None:
    found = _compare.Difference("default", "a", "status.message", {"east": "x" * 99, "west": "\x1b[31mred"})
    shown = _compare.table([found] * 30, ["east", "west"], limit=2)

    assert shown.splitlines()[0].split() == ["OBJECT", "FIELD", "east", "west"]
    assert "\x1b" not in shown
    assert "..." in shown
    assert shown.endswith("and 28 more differences")
