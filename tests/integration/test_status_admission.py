# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a syncer may say on the hub of members and kinds: of its own what it likes, of others that they are silent."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import MEMBER, SYNCED_RESOURCE, Resource
from tests.integration.admission_lab import ALICE, EAST, EAST2, WEST, Actor, Lab, lab_on, refusal
from tests.integration.test_fabric_admission import check
from tests.integration.throwaway_plane import Plane

Object = dict[str, Any]
KIND = "widgets.hub.lab.tmc.io"
TIME = "2026-01-01T00:00:00Z"
SILENT = "its syncer is not heard of"


@pytest.fixture(scope="module")
def lab(plane: Plane, repository: Path) -> Iterator[Lab]:
    with lab_on(_kubeconfig.load_file(str(plane.kubeconfig)), repository / "manifests") as ready:
        yield ready


def entry(name: str, state: str = "Accepted", **more: Any) -> Object:
    return {"name": name, "state": state, "lastTransitionTime": TIME, **more}


def ready(status: str, reason: str, message: str, kind: str = "Ready") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": TIME}


ALL_WELL = ready("True", "Accepted", "every member carries the kind")
BEFORE: Object = {
    "members": [entry("east"), entry("west", "Pending", message="not served", prunedFields=["spec.a"])],
    "conditions": [ready("False", "Pending", "not carried by: west")],
}
WEST_BEFORE = BEFORE["members"][1]
WEST_SILENT = {**WEST_BEFORE, "state": "Silent", "message": SILENT, "lastTransitionTime": "2026-01-02T00:00:00Z"}
EAST_SILENT = entry("east", "Silent", message=SILENT)


def kind_status(members: list[Object], *conditions: Object) -> Object:
    return {"members": members, "conditions": list(conditions)}


def away(reason: str, *names: str) -> Object:
    return ready("False", reason, f"not carried by: {', '.join(names)}")


KINDS: list[tuple[str, Actor, Object, str | None]] = [
    ("its own entry", EAST, kind_status([entry("east", "Pending", message="x"), WEST_BEFORE],
     away("Pending", "east", "west")), None),
    ("its own entry, for the better", WEST, kind_status([entry("east"), entry("west")], ALL_WELL), None),
    ("its own entry goes", WEST, kind_status([entry("east")], ALL_WELL), None),
    ("a third one", EAST2, kind_status([*BEFORE["members"], entry("east2")], away("Pending", "west")), None),
    ("incompatible is worst", EAST, kind_status([entry("east", "Incompatible", message="x", prunedFields=["spec.b"]),
     WEST_BEFORE], away("Incompatible", "east", "west")), None),
    ("another's entry", EAST, kind_status([entry("east"), entry("west")], ALL_WELL), "only its own entry"),
    ("another's entry goes", EAST, kind_status([entry("east")], ALL_WELL), "its own entry of status.members, east"),
    ("another's message", EAST, kind_status([entry("east"), {**WEST_BEFORE, "message": "x"}], away("Pending", "west")),
     "only its own entry"),
    ("an entry for another", EAST, kind_status([*BEFORE["members"], entry("north")], away("Pending", "west")),
     "only its own entry"),
    ("another is silent", EAST, kind_status([entry("east"), WEST_SILENT], away("Silent", "west")), None),
    ("two are silent", EAST2, kind_status([EAST_SILENT, WEST_SILENT], away("Silent", "east", "west")), None),
    ("another is silent, in other words", EAST, kind_status([entry("east"), {**WEST_SILENT, "message": "broken"}],
     away("Silent", "west")), "only its own entry"),
    ("another is silent, with other fields", EAST, kind_status([entry("east"), {**WEST_SILENT, "prunedFields": []}],
     away("Silent", "west")), "only its own entry"),
    ("a silent one that was never there", EAST, kind_status([*BEFORE["members"], entry("north", "Silent",
     message=SILENT)], away("Pending", "north", "west")), "only its own entry"),
    ("a condition that does not follow", WEST, kind_status([entry("east"), entry("west")],
     away("Pending", "west")), "follows from status.members"),
    ("a condition that does not follow, for the better", EAST, kind_status(BEFORE["members"], ALL_WELL), "follows"),
    ("another reason", EAST, kind_status(BEFORE["members"], away("Silent", "west")), "follows from"),
    ("another message", EAST, kind_status(BEFORE["members"], ready("False", "Pending", "go away")), "follows from"),
    ("no condition", EAST, kind_status(BEFORE["members"]), "follows from"),
    ("one more condition", EAST, kind_status(BEFORE["members"], *BEFORE["conditions"], ready("True", "X", "", "Y")),
     "members and the condition Ready"),
    ("an observed generation", EAST, {**BEFORE, "observedGeneration": 7}, "members and the condition Ready"),
    ("whatever an administrator likes", ALICE, kind_status([entry("north")], ready("True", "X", "y")), None),
]  # fmt: skip


