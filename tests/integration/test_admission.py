# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Admission on a real API server: who is refused what, with which words, and what everybody may still do.

Every row is one request by one actor on a fresh object. `denied` is a part of the message that the user reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import Resource
from tests.integration import admission_lab as lab_module
from tests.integration.admission_lab import (
    ALICE,
    COLLECTOR,
    EAST,
    EAST2,
    LOCAL_SYNCER,
    MANAGER,
    NAMESPACES,
    OPERATOR,
    STRAY,
    WEST,
    WORKER,
    Actor,
    Lab,
    copy_of,
    kind_at,
    own_object,
    refusal,
)
from tests.integration.throwaway_plane import Plane

Object = dict[str, Any]
Act = Callable[[Client, Resource, Object], Any]


@pytest.fixture(scope="module")
def lab(plane: Plane, repository: Path) -> Iterator[Lab]:
    with lab_module.lab_on(_kubeconfig.load_file(str(plane.kubeconfig)), repository / "manifests") as ready:
        yield ready


# -- acts ---------------------------------------------------------------------------------------------------------


def merge(**patch: Any) -> Act:
    return lambda client, kind, obj: client.patch(kind, obj["metadata"]["name"], patch, "default")


def meta(**patch: Any) -> Act:
    return merge(metadata=patch)


def label(key: str, value: str | None) -> Act:
    return meta(labels={key: value})


def note(key: str, value: str | None) -> Act:
    return meta(annotations={key: value})


def finalizers(*wanted: str) -> Act:
    return meta(finalizers=list(wanted))


def status(**content: Any) -> Act:
    def act(client: Client, kind: Resource, obj: Object) -> Any:
        sub = "status" if kind.plural == "widgets" else ""
        path = kind.path("default", obj["metadata"]["name"], sub)
        return client.request("PATCH", path, body={"status": content}, content_type="application/merge-patch+json")

    return act


def delete(client: Client, kind: Resource, obj: Object) -> Any:
    client.delete(kind, obj["metadata"]["name"], "default", uid=obj["metadata"]["uid"])


def delete_collection(client: Client, kind: Resource, obj: Object) -> Any:
    # Only the object at hand: the label selector names it.
    only = {"labelSelector": f"only={obj['metadata']['labels']['only']}"}
    client.request("DELETE", kind.path("default"), params=only)


def create(client: Client, kind: Resource, obj: Object) -> Any:
    return client.create(kind, obj)


def take_over(client: Client, kind: Resource, obj: Object) -> Any:
    """Server-side apply with force, the way to grab the fields of others."""
    wanted = {"apiVersion": kind.api_version, "kind": kind.kind, "spec": {"size": 9}}
    wanted["metadata"] = {"name": obj["metadata"]["name"], "labels": {"tmc.io/origin": "east"}}
    return client.patch(kind, obj["metadata"]["name"], wanted, "default", content_type=APPLY_PATCH)


OWNER = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "00000000-0000-0000-0000-000000000001"}]


def without(obj: Object, *annotations: str) -> Object:
    for key in annotations:
        del obj["metadata"]["annotations"][key]
    return obj


