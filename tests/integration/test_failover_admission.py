# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a candidate for a failover may write on the hub, and that nobody else may: on a real API server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import (
    _admission,
    _apply,
    _fabric,
    _failover,
    _kubeconfig,
    _policy,
    _tokens,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CLUSTER_ROLE,
    CONFIG_MAP,
    SYNCED_RESOURCE,
)
from tests.integration.admission_lab import ALICE, EAST, EAST2, WEST, Actor, Lab, account, eventually, lab_on, refusal
from tests.integration.throwaway_plane import Plane

KIND = _admission.Kind("hub.lab.tmc.io", "widgets")
SPEC: dict[str, Any] = {
    "group": KIND.group,
    "version": "v1",
    "resource": KIND.resource,
    "processor": "west",
    "epoch": 1,
    "deletionGrace": "5m",
    "statusWriters": [],
    "failover": {"candidates": ["west", "east"], "afterSeconds": 60},
}
NORTH = account("tmc-system", "syncer-north")
Act = Callable[[Client], Any]


@pytest.fixture(scope="module")
def lab(plane: Plane, repository: Path) -> Iterator[Lab]:
    """West is the processor in term 1; it and east are the candidates."""
    with lab_on(_kubeconfig.load_file(str(plane.kubeconfig)), repository / "manifests") as ready:
        for obj in yaml.safe_load_all((repository / "manifests" / "hub" / "rbac.yaml").read_text()):
            ready.admin.patch(CLUSTER_ROLE, obj["metadata"]["name"], obj, content_type=APPLY_PATCH)
        ready.apply(_policy.parameters(KIND.name, SPEC), CONFIG_MAP)
        ready.apply(_fabric.synced_resource(KIND.name, SPEC), SYNCED_RESOURCE)
        refused = refusal_of(ready, NORTH, fence(processor="north", epoch="2"))
        eventually(lambda: "no candidate" in refused(), "tmc-failover is in force")
        yield ready
        # Anew, in term 1: other tests use the same API server, and no epoch goes back.
        for resource, where in ((SYNCED_RESOURCE, ""), (CONFIG_MAP, "tmc-system")):
            live = ready.admin.get(resource, KIND.name, where) or {}
            ready.admin.delete(resource, KIND.name, where, uid=live["metadata"]["uid"])
        ready.apply(_policy.parameters(KIND.name, SPEC | {"failover": None}), CONFIG_MAP)
        _apply.carry_out(ready.admin, _apply.plan_absent(ready.admin, _failover.rights(KIND, [])))


def fence(**data: str | None) -> Act:
    return lambda api: api.patch(CONFIG_MAP, KIND.name, {"data": data}, "tmc-system", dry_run=True)


def marked(resource: Any, where: str, **content: Any) -> Act:
    patch = {"metadata": {"labels": {"a": "b"}}, **content}
    return lambda api: api.patch(resource, KIND.name, patch, where, dry_run=True)


def refusal_of(lab: Lab, actor: Actor, act: Act) -> Callable[[], str]:
    return lambda: str(refusal(lambda: act(lab.as_actor(actor))) or "")


OWN = {"processor": "east", "epoch": "2"}
FENCE: list[tuple[str, Actor, Act, str]] = [
    ("a candidate makes itself the processor", EAST, fence(**OWN), ""),
    ("a candidate makes another the processor", EAST, fence(processor="west2", epoch="2"), "its own member.*east"),
    ("a candidate without a new term", EAST, fence(processor="east"), "raises data.epoch by one|needs a higher"),
    ("a candidate that skips a term", EAST, fence(processor="east", epoch="3"), "raises data.epoch by one, from 1"),
    ("a candidate with a term that is no number", EAST, fence(processor="east", epoch="2 "), "may not go back|by one"),
    ("the processor renews its term", WEST, fence(epoch="2"), "makes its own member the processor"),
    ("a candidate that names the writers", EAST, fence(**OWN, statusWriters="east"), "nothing of the ConfigMap but"),
    ("a candidate that names the candidates", EAST, fence(**OWN, failover="east"), "nothing of the ConfigMap but"),
    ("a candidate that ends failover", EAST, fence(**OWN, failover=None), "nothing of the ConfigMap but"),
    ("a candidate that adds a key", EAST, fence(**OWN, more="x"), "nothing of the ConfigMap but"),
    ("a candidate that marks it", EAST, marked(CONFIG_MAP, "tmc-system", data=OWN), "nothing of the ConfigMap but"),
    ("no candidate", NORTH, fence(processor="north", epoch="2"), "north is no candidate for a failover"),
    ("no candidate, with its name in the same write", NORTH,
     fence(processor="north", epoch="2", failover="west,east,north"), "north is no candidate"),
    ("a name with the same beginning", EAST2, fence(processor="east2", epoch="2"), "east2 is no candidate"),
    ("a candidate, of another kind", EAST, lambda api: api.patch(CONFIG_MAP, "gadgets.hub.lab.tmc.io",
     {"data": OWN}, "tmc-system", dry_run=True), "east is no candidate"),
    ("a ConfigMap of its own making", EAST, lambda api: api.create(CONFIG_MAP, {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "tmc-system"},
        "data": {"failover": "east", **OWN}}, dry_run=True), "no candidate"),
    ("a person, as ever", ALICE, fence(processor="north", epoch="2", failover=""), ""),
]  # fmt: skip


