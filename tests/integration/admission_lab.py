# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A laboratory for admission: every role that a cluster can have, side by side on one real API server.

A policy depends on the cluster only by the name and uid that it was built with, so one kind per role is enough: the
kind of group `east.lab.tmc.io` is guarded as on member east, the one of `hub.lab.tmc.io` as on the hub.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import (
    _admission,
    _admission_member,
    _apply,
    _fabric,
    _policy,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Connection
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    NAMESPACE,
    POLICY,
    POLICY_BINDING,
    SYNCED_RESOURCE,
    Resource,
)

Object = dict[str, Any]
LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease")
TOMBSTONE = Resource("fabric.tmc.io", "v1alpha1", "tombstones", "Tombstone", namespaced=False)
DEADLINE = 60.0  # seconds; only ends a hang
_serial = itertools.count()


@dataclass(frozen=True)
class Place:
    """One role of a cluster in the fabric: who it is, and who works on the kind there."""

    cluster: str
    hub: bool
    processor: str
    writers: tuple[str, ...] = ()


CONTROLLER = "system:serviceaccount:default:taskqueue-controller"
PLACES = {
    "hub": Place("kcp", True, "west"),
    "workinghub": Place("kcp", True, "kcp"),
    "east": Place("east", False, "west"),
    "west": Place("west", False, "west"),
    "strictwest": Place("west", False, "west", (CONTROLLER,)),
}
MEMBERS = ("east", "west")
# With and without a status subresource.
PLURALS = ("widgets", "gadgets")


@dataclass(frozen=True)
class Actor:
    """Somebody whom the API server has authenticated. All may do anything by RBAC: only admission stands in the way."""

    user: str
    groups: tuple[str, ...] = ()


def account(namespace: str, name: str) -> Actor:
    return Actor(
        f"system:serviceaccount:{namespace}:{name}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
    )


ALICE = Actor("alice", ("system:authenticated",))
OPERATOR = account("default", "operator")
WORKER = account("default", "taskqueue-controller")
LOCAL_SYNCER = account("default", "tmc-syncer")
EAST, WEST, EAST2 = (account("tmc-system", f"syncer-{name}") for name in ("east", "west", "east2"))
STRAY = account("tmc-system", "default")
COLLECTOR = account("kube-system", "generic-garbage-collector")
NAMESPACES = account("kube-system", "namespace-controller")
MANAGER = Actor("system:kube-controller-manager", ("system:authenticated",))


def uid_of(cluster: str) -> str:
    return f"uid-of-{cluster}"


def kind_at(place: str, plural: str) -> Resource:
    return Resource(f"{place}.lab.tmc.io", "v1", plural, plural[:-1].capitalize())


def copy_of(origin: str, finalizers: tuple[str, ...] = (), **metadata: Any) -> Object:
    """A copy as the syncer of `origin` makes it."""
    return {
        "metadata": {
            "namespace": "default",
            "labels": {"tmc.io/origin": origin, "team": "a"},
            "annotations": {
                "tmc.io/origin-uid": "11111111-2222-3333-4444-555555555555",
                "tmc.io/origin-cluster-uid": uid_of(origin),
                "tmc.io/origin-generation": "1",
                "tmc.io/origin-keys": '{"annotations":[],"labels":["team"]}',
                "note": "x",
            },
            "finalizers": list(finalizers),
            **metadata,
        },
        "spec": {"size": 1},
        "extra": {"field": 1},
    }


def own_object(finalizers: tuple[str, ...] = (), **metadata: Any) -> Object:
    """An object that a user of the place created there."""
    return {
        "metadata": {"namespace": "default", "labels": {"team": "a"}, "finalizers": list(finalizers), **metadata},
        "spec": {"size": 1},
    }