def noted(obj: Object, **annotations: str) -> Object:
    marks = {f"tmc.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    obj["metadata"].setdefault("annotations", {}).update(marks)
    return obj


@dataclass(frozen=True)
class Row:
    """One request: at `place`, on `given`, `actor` does `act`; `denied` is None or a pattern of the refusal."""

    title: str
    place: str
    given: Object
    actor: Actor
    act: Act
    denied: str | None = None
    plurals: tuple[str, ...] = lab_module.PLURALS


def expand(rows: list[Row]) -> list[Any]:
    return [
        pytest.param(row, plural, id=f"{row.place}-{row.title.replace(' ', '_')}-{plural}")
        for row in rows
        for plural in row.plurals
    ]


COPY = copy_of("east", ("tmc.io/west",))
NATIVE = own_object(("tmc.io/east", "tmc.io/west"))
WESTS = copy_of("west", ("tmc.io/east", "tmc.io/north"))
WITH_STATUS = ("widgets",)
WITHOUT_STATUS = ("gadgets",)
ON_EAST = "edit or delete it on cluster east"
NOT_YOURS = "origin west is not yours"
HUBS_OWN = "belongs to the hub"

SYNCERS_CREATE = [
    Row("east creates its own", "hub", COPY, EAST, create),
    Row("origin of another", "hub", WESTS, EAST, create, NOT_YOURS),
    Row("no origin", "hub", own_object(), EAST, create, HUBS_OWN),
    Row("origin in capitals", "hub", copy_of("East"), EAST, create, "origin East is not yours"),
    Row("origin that is a prefix of the name", "hub", copy_of("eas"), EAST, create, "origin eas is not yours"),
    Row("origin that the name is a prefix of", "hub", copy_of("east2"), EAST, create, "origin east2 is not yours"),
    Row("name that the origin is a prefix of", "hub", COPY, EAST2, create, "origin east is not yours"),
    Row("origin hub", "hub", copy_of("kcp"), EAST, create, "origin kcp is not yours"),
    Row("an account that is no syncer", "hub", copy_of("default"), STRAY, create, "origin default is not yours"),
    Row("no origin uid", "hub", without(copy_of("east"), "tmc.io/origin-uid"), EAST, create, "needs the annotations"),
    Row("no cluster uid", "hub", without(copy_of("east"), "tmc.io/origin-cluster-uid"), EAST, create, "annotation"),
    Row("uid of another cluster", "hub", noted(copy_of("east"), origin_cluster_uid="uid-of-west"), EAST, create,
        "not the uid that Member east joined with"),
    Row("an owner", "hub", copy_of("east", ownerReferences=OWNER), EAST, create, "ownerReferences are not accepted"),
    Row("a foreign finalizer", "hub", copy_of("east", ("example.com/x",)), EAST, create, "only finalizers tmc.io/"),
    Row("a status from birth", "hub", {**copy_of("east"), "status": {"phase": "Completed"}}, EAST, create,
        "status is written only by the syncer of the processor west", WITHOUT_STATUS),
]  # fmt: skip

SYNCERS_ON_OTHERS = [
    Row("spec", "hub", WESTS, EAST, merge(spec={"size": 2}), NOT_YOURS),
    Row("another top-level field", "hub", WESTS, EAST, merge(extra={"field": 2}), NOT_YOURS),
    Row("a new top-level field", "hub", WESTS, EAST, merge(more=1), NOT_YOURS),
    Row("a removed top-level field", "hub", WESTS, EAST, merge(extra=None), NOT_YOURS),
    Row("a label", "hub", WESTS, EAST, label("team", "b"), NOT_YOURS),
    Row("an annotation", "hub", WESTS, EAST, note("note", "y"), NOT_YOURS),
    Row("relabel to itself", "hub", WESTS, EAST, label("tmc.io/origin", "east"), NOT_YOURS),
    Row("remove the label", "hub", WESTS, EAST, label("tmc.io/origin", None), NOT_YOURS),
    Row("an owner", "hub", WESTS, EAST, meta(ownerReferences=OWNER), NOT_YOURS),
    Row("delete", "hub", WESTS, EAST, delete, NOT_YOURS),
    Row("apply with force", "hub", WESTS, EAST, take_over, NOT_YOURS),
    Row("finalizer of another removed", "hub", WESTS, EAST, finalizers("tmc.io/east"), NOT_YOURS),
    Row("all finalizers removed", "hub", WESTS, EAST, finalizers(), NOT_YOURS),
    Row("finalizer of another added", "hub", WESTS, EAST,
        finalizers("tmc.io/east", "tmc.io/north", "tmc.io/x"), NOT_YOURS),
    Row("own finalizer removed and spec", "hub", WESTS, EAST,
        merge(metadata={"finalizers": ["tmc.io/north"]}, spec={"size": 2}), NOT_YOURS),
    Row("own finalizer removed and a label", "hub", WESTS, EAST,
        meta(finalizers=["tmc.io/north"], labels={"team": "b"}), NOT_YOURS),
    Row("own finalizer removed and an annotation", "hub", WESTS, EAST,
        meta(finalizers=["tmc.io/north"], annotations={"note": "y"}), NOT_YOURS),
    Row("east2 removes the finalizer of east", "hub", WESTS, EAST2, finalizers("tmc.io/north"), NOT_YOURS),
    Row("a stray account removes a finalizer", "hub", WESTS, STRAY, finalizers("tmc.io/north"), NOT_YOURS),
    Row("status by one that is not the processor", "hub", WESTS, EAST, status(phase="Completed"),
        "status is written only by the syncer of the processor west"),
    Row("own finalizer removed", "hub", WESTS, EAST, finalizers("tmc.io/north")),
    Row("own finalizer added", "hub", COPY, lab_module.account("tmc-system", "syncer-north"),
        finalizers("tmc.io/west", "tmc.io/north")),
    Row("status by the processor", "hub", COPY, WEST, status(phase="Running")),
    Row("spec by the processor", "hub", COPY, WEST, merge(spec={"size": 2}), "origin east is not yours"),
    Row("status and spec by the processor", "hub", COPY, WEST, merge(status={"phase": "x"}, spec={"size": 2}),
        "origin east is not yours"),
    Row("status by a member when the hub works", "workinghub", COPY, WEST, status(phase="Running"),
        "status is written only by the syncer of the processor kcp"),
]  # fmt: skip

SYNCERS_ON_HUBS = [
    Row("spec", "hub", NATIVE, EAST, merge(spec={"size": 2}), HUBS_OWN),
    Row("adoption", "hub", NATIVE, EAST, label("tmc.io/origin", "east"), HUBS_OWN),
    Row("adoption by annotations", "hub", NATIVE, EAST, note("tmc.io/origin-uid", "x"), HUBS_OWN),
    Row("delete", "hub", NATIVE, EAST, delete, HUBS_OWN),
    Row("finalizer of another", "hub", NATIVE, EAST, finalizers("tmc.io/east"), HUBS_OWN),
    Row("status", "hub", NATIVE, EAST, status(phase="Running"), "status is written only by the syncer"),
    Row("own finalizer taken away", "hub", NATIVE, EAST, finalizers("tmc.io/west")),
    Row("own finalizer added", "hub", own_object(), EAST, finalizers("tmc.io/east")),
    Row("status by the processor", "hub", NATIVE, WEST, status(phase="Running")),
]

SYNCERS_ON_OWN = [
    Row("spec, labels and annotations", "hub", COPY, EAST,
        merge(spec={"size": 2}, metadata={"labels": {"team": "b"}, "annotations": {"tmc.io/origin-generation": "2"}})),
    Row("strip the members' finalizers", "hub", COPY, EAST, finalizers()),
    Row("delete", "hub", COPY, EAST, delete),
    Row("relabel", "hub", COPY, EAST, label("tmc.io/origin", "west"), "label tmc.io/origin is immutable"),
    Row("remove the label", "hub", COPY, EAST, label("tmc.io/origin", None), "label tmc.io/origin is immutable"),
    Row("another origin uid", "hub", COPY, EAST, note("tmc.io/origin-uid", "other"), "are immutable"),
    Row("no origin uid", "hub", COPY, EAST, note("tmc.io/origin-uid", None), "are immutable"),
    Row("another cluster uid", "hub", COPY, EAST, note("tmc.io/origin-cluster-uid", "other"), "are immutable"),
    Row("no cluster uid", "hub", COPY, EAST, note("tmc.io/origin-cluster-uid", None), "are immutable"),
    Row("an owner", "hub", COPY, EAST, meta(ownerReferences=OWNER), "ownerReferences are not accepted"),
    Row("a foreign finalizer", "hub", COPY, EAST, finalizers("tmc.io/west", "example.com/x"), "only finalizers tmc"),
    Row("status", "hub", COPY, EAST, status(phase="Completed"), "written only by the syncer of the processor"),
]  # fmt: skip

USERS_ON_COPIES = [
    Row(f"{title} at {place}", place, given, ALICE, act, denied)
    for place, given in (("hub", COPY), ("workinghub", COPY), ("east", copy_of("west")), ("west", copy_of("east")))
    for title, act, denied in (
        ("spec", merge(spec={"size": 2}), "edit or delete it on cluster (east|west)"),
        ("a new top-level field", merge(more=1), "edit or delete it on cluster"),
        ("delete", delete, "edit or delete it on cluster (east|west)"),
        ("relabel", label("tmc.io/origin", "north"), "belong to the fabric"),
        ("remove the label", label("tmc.io/origin", None), "stay as they are|belong to the fabric"),
        ("remove all marks", meta(labels={"tmc.io/origin": None}, annotations=None), "stay as they are"),
        ("another origin uid", note("tmc.io/origin-uid", "x"), "belong to the fabric"),
        ("no cluster uid", note("tmc.io/origin-cluster-uid", None), "belong to the fabric"),
        ("other keys", note("tmc.io/origin-keys", "{}"), "belong to the fabric"),
        ("another generation", note("tmc.io/origin-generation", "9"), "belong to the fabric"),
        ("a mark of the future", note("tmc.io/origin-new", "x"), "belong to the fabric"),
        ("a finalizer of the fabric", finalizers("tmc.io/west", "tmc.io/x"), "are added only by the fabric"),
        ("a label of its own", label("mine", "1"), None),
        ("an annotation of its own", note("mine", "1"), None),
    )
] + [
    Row("remove a member's finalizer", "hub", COPY, ALICE, finalizers(), "taken away only by the fabric"),
    Row("an operator's finalizer", "west", copy_of("east"), OPERATOR, finalizers("example.com/x")),
    Row("an operator's finalizer goes", "west", copy_of("east", ("example.com/x",)), OPERATOR, finalizers()),
    Row("an operator's finalizer on the hub", "workinghub", COPY, OPERATOR, finalizers("tmc.io/west", "example.com/x")),
    Row("delete many", "east", copy_of("west", labels={"tmc.io/origin": "west", "only": "this"}), ALICE,
        delete_collection, "edit or delete it on cluster west", WITH_STATUS),
    Row("garbage collection", "east", copy_of("west"), COLLECTOR, delete),
    Row("namespace deletion", "hub", COPY, NAMESPACES, delete),
    Row("an embedded plane's controllers", "west", copy_of("east"), MANAGER, delete),
    Row("spec by the garbage collector", "hub", COPY, COLLECTOR, merge(spec={"size": 2}), ON_EAST),
    Row("spec by the controller", "west", copy_of("east"), WORKER, merge(spec={"size": 2}), ON_EAST),
    Row("delete by the controller", "west", copy_of("east"), WORKER, delete, ON_EAST),
]  # fmt: skip

USERS_ON_OWN = [
    Row(f"{title} at {place}", place, given, ALICE, act, denied)
    for place in ("hub", "east", "west")
    for title, given, act, denied in (
        ("create", own_object(), create, None),
        ("edit", own_object(("tmc.io/sync",)), merge(spec={"size": 2}, metadata={"labels": {"team": "b"}}), None),
        ("delete", own_object(), delete, None),
        ("let go of the fabric", own_object(("tmc.io/sync",)), finalizers(), None),
        ("pretend a copy", copy_of("north"), create, "belong to the fabric"),
        ("pretend a copy of itself", copy_of("kcp"), create, "belong to the fabric"),
        ("a mark at birth", noted(own_object(), origin_uid="x"), create, "belong to the fabric"),
        ("a mark later", own_object(), label("tmc.io/origin", "north"), "belong to the fabric"),
        ("an annotation later", own_object(), note("tmc.io/origin-uid", "x"), "belong to the fabric"),
        ("a member's finalizer at birth", own_object(("tmc.io/x",)), create, "are added only by the fabric"),
    )
] + [
    Row("take a member's finalizer off the hub's own", "hub", NATIVE, ALICE, finalizers()),
]  # fmt: skip

ELSEWHERE = "status is written only on cluster west"
STATUS = [
    Row("own object at the origin", "east", own_object(), ALICE, status(phase="Completed"), ELSEWHERE),
    Row("copy at another member", "east", copy_of("west"), ALICE, status(phase="Completed"), ELSEWHERE),
    Row("a controller at another member", "east", copy_of("west"), WORKER, status(phase="Completed"), ELSEWHERE),
    Row("the garbage collector", "east", copy_of("west"), COLLECTOR, status(phase="Completed"), ELSEWHERE),
    Row("the administrator on the hub", "hub", COPY, ALICE, status(phase="Completed"), ELSEWHERE),
    Row("the administrator on the hub's own", "hub", own_object(), ALICE, status(phase="Completed"), ELSEWHERE),
    Row("a controller on the hub", "hub", COPY, WORKER, status(phase="Completed"), ELSEWHERE),
    Row("emptied", "east", copy_of("west"), ALICE, status(phase="x"), ELSEWHERE),
    Row("born with it", "east", {**own_object(), "status": {"phase": "x"}}, ALICE, create, ELSEWHERE, WITHOUT_STATUS),
    Row("the local syncer", "east", copy_of("west"), LOCAL_SYNCER, status(phase="Running")),
    Row("an operator on the processor", "west", copy_of("east"), OPERATOR, status(phase="Running")),
    Row("the local syncer on the processor", "strictwest", copy_of("east"), LOCAL_SYNCER, status(phase="Running")),
    Row("the writer", "strictwest", copy_of("east"), WORKER, status(phase="Running")),
    Row("the writer on its own cluster's object", "strictwest", own_object(), WORKER, status(phase="Running")),
    Row("another than the writer", "strictwest", copy_of("east"), ALICE, status(phase="Completed"),
        "status is written only by system:serviceaccount:default:taskqueue-controller, not by alice"),
    Row("an operator that is not the writer", "strictwest", own_object(), OPERATOR, status(phase="Completed"),
        "status is written only by"),
    Row("a controller on a hub that works", "workinghub", COPY, WORKER, status(phase="Running")),
]  # fmt: skip

SYNCER_AT_HOME = [
    Row("create", "east", copy_of("west"), LOCAL_SYNCER, create),
    Row("spec", "east", copy_of("west"), LOCAL_SYNCER, merge(spec={"size": 2})),
    Row("marks", "east", copy_of("west"), LOCAL_SYNCER, note("tmc.io/origin-generation", "2")),
    Row("delete", "east", copy_of("west"), LOCAL_SYNCER, delete),
    Row("its finalizer on an origin object", "east", own_object(), LOCAL_SYNCER, finalizers("tmc.io/sync")),
    Row("the same account on the hub", "hub", COPY, LOCAL_SYNCER, merge(spec={"size": 2}), ON_EAST),
]

ROWS = [
    *SYNCERS_CREATE,
    *SYNCERS_ON_OTHERS,
    *SYNCERS_ON_HUBS,
    *SYNCERS_ON_OWN,
    *USERS_ON_COPIES,
    *USERS_ON_OWN,
    *STATUS,
    *SYNCER_AT_HOME,
]


@pytest.mark.parametrize(("row", "plural"), expand(ROWS))
def test_request(lab: Lab, row: Row, plural: str) -> None:
    kind = kind_at(row.place, plural)
    given = lab.named(row.place, plural, row.given) if row.act is create else lab.given(row.place, plural, row.given)
    before = None if row.act is create else lab.admin.get(kind, given["metadata"]["name"], "default")

    error = refusal(lambda: row.act(lab.as_actor(row.actor), kind, given))

    if row.denied is None:
        assert error is None, f"refused: {error}"
        return
    assert error is not None, "let through"
    assert error.status in (403, 422)
    assert re.search(row.denied, str(error)), str(error)
    assert lab.admin.get(kind, given["metadata"]["name"], "default") == before, "refused, and changed all the same"


def test_enough_is_denied() -> None:
    assert sum(row.denied is not None for row in ROWS) >= 60