@pytest.mark.parametrize(("actor", "act", "denied"), [pytest.param(*row[1:], id=row[0]) for row in FENCE])
def test_the_first_write(lab: Lab, actor: Actor, act: Act, denied: str) -> None:
    check(refusal_of(lab, actor, act)(), denied)


@pytest.fixture(scope="module")
def begun(lab: Lab) -> Lab:
    """East has made the first write."""
    lab.as_actor(EAST).patch(CONFIG_MAP, KIND.name, {"data": OWN}, "tmc-system")
    seen = refusal_of(lab, ALICE, term(processor="east", epoch=2))
    eventually(lambda: not seen(), "the policies have seen the ConfigMap")
    return lab


def term(**spec: Any) -> Act:
    return lambda api: api.patch(SYNCED_RESOURCE, KIND.name, {"spec": spec}, dry_run=True)


TERM = {"processor": "east", "epoch": 2}
SECOND: list[tuple[str, Actor, Act, str]] = [
    ("it follows", EAST, term(**TERM), ""),
    ("another candidate completes it", WEST, term(**TERM), ""),
    ("no candidate", NORTH, term(**TERM), "does not change a SyncedResource"),
    ("another processor", EAST, term(processor="west", epoch=2), "must be those of ConfigMap"),
    ("another epoch", EAST, term(processor="east", epoch=3), "must be those of ConfigMap"),
    ("with another grace", EAST, term(**TERM, deletionGrace="9m"), "a higher epoch in a failover"),
    ("with other candidates", EAST, term(**TERM, failover={"candidates": ["east"]}), "a higher epoch in a failover"),
    ("without failover", EAST, term(**TERM, failover=None), "a higher epoch in a failover"),
    ("with writers", EAST, term(**TERM, statusWriters=["east"]), "a higher epoch in a failover"),
    ("with a label", EAST, marked(SYNCED_RESOURCE, "", spec=TERM), "a higher epoch in a failover"),
    ("no candidate makes itself one", NORTH, term(**TERM, failover={"candidates": ["north"]}), "does not change"),
]


@pytest.mark.parametrize(("actor", "act", "denied"), [pytest.param(*row[1:], id=row[0]) for row in SECOND])
def test_the_second_write(begun: Lab, actor: Actor, act: Act, denied: str) -> None:
    check(refusal_of(begun, actor, act)(), denied)


def told(kind: str) -> Act:
    def act(api: Client) -> Any:
        ready = {"type": "Ready", "status": "True", "reason": "Accepted", "message": "every member carries the kind"}
        more = {"type": kind, "status": "True", "reason": "ProcessorLost", "message": "x"}
        conditions = [{**one, "lastTransitionTime": "2026-01-01T00:00:00Z"} for one in (ready, more)]
        path = SYNCED_RESOURCE.path(name=KIND.name, subresource="status")
        body = {"status": {"conditions": conditions}}
        return api.request(
            "PATCH", path, params={"dryRun": "All"}, body=body, content_type="application/merge-patch+json"
        )

    return act


def test_only_a_candidate_tells_of_it(lab: Lab) -> None:
    check(refusal_of(lab, EAST, told("FailedOver"))(), "")
    check(refusal_of(lab, NORTH, told("FailedOver"))(), "FailedOver of a SyncedResource is written by")
    check(refusal_of(lab, EAST, told("Other"))(), "writes members and the condition Ready")


def check(said: str, denied: str) -> None:
    assert re.search(denied, said) if denied else not said, said or "let through"


def test_the_rights_are_those_of_the_candidates_alone(lab: Lab) -> None:
    """With nothing but the tokens of the syncers: by RBAC, before any policy is asked."""
    members = [*_fabric.hub_identity("east", "uid-of-east"), *_fabric.hub_identity("north", "uid-of-north")]
    _apply.carry_out(lab.admin, _apply.plan_present(lab.admin, [*members, *_failover.rights(KIND, ["west", "east"])]))
    east, north = (stolen(lab, name) for name in ("east", "north"))

    def answer(client: Client, method: str, path: str) -> int:
        error = refusal(lambda: client.request(method, path))
        return error.status if error else 200

    fence_path = CONFIG_MAP.path("tmc-system", KIND.name)
    eventually(lambda: answer(east, "GET", fence_path) == 200, "the rights of syncer-east are in force")
    assert answer(north, "GET", fence_path) == 403
    for client, other in ((north, KIND.name), (east, "gadgets.hub.lab.tmc.io")):
        for resource, where in ((CONFIG_MAP, "tmc-system"), (SYNCED_RESOURCE, "")):
            error = refusal(lambda r=resource, w=where, c=client, n=other: c.patch(r, n, {"data": {}}, w, dry_run=True))  # type: ignore[misc]
            assert error is not None
            assert "cannot patch resource" in str(error), error
    assert answer(east, "GET", CONFIG_MAP.path("tmc-system")) == 403
    assert answer(east, "DELETE", fence_path) == 403


def stolen(lab: Lab, member: str) -> Client:
    token = _tokens.request_token(lab.admin, _tokens.Wish("unused", "tmc-system", f"syncer-{member}", "kcp", 600))
    return Client(replace(lab.admin.connection, token=token, impersonate_user=None, impersonate_groups=()))