class Lab:
    """The API server, and clients for everybody who acts on it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.admin = Client(connection)
        self._clients: dict[Actor, Client] = {}

    def as_actor(self, actor: Actor, *, almighty: bool = True) -> Client:
        key = actor if almighty else replace(actor, groups=(*actor.groups, "-"))
        if key not in self._clients:
            groups = (*actor.groups, "system:masters") if almighty else actor.groups
            connection = replace(self._connection, impersonate_user=actor.user, impersonate_groups=groups)
            self._clients[key] = Client(connection)
        return self._clients[key]

    def given(self, place: str, plural: str, obj: Object) -> Object:
        """`obj`, made by whom it takes: the origin's syncer on the hub, the local syncer on a member, else a user."""
        named = self.named(place, plural, obj)
        origin = obj["metadata"]["labels"].get("tmc.io/origin")
        if not origin:
            return self._given_by_user(kind_at(place, plural), named)
        actor = account("tmc-system", f"syncer-{origin}") if PLACES[place].hub else LOCAL_SYNCER
        return self.as_actor(actor).create(kind_at(place, plural), named)

    def _given_by_user(self, kind: Resource, obj: Object) -> Object:
        """A user's object, to which each member that is named by a finalizer has then added it itself."""
        wanted: list[str] = obj["metadata"]["finalizers"]
        held = [finalizer for finalizer in wanted if finalizer in ("tmc.io/sync",) or "tmc.io/" not in finalizer]
        made = self.as_actor(ALICE).create(kind, {**obj, "metadata": {**obj["metadata"], "finalizers": held}})
        for finalizer in wanted:
            if finalizer not in held:
                held.append(finalizer)
                syncer = self.as_actor(account("tmc-system", f"syncer-{finalizer.removeprefix('tmc.io/')}"))
                made = syncer.patch(kind, obj["metadata"]["name"], {"metadata": {"finalizers": held}}, "default")
        return made

    def named(self, place: str, plural: str, obj: Object) -> Object:
        resource = kind_at(place, plural)
        metadata = {**obj["metadata"], "name": f"object-{next(_serial)}"}
        return {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}

    def apply(self, obj: Object, resource: Resource) -> None:
        metadata = obj["metadata"]
        self.admin.patch(resource, metadata["name"], obj, metadata.get("namespace", ""), content_type=APPLY_PATCH)


def eventually(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.05)


def refusal(attempt: Callable[[], Any]) -> ApiError | None:
    try:
        attempt()
    except ApiError as error:
        return error
    return None


@contextmanager
def lab_on(connection: Connection, manifests: Path) -> Iterator[Lab]:
    """Installs kinds and policies, waits until they are in force, and takes the policies away afterwards."""
    lab = Lab(connection)
    lab.apply(yaml.safe_load((manifests / "fabric" / "namespace.yaml").read_text()), NAMESPACE)
    for policy in yaml.safe_load_all((manifests / "fabric" / "parameters.yaml").read_text()):  # these two stay
        lab.apply(policy, POLICY if policy["kind"] == POLICY.kind else POLICY_BINDING)
    for crd in yaml.safe_load_all((manifests / "fabric" / "crds.yaml").read_text()):
        lab.apply(crd, CUSTOM_RESOURCE_DEFINITION)
    for place, plural in itertools.product(PLACES, PLURALS):
        lab.apply(_crd(kind_at(place, plural), status=plural == "widgets"), CUSTOM_RESOURCE_DEFINITION)
    for place, plural in itertools.product(PLACES, PLURALS):
        resource = kind_at(place, plural)
        eventually(partial(_is_served, lab, resource), f"{resource.name} is served")
    eventually(lambda: _is_served(lab, SYNCED_RESOURCE), "SyncedResource is served")
    policies = _install_policies(lab, manifests)
    for member in MEMBERS:
        _apply.carry_out(lab.admin, _apply.plan_present(lab.admin, [_fabric.member(member, uid_of(member))]))
    try:
        for what, in_force in _probes(lab):
            eventually(in_force, f"{what} is in force")
        yield lab
    finally:
        _remove_policies(lab, policies)


def _remove_policies(lab: Lab, policies: list[Object]) -> None:
    """Until none is in force any more: another test may install its own on the same API server."""
    for policy in policies:
        resource = POLICY if policy["kind"] == POLICY.kind else POLICY_BINDING
        live = lab.admin.get(resource, policy["metadata"]["name"])
        if live:
            lab.admin.delete(resource, live["metadata"]["name"], uid=live["metadata"]["uid"])
    for what, in_force in _probes(lab):
        eventually(lambda in_force=in_force: not in_force(), f"{what} is gone")  # type: ignore[misc]


