# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Patches of manifests merge as those of a kustomization do."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from ansible_collections.tmc.cross_cluster.plugins.module_utils._patches import merged, patched


@pytest.mark.parametrize(
    ("base", "patch", "together"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": 1}, {"never": None}, {"a": 1}),
        ([{"name": "x", "v": 1}, {"name": "y", "v": 2}], [{"name": "y", "v": 3}], None),
        ([{"name": "x", "v": 1}], [{"name": "z", "v": 3}], [{"name": "x", "v": 1}, {"name": "z", "v": 3}]),
        (["--one", "--two"], ["--three"], ["--three"]),
        ([{"key": "x"}], [{"key": "y"}], [{"key": "y"}]),
        (1, {"a": 1}, {"a": 1}),
    ],
)
def test_merging(base: Any, patch: Any, together: Any) -> None:
    expected = [{"name": "x", "v": 1}, {"name": "y", "v": 3}] if together is None else together
    assert merged(base, patch) == expected


def test_a_patch_changes_the_object_of_its_kind_and_name_and_no_other() -> None:
    objects = [{"kind": kind, "metadata": {"name": "a"}, "spec": {"replicas": 2}} for kind in ("Deployment", "Other")]
    changed = patched(objects, [{"kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 1}}])
    assert [obj["spec"]["replicas"] for obj in changed] == [1, 2]
    assert objects[0]["spec"]["replicas"] == 2


def test_a_patch_of_nothing_is_an_error_that_says_what_there_is() -> None:
    with pytest.raises(InvalidInput, match=r"no Deployment kcp-sincer .* there are: Deployment kcp-syncer"):
        patched(
            [{"kind": "Deployment", "metadata": {"name": "kcp-syncer"}}],
            [{"kind": "Deployment", "metadata": {"name": "kcp-sincer"}}],
        )