@pytest.mark.parametrize(("actor", "status", "denied"), [pytest.param(*row[1:], id=row[0]) for row in KINDS])
def test_status_of_a_kind(lab: Lab, actor: Actor, status: Object, denied: str | None) -> None:
    put_status(lab.admin, SYNCED_RESOURCE, KIND, BEFORE)
    check(lambda: put_status(lab.as_actor(actor), SYNCED_RESOURCE, KIND, status), denied)


def test_who_is_silent_may_be_taken_off(lab: Lab) -> None:
    put_status(lab.admin, SYNCED_RESOURCE, KIND, kind_status([entry("east"), WEST_SILENT], away("Silent", "west")))
    put_status(lab.as_actor(EAST), SYNCED_RESOURCE, KIND, kind_status([entry("east")], ALL_WELL))


OTHER = ready("True", "Accepted", "", "HubAccepted")
MEMBER_BEFORE: Object = {"observedGeneration": 1, "conditions": [ready("True", "Syncing", "fine"), OTHER]}
QUIET = ready("False", "Silent", SILENT)
MEMBERS: list[tuple[str, Actor, Object, str | None]] = [
    ("its own", WEST, {"conditions": [ready("False", "Anything", "at all")]}, None),
    ("another is silent", EAST, {"observedGeneration": 1, "conditions": [QUIET, OTHER]}, None),
    ("another is silent, in another order", EAST, {"observedGeneration": 1, "conditions": [OTHER, QUIET]}, None),
    ("is well", EAST, {"observedGeneration": 1, "conditions": [{**QUIET, "status": "True"}, OTHER]}, "they are"),
    ("is unwell", EAST, {"observedGeneration": 1, "conditions": [{**QUIET, "reason": "X"}, OTHER]}, "they are"),
    ("other words", EAST, {"observedGeneration": 1, "conditions": [{**QUIET, "message": "x"}, OTHER]}, "they are"),
    ("the rest goes", EAST, {"observedGeneration": 1, "conditions": [QUIET]}, "they are Silent"),
    ("the rest differs", EAST, {"observedGeneration": 1, "conditions": [QUIET, {**OTHER, "status": "False"}]},
     "they are Silent"),
    ("nothing is said any more", EAST, {"observedGeneration": 1, "conditions": [OTHER]}, "they are Silent"),
    ("another generation", EAST, {"observedGeneration": 2, "conditions": [QUIET, OTHER]}, "they are Silent"),
]  # fmt: skip


@pytest.mark.parametrize(("actor", "status", "denied"), [pytest.param(*row[1:], id=row[0]) for row in MEMBERS])
def test_status_of_a_member(lab: Lab, actor: Actor, status: Object, denied: str | None) -> None:
    put_status(lab.admin, MEMBER, "west", MEMBER_BEFORE)
    check(lambda: put_status(lab.as_actor(actor), MEMBER, "west", status), denied)


def test_a_member_that_never_spoke_may_be_said_to_be_silent(lab: Lab) -> None:
    put_status(lab.admin, MEMBER, "west", {})
    put_status(lab.as_actor(EAST), MEMBER, "west", {"conditions": [QUIET]})


def test_spec_and_marks_are_no_syncers_business(lab: Lab) -> None:
    live = lab.admin.get(SYNCED_RESOURCE, KIND)
    assert live is not None
    error = refusal(lambda: lab.as_actor(EAST).patch(SYNCED_RESOURCE, KIND, {"metadata": {"labels": {"a": "b"}}}))
    assert "does not change a SyncedResource on the hub" in str(error)


def put_status(client: Client, resource: Resource, name: str, status: Object) -> None:
    """The whole status, whatever was there."""
    path = resource.path(name=name, subresource="status")
    patch = [{"op": "add", "path": "/status", "value": copy.deepcopy(status)}]
    client.request("PATCH", path, body=patch, content_type="application/json-patch+json")
