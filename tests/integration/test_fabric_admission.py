# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The fabric's own objects on the hub, and how far the stolen credential of one member reaches."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _apply, _fabric, _kubeconfig, _tokens
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CLUSTER_ROLE,
    CONFIG_MAP,
    MEMBER,
    NAMESPACE,
    SYNCED_RESOURCE,
)
from tests.integration.admission_lab import (
    ALICE,
    EAST,
    EAST2,
    LEASE,
    STRAY,
    TOMBSTONE,
    WEST,
    Actor,
    Lab,
    eventually,
    lab_on,
    refusal,
)
from tests.integration.throwaway_plane import Plane

_serial = itertools.count()


@pytest.fixture(scope="module")
def lab(plane: Plane, repository: Path) -> Iterator[Lab]:
    with lab_on(_kubeconfig.load_file(str(plane.kubeconfig)), repository / "manifests") as ready:
        for obj in yaml.safe_load_all((repository / "manifests" / "hub" / "rbac.yaml").read_text()):
            ready.admin.patch(CLUSTER_ROLE, obj["metadata"]["name"], obj, content_type=APPLY_PATCH)
        yield ready


def tombstone(origin: str = "east", uid: str = "uid-of-east", **changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"group": "demo.tmc.io", "resource": "taskqueues", "namespace": "default", "name": "a"}
    spec |= {"originCluster": origin, "originClusterUID": uid, "pending": ["east", "west"]}
    name = f"tombstone-{next(_serial)}.{origin}"
    return {
        "apiVersion": TOMBSTONE.api_version,
        "kind": "Tombstone",
        "metadata": {"name": name, **changes.pop("metadata", {})},
        "spec": spec | changes,
    }


def pending(*members: str) -> dict[str, Any]:
    return {"spec": {"pending": list(members)}}


CREATED = [
    ("its own origin", EAST, {}, None),
    ("the origin of another", EAST, {"origin": "west", "uid": "uid-of-west"}, "only of its own origin: east"),
    ("the uid of another", EAST, {"uid": "uid-of-west"}, "not the one that Member east joined with"),
    ("under a name of another", EAST, {"metadata": {"name": "tombstone.west"}}, "ends with its origin: <uid>.east"),
    ("under a name with the same end", EAST, {"metadata": {"name": "tombstone-east"}}, "ends with its origin"),
    ("by a name with the same beginning", EAST2, {}, "only of its own origin: east2"),
    ("by an account that is no syncer", STRAY, {}, "is no syncer"),
    ("with a finalizer", EAST, {"metadata": {"finalizers": ["x/y"]}}, "no finalizers and no owners"),
]


@pytest.mark.parametrize(("actor", "changes", "denied"), [pytest.param(*row[1:], id=row[0]) for row in CREATED])
def test_create_tombstone(lab: Lab, actor: Actor, changes: dict[str, Any], denied: str | None) -> None:
    check(lambda: lab.as_actor(actor).create(TOMBSTONE, tombstone(**changes)), denied)


UPDATED = [
    ("west takes itself out", WEST, pending("east"), None),
    ("west takes another out", WEST, pending("west"), "only itself out of spec.pending: west"),
    ("west empties it", WEST, pending(), "only itself out"),
    ("west adds a member", WEST, pending("east", "west", "north"), "only itself out"),
    ("the origin takes another out", EAST, pending("east"), "only itself out of spec.pending: east"),
    ("another name", WEST, {"spec": {"name": "b", "pending": ["east"]}}, "immutable but for spec.pending"),
    ("another origin", WEST, {"spec": {"originCluster": "west", "pending": ["east"]}}, "immutable"),
]


@pytest.mark.parametrize(("actor", "patch", "denied"), [pytest.param(*row[1:], id=row[0]) for row in UPDATED])
def test_update_tombstone(lab: Lab, actor: Actor, patch: dict[str, Any], denied: str | None) -> None:
    made = lab.as_actor(EAST).create(TOMBSTONE, tombstone())
    check(lambda: lab.as_actor(actor).patch(TOMBSTONE, made["metadata"]["name"], patch), denied)


DELETED = [
    ("while others are pending", ["east", "west"], WEST, "have still to be told: east, west"),
    ("by the origin while another is pending", ["west"], EAST, "have still to be told: west"),
    ("by the last one", ["west"], WEST, None),
    ("when nobody is left", [], WEST, None),
    ("by an administrator", ["east", "west"], ALICE, None),
]


@pytest.mark.parametrize(("left", "actor", "denied"), [pytest.param(*row[1:], id=row[0]) for row in DELETED])
def test_delete_tombstone(lab: Lab, left: list[str], actor: Actor, denied: str | None) -> None:
    made = lab.as_actor(EAST).create(TOMBSTONE, tombstone(pending=left))["metadata"]
    check(lambda: lab.as_actor(actor).delete(TOMBSTONE, made["name"], uid=made["uid"]), denied)


