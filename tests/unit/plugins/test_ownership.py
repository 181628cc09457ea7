# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Whose an object is: what may be removed, what only loses our marks, what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _ownership as ownership

HERE, THERE = "uid-here", "uid-there"
OURS = {"app.kubernetes.io/managed-by": "tmc.cross_cluster"}


def obj(name: str = "x", *, by: tuple[str, ...] = (), **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "managedFields": [{"manager": manager} for manager in by], **metadata}}


def marked(cluster_uid: str = THERE, **more: Any) -> dict[str, Any]:
    notes = {"tmc.io/origin-uid": "u", "tmc.io/origin-cluster-uid": cluster_uid, "mine": "yes"}
    return obj(labels={"tmc.io/origin": "east", "app": "shop"}, annotations=notes, **more)


@pytest.mark.parametrize(
    ("one", "ours"),
    [
        (obj("anything", labels=OURS), True),
        (obj("tmc-fabric", by=("tmc-collection",)), True),
        (obj("syncer-east", by=("tmc",)), True),
        (obj("tmc-fabric", by=("kubectl",)), False),
        (obj("settings", by=("tmc-collection",)), False),
        (obj("settings", labels={"app.kubernetes.io/managed-by": "helm"}), False),
    ],
)
def test_the_fabrics_own(one: dict[str, Any], ours: bool) -> None:
    assert ownership.is_ours(one) is ours


@pytest.mark.parametrize(
    ("crd", "goes"),
    [
        (obj("members.fabric.tmc.io", by=("kubectl",)), True),
        (obj("taskqueues.demo.tmc.io", labels=OURS, by=("tmc-collection", "kube-apiserver")), True),
        (obj("taskqueues.demo.tmc.io", labels=OURS, by=("kubectl", "kube-apiserver")), False),
        (obj("taskqueues.demo.tmc.io", labels=OURS, by=("tmc-collection", "kubectl-edit")), False),
        (obj("widgets.example.com", by=("tmc-collection", "kube-apiserver")), False),
        (obj("fabric.tmc.io.example.com", by=("kubectl",)), False),
    ],
)
def test_definitions_that_go_with_the_fabric(crd: dict[str, Any], goes: bool) -> None:
    assert ownership.is_our_definition(crd) is goes


@pytest.mark.parametrize(
    ("crd", "foreign"),
    [
        (obj("taskqueues.demo.tmc.io", by=("kubectl",)), True),
        (obj("taskqueues.demo.tmc.io", labels=OURS, by=("kubectl",)), False),
        (obj("widgets.example.com", by=("tmc-collection",)), False),
        (obj("members.fabric.tmc.io", by=("kubectl",)), False),
    ],
)
def test_definitions_that_are_not_written_over(crd: dict[str, Any], foreign: bool) -> None:
    assert ownership.is_foreign_definition(crd) is foreign


@pytest.mark.parametrize(
    ("one", "copy"),
    [
        (marked(), True),
        (marked(HERE), False),
        (marked(""), False),
        (obj(labels={"tmc.io/origin": "east"}), False),
        (obj(annotations={"tmc.io/origin-uid": "u", "tmc.io/origin-cluster-uid": THERE}), False),
        (obj(), False),
    ],
)
def test_copies(one: dict[str, Any], copy: bool) -> None:
    assert ownership.is_copy(one, HERE) is copy


def test_an_object_of_the_user_loses_our_marks_and_no_others() -> None:
    notes = {"tmc.io/sync-state": "Rejected", "tmc.io/origin-uid": "typed", "mine": "yes"}
    one = obj(finalizers=["tmc.io/sync", "example.com/mine"], annotations=notes)
    assert ownership.release(one) == {
        "finalizers": ["example.com/mine"],
        "annotations": {"tmc.io/sync-state": None},
    }
    assert ownership.release(obj(finalizers=["example.com/mine"], annotations={"mine": "yes"})) == {}


def test_a_copy_that_is_kept_becomes_an_ordinary_object() -> None:
    assert ownership.release(marked(finalizers=["tmc.io/west"]), whole=True) == {
        "finalizers": [],
        "annotations": {"tmc.io/origin-uid": None, "tmc.io/origin-cluster-uid": None},
        "labels": {"tmc.io/origin": None},
    }