def _install_policies(lab: Lab, manifests: Path) -> list[Object]:
    policies = []
    for name, place in PLACES.items():
        for plural in PLURALS:
            resource = kind_at(name, plural)
            spec: Object = {"group": resource.group, "version": "v1", "resource": plural, "processor": place.processor}
            spec |= {"epoch": 1, "deletionGrace": "5m", "statusWriters": list(place.writers)}
            lab.apply(_policy.parameters(resource.name, spec), CONFIG_MAP)
            lab.apply(_fabric.synced_resource(resource.name, spec), SYNCED_RESOURCE)
            cluster = _admission.Cluster(place.cluster, uid_of(place.cluster))
            policies += _admission.policies(_admission.Kind(resource.group, plural), cluster, hub=place.hub)
    for member in MEMBERS:
        policies += _admission_member.policies(member, uid_of(member))
    policies += list(yaml.safe_load_all((manifests / "hub" / "admission.yaml").read_text()))
    for policy in policies:
        lab.apply(policy, POLICY if policy["kind"] == POLICY.kind else POLICY_BINDING)
    return policies


def _probes(lab: Lab) -> Iterator[tuple[str, Callable[[], bool]]]:
    """For each policy a dry run that it alone refuses: admission follows the API server's own watch, a little late."""
    for place, plural in itertools.product(PLACES, PLURALS):
        kind = kind_at(place, plural)
        yield f"tmc-copies at {kind.name}", _refused(lab, ALICE, kind, copy_of("elsewhere"), "belong to the fabric")
        if PLACES[place].hub:
            yield f"tmc-syncers at {kind.name}", _refused(lab, EAST, kind, own_object(), "belongs to the hub")
            yield f"tmc-term at {kind.name}", _unchangeable(lab, SYNCED_RESOURCE, kind, "must be those of ConfigMap")
            yield "tmc-processor", _unchangeable(lab, CONFIG_MAP, kind, "needs a higher data.epoch")
    lease = {"metadata": {"namespace": "default"}}
    yield "tmc-fabric", _refused(lab, EAST, LEASE, lease, "only its own Lease")
    yield from (probe for member in MEMBERS for probe in _probes_of_member(lab, member))


def _probes_of_member(lab: Lab, member: str) -> Iterator[tuple[str, Callable[[], bool]]]:
    actor, joined = account("tmc-system", f"syncer-{member}"), f"that Member {member} joined with"
    wrong = copy_of(member)
    wrong["metadata"]["annotations"]["tmc.io/origin-cluster-uid"] = "another"
    yield f"tmc-identity.{member}", _refused(lab, actor, kind_at("hub", PLURALS[0]), wrong, joined)
    spec = {"group": "g", "resource": "r", "namespace": "", "name": "n", "originCluster": member, "pending": []}
    stone: Object = {"metadata": {}, "spec": {**spec, "originClusterUID": "another"}}
    yield f"tmc-tombstones.{member}", _refused(lab, actor, TOMBSTONE, stone, joined, f"probe.{member}")


def _unchangeable(lab: Lab, resource: Resource, kind: Resource, words: str) -> Callable[[], bool]:
    """Moving the processor in the kind's SyncedResource or ConfigMap alone, in the same term, is refused."""
    patch = {"data" if resource is CONFIG_MAP else "spec": {"processor": "elsewhere"}}
    where = "tmc-system" if resource is CONFIG_MAP else ""
    return lambda: words in str(refusal(lambda: lab.admin.patch(resource, kind.name, patch, where, dry_run=True)))


def _refused(
    lab: Lab, actor: Actor, kind: Resource, obj: Object, words: str, name: str = "probe"
) -> Callable[[], bool]:
    metadata = {**obj["metadata"], "name": name}
    probe = {**obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return lambda: words in str(refusal(lambda: lab.as_actor(actor).create(kind, probe, dry_run=True)))


def _is_served(lab: Lab, resource: Resource) -> bool:
    return refusal(lambda: lab.admin.list(resource)) is None


def _crd(resource: Resource, *, status: bool) -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.name},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {"kind": resource.kind, "plural": resource.plural, "singular": resource.kind.lower()},
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if status else {}),
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
