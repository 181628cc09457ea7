# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Comparing all TaskQueues: what counts as different, and what rightly differs."""

from __future__ import annotations

from typing import Any

import pytest

from tmc.validate.comparison import differences
from tmc.validate.observations import Object

UIDS = {"kcp": "K", "east": "E", "west": "W"}


def origin(name: str = "a", uid: str = "1", status: dict[str, Any] | None = None, **metadata: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default", "uid": uid, **metadata}, "status": status or {"n": 1}}


def copy_of(obj: Object, cluster_uid: str, uid: str, status: dict[str, Any] | None = None) -> Object:
    annotations = {"tmc.io/origin-uid": obj["metadata"]["uid"], "tmc.io/origin-cluster-uid": cluster_uid}
    name = obj["metadata"]["name"]
    labels = {"tmc.io/origin": "east"}
    metadata = {"name": name, "namespace": "default", "uid": uid, "labels": labels, "annotations": annotations}
    return {"metadata": metadata, "status": status or obj["status"]}


def everywhere(obj: Object) -> dict[str, list[Object]]:
    return {"kcp": [copy_of(obj, "E", "2")], "east": [obj], "west": [copy_of(obj, "E", "3")]}


def test_the_same_everywhere_is_no_difference() -> None:
    assert differences(everywhere(origin()), UIDS, "west") == (1, {})


def test_observed_generation_rightly_differs() -> None:
    snapshot = everywhere(origin(status={"n": 1, "observedGeneration": 1, "conditions": [{"observedGeneration": 1}]}))
    other = {"n": 1, "observedGeneration": 4, "conditions": [{"observedGeneration": 4}]}
    snapshot["kcp"][0]["status"] = other
    assert differences(snapshot, UIDS, "west") == (1, {})


def test_another_status_than_the_processors_is_named() -> None:
    snapshot = everywhere(origin())
    snapshot["east"][0]["status"] = {"n": 2}
    compared, found = differences(snapshot, UIDS, "west")
    assert (compared, found) == (1, {("east", "default/a"): "status.n: 2 is not 1, which west has"})


def test_a_missing_copy_is_named_with_what_its_origin_says() -> None:
    snapshot = everywhere(origin(annotations={"tmc.io/sync-state": "Rejected"}))
    snapshot["kcp"] = []
    assert differences(snapshot, UIDS, "west")[1] == {
        ("kcp", "default/a"): "is missing here (its origin says: Rejected)"
    }


def test_a_copy_without_an_origin_is_named() -> None:
    snapshot = everywhere(origin())
    snapshot["east"] = []
    found = differences(snapshot, UIDS, "west")[1]
    assert found[("kcp", "default/a")] == "is here, but not on its origin east"


def test_two_objects_of_one_name_are_not_taken_for_each_other() -> None:
    """Recreated on east: the copies are still of the former object."""
    snapshot = everywhere(origin())
    snapshot["east"] = [origin(uid="new")]
    found = differences(snapshot, UIDS, "west")[1]
    assert ("kcp", "default/a") in found
    assert ("west", "default/a") in found


def test_marks_that_name_the_own_cluster_are_somebodys_typing() -> None:
    typed = copy_of(origin(uid="x"), "E", "y")
    snapshot = everywhere(typed)
    for cluster in ("kcp", "west"):
        snapshot[cluster][0]["metadata"]["annotations"]["tmc.io/origin-uid"] = "y"
    assert differences(snapshot, UIDS, "west") == (1, {})


def test_the_loser_of_a_name_conflict_explains_why_the_winner_is_missing_there() -> None:
    winner, loser = origin(), origin(uid="9", annotations={"tmc.io/sync-state": "NameConflict"})
    snapshot = everywhere(winner)
    snapshot["west"] = [loser]
    assert differences(snapshot, UIDS, "kcp") == (1, {})


@pytest.mark.parametrize(
    "metadata", [{"deletionTimestamp": "2026-01-01T00:00:00Z"}, {"labels": {"tmc.io/probe": "n"}}], ids=str
)
def test_what_comes_or_goes_is_left_out(metadata: dict[str, Any]) -> None:
    snapshot = everywhere(origin(**metadata))
    snapshot["kcp"] = []
    assert differences(snapshot, UIDS, "west") == (0, {})