def namespace(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"space-{next(_serial)}", **metadata}}


def lease(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "generateName": ""}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}


def ready() -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True", "reason": "Up", "message": ""}
    return {"status": {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}


def member_status(name: str) -> Callable[[Client], Any]:
    path = MEMBER.path(name=name, subresource="status")
    return lambda api: api.request("PATCH", path, body=ready(), content_type="application/merge-patch+json")


KIND = "widgets.hub.lab.tmc.io"


def synced_resource(**spec: Any) -> Callable[[Client], Any]:
    return lambda api: api.patch(SYNCED_RESOURCE, KIND, {"spec": spec}, dry_run=True)


def fence(**data: str | None) -> Callable[[Client], Any]:
    return lambda api: api.patch(CONFIG_MAP, KIND, {"data": data}, "tmc-system", dry_run=True)


FOLLOWS = f"must be those of ConfigMap tmc-system/{KIND}, which is at west, epoch 1"
OTHERS: list[tuple[str, Actor, Callable[[Client], Any], str | None]] = [
    ("a namespace", EAST, lambda api: api.create(NAMESPACE, namespace()), None),
    ("a namespace with a label", EAST, lambda api: api.create(NAMESPACE, namespace(
        labels={"pod-security.kubernetes.io/enforce": "privileged"})), "without labels"),
    ("a namespace with an annotation", EAST, lambda api: api.create(NAMESPACE, namespace(
        annotations={"a": "b"})), "without labels, annotations"),
    ("own lease", EAST, lambda api: api.create(LEASE, lease("syncer-east"), dry_run=True), None),
    ("the lease of another", EAST, lambda api: api.create(LEASE, lease("syncer-west"), dry_run=True), "only its own L"),
    ("own status", EAST, member_status("east"), None),
    ("status of another", EAST, member_status("west"), "only the status of its own Member, east, not west"),
    ("own Member", EAST, lambda api: api.patch(MEMBER, "east", {"metadata": {"labels": {"a": "b"}}}), "but for its"),
    ("a Member of its own making", EAST, lambda api: api.create(MEMBER, {
        "apiVersion": MEMBER.api_version, "kind": "Member", "metadata": {"name": "north"},
        "spec": {"clusterUID": "x"}}), "does not change a Member, but for its status"),
    ("the processor", EAST, synced_resource(processor="east", epoch=9), "must be those of|does not change"),
    ("the rest of a SyncedResource by a syncer", EAST, synced_resource(deletionGrace="9m"),
     "a syncer does not change a SyncedResource"),
    ("an epoch that goes back", ALICE, synced_resource(epoch=0), "epoch"),
    ("a processor in the same term", ALICE, synced_resource(processor="x"), FOLLOWS),
    ("a processor in a new term", ALICE, synced_resource(processor="x", epoch=2), FOLLOWS),
    ("a new term of the same processor", ALICE, synced_resource(epoch=2), FOLLOWS),
    ("the rest of a SyncedResource", ALICE, synced_resource(deletionGrace="9m"), None),
    ("a writer with a comma", ALICE, synced_resource(statusWriters=["a,b"]), "should match"),
    ("another's SyncedResource", ALICE, lambda api: api.create(SYNCED_RESOURCE, _fabric.synced_resource(
        "others.example.com", {"group": "example.com", "version": "v1", "resource": "others", "processor": "x",
                               "epoch": 3}), dry_run=True), None),
    ("a fence in the same term", ALICE, fence(processor="x"), "data.processor needs a higher data.epoch"),
    ("a fence in a new term", ALICE, fence(processor="x", epoch="2"), None),
    ("a fence that goes back", ALICE, fence(epoch="0"), "data.epoch may not go back: it is 1"),
    ("a fence whose epoch is no number", ALICE, fence(epoch="two"), "may not go back"),
    ("a fence without an epoch", ALICE, fence(epoch=None), "may not go back"),
    ("a fence without a processor", ALICE, fence(processor=None), "needs a higher"),
    ("other writers", ALICE, fence(statusWriters="alice"), None),
    ("another uid of a member", ALICE, lambda api: api.patch(MEMBER, "east", {"spec": {"clusterUID": "x"}}), "immut"),
    ("a reserved member", ALICE, lambda api: api.create(MEMBER, {
        "apiVersion": MEMBER.api_version, "kind": "Member", "metadata": {"name": "hub"},
        "spec": {"clusterUID": "x"}}), "reserved"),
]  # fmt: skip


@pytest.mark.parametrize(("actor", "act", "denied"), [pytest.param(*row[1:], id=row[0]) for row in OTHERS])
def test_fabric_object(lab: Lab, actor: Actor, act: Callable[[Client], Any], denied: str | None) -> None:
    check(lambda: act(lab.as_actor(actor)), denied)


@pytest.fixture(scope="module")
def stolen(lab: Lab) -> Client:
    """A client with nothing but the real token of member east's syncer."""
    wanted = [*_fabric.hub_identity("east", "uid-of-east"), *_fabric.kind_rights("hub.lab.tmc.io", "widgets", hub=True)]
    _apply.carry_out(lab.admin, _apply.plan_present(lab.admin, wanted))
    wish = _tokens.Wish("unused", "tmc-system", "syncer-east", "kcp", 600)
    token = _tokens.request_token(lab.admin, wish)
    client = Client(replace(lab.admin.connection, token=token, impersonate_user=None, impersonate_groups=()))
    eventually(lambda: refusal(lambda: client.list(MEMBER)) is None, "the rights of syncer-east are in force")
    return client


TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
SYSTEM = "/api/v1/namespaces/tmc-system"
WIDGETS = "/apis/hub.lab.tmc.io/v1"
REACH: list[tuple[str, str, Any, bool]] = [
    ("GET", "/apis/fabric.tmc.io/v1alpha1/members", None, True),
    ("GET", "/apis/fabric.tmc.io/v1alpha1/syncedresources", None, True),
    ("GET", "/apis/fabric.tmc.io/v1alpha1/tombstones", None, True),
    ("GET", f"{WIDGETS}/widgets", None, True),
    ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", None, True),
    ("GET", "/api/v1/namespaces", None, True),
    ("PATCH", "/apis/fabric.tmc.io/v1alpha1/syncedresources/widgets.hub.lab.tmc.io", {}, False),
    ("POST", f"{SYSTEM}/serviceaccounts/syncer-east/token", TOKEN, True),
    ("POST", f"{SYSTEM}/serviceaccounts/syncer-west/token", TOKEN, False),
    ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", TOKEN, False),
    ("GET", f"{SYSTEM}/serviceaccounts", None, False),
    ("GET", "/api/v1/secrets", None, False),
    ("GET", f"{SYSTEM}/secrets", None, False),
    ("GET", "/api/v1/configmaps", None, False),
    ("GET", "/api/v1/pods", None, False),
    ("GET", "/api/v1/events", None, False),
    ("POST", "/api/v1/namespaces/default/events", {}, False),
    ("DELETE", f"{WIDGETS}/namespaces/default/widgets", None, False),
    ("GET", "/apis/hub.lab.tmc.io/v1/gadgets", None, False),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", None, False),
    ("GET", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", None, False),
    ("GET", "/apis/coordination.k8s.io/v1/namespaces/tmc-system/leases", None, True),
    ("GET", "/apis/coordination.k8s.io/v1/leases", None, False),
    ("PUT", "/apis/coordination.k8s.io/v1/namespaces/tmc-system/leases/syncer-west", {}, False),
    ("GET", "/apis/coordination.k8s.io/v1/namespaces/tmc-system/leases/syncer-west", None, False),
    ("POST", "/apis/fabric.tmc.io/v1alpha1/members", {}, False),
    ("DELETE", "/apis/fabric.tmc.io/v1alpha1/members/west", None, False),
    ("DELETE", "/apis/fabric.tmc.io/v1alpha1/syncedresources/widgets.hub.lab.tmc.io", None, False),
    ("DELETE", "/api/v1/namespaces/default", None, False),
    ("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {}, False),
    ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", {}, False),
]


@pytest.mark.parametrize(("method", "path", "body", "allowed"), REACH, ids=[f"{m} {p}" for m, p, _b, _a in REACH])
def test_reach_of_a_stolen_token(stolen: Client, method: str, path: str, body: Any, allowed: bool) -> None:
    error = refusal(lambda: stolen.request(method, path, body=body))
    if allowed:
        assert error is None
    else:
        assert error is not None
        assert (error.status, error.reason) == (403, "Forbidden")


def test_a_stolen_token_cannot_pose_as_another(stolen: Client) -> None:
    posing = Client(replace(stolen.connection, impersonate_user="system:serviceaccount:tmc-system:syncer-west"))
    error = refusal(lambda: posing.list(MEMBER))
    assert error is not None
    assert "cannot impersonate" in str(error)


def check(attempt: Callable[[], Any], denied: str | None) -> None:
    error = refusal(attempt)
    if denied is None:
        assert error is None, f"refused: {error}"
        return
    assert error is not None, "let through"
    assert re.search(denied, str(error)), str(error)
