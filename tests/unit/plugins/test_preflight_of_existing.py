# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What speaks against making a fabric of clusters that exist already."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _reach, _rights, _strangers
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Connection
from tests.unit.plugins.certificates import kubeconfig, write
from tests.unit.plugins.fakeserver import client, status
from tests.unit.plugins.running import run_module

KINDS = [("demo.tmc.io", "taskqueues")]


def test_every_cluster_with_a_proxy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = str(write(tmp_path, kubeconfig(**{"proxy-url": "http://10.0.0.9:3128"})))
    clusters = [{"name": name, "kubeconfig": path} for name in ("kcp", "east")]

    ended = run_module(monkeypatch, "fabric_preflight", hub="kcp", clusters=clusters)

    assert ended.failed
    for name in ("kcp", "east"):
        assert f"'{name}': kubeconfig '{path}': the cluster has a proxy-url" in ended.result["msg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: \xff", "cannot read .*codec can't decode"),
        (b"kind: CustomResourceDefinition", "without apiVersion, kind and metadata.name"),
        (b"- a", "without apiVersion, kind and metadata.name"),
        (
            b"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}}",
            "a.yaml'.*CustomResourceDefinition a without spec.group and spec.names.plural",
        ),
    ],
)
def test_a_file_of_no_definitions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(text)

    ended = run_module(monkeypatch, "fabric_preflight", hub="kcp", clusters=[], definitions=[str(path)])

    assert ended.failed
    assert re.search(message, ended.result["msg"]), ended.result["msg"]


def reviewer(*denied: str) -> Any:
    """A server that says no to these: ``verb resource``, or ``*`` for the right to everything."""

    def answer(_method: str, _path: str, body: Any) -> Any:
        asked = body["spec"]["resourceAttributes"]
        name = "/".join(asked[key] for key in ("resource", "subresource") if asked.get(key))
        what = "*" if asked["verb"] == "*" else f"{asked['verb']} {name}"
        return 201, {"status": {"allowed": what not in denied}}

    return client(answer)


def test_an_administrator_is_asked_once() -> None:
    server, pool = reviewer()
    assert _rights.lacking(server, KINDS, deployments=True) == []
    assert len(pool.requests) == 1


def test_everything_that_is_missing_is_told_by_resource() -> None:
    server, _pool = reviewer(
        "*", "delete leases", "create clusterroles", "patch clusterroles", "create serviceaccounts/token"
    )
    missing = _rights.lacking(server, KINDS, deployments=False)
    assert _rights.summary(missing) == (
        "create serviceaccounts/token; delete leases.coordination.k8s.io; "
        "create, patch clusterroles.rbac.authorization.k8s.io"
    )


def test_deployments_take_more() -> None:
    server, _pool = reviewer("*", "create deployments")
    assert _rights.lacking(server, KINDS, deployments=False) == []
    assert "create deployments.apps" in _rights.summary(_rights.lacking(server, KINDS, deployments=True))


def test_who_may_not_escalate_must_have_what_is_given() -> None:
    server, _pool = reviewer("*", "escalate clusterroles", "update taskqueues/status")
    assert _rights.summary(_rights.lacking(server, KINDS, deployments=False)) == "update taskqueues/status.demo.tmc.io"
    server, _pool = reviewer("*", "update taskqueues/status")
    assert _rights.lacking(server, KINDS, deployments=False) == []


def cluster(*, members: dict[str, str] | None = None, hub_uid: str = "") -> Client:
    def answer(_method: str, path: str, _body: Any) -> Any:
        if "/members" in path and members is not None:
            found = [{"metadata": {"name": name}, "spec": {"clusterUID": uid}} for name, uid in members.items()]
            return 200, {"items": found}
        if "/syncedresources" in path and hub_uid:
            return 200, {"items": [{"metadata": {"name": "x", "annotations": {"tmc.io/hub-uid": hub_uid}}}]}
        return status(404, "NotFound")

    return client(answer)[0]


@pytest.mark.parametrize(
    ("hub", "said"),
    [
        (cluster(), ""),
        (cluster(members={"east": "e"}), ""),
        (cluster(members={"east": "other"}), "Member east on hub 'kcp' is the cluster with uid other"),
        (cluster(members={"ohio": "e"}), "'east' has joined hub 'kcp' as 'ohio' already"),
        (cluster(hub_uid="another"), "'kcp' is a member of another fabric, whose hub has the uid another"),
    ],
)
def test_a_hub_of_other_clusters(hub: Client, said: str) -> None:
    problems = list(_strangers.on_hub(hub, "kcp", {"east": "e", "west": "w"}))
    assert len(problems) == (1 if said else 0)
    assert said in " ".join(problems)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (cluster(), ""),
        (cluster(hub_uid="h"), ""),
        (cluster(members={}), ""),
        (cluster(hub_uid="another"), "member of the fabric whose hub has the uid another"),
        (cluster(members={"ohio": "o"}), "'east' is the hub of a fabric itself, of ohio"),
    ],
)
def test_a_member_of_another_hub(member: Client, said: str) -> None:
    problems = list(_strangers.on_member(member, "east", "h"))
    assert len(problems) == (1 if said else 0)
    assert said in " ".join(problems)


@pytest.mark.parametrize(
    ("crd", "problems"),
    [
        ({"spec": {"group": "demo.tmc.io", "more": 1}}, 0),
        ({"spec": {"group": "other"}}, 1),
        ({"spec": {"group": "other"}, "managedFields": [{"manager": "tmc-collection"}]}, 0),
    ],
)
def test_a_definition_of_somebody_else(crd: dict[str, Any], problems: int) -> None:
    live = {"metadata": {"name": "t.demo.tmc.io", "managedFields": crd.get("managedFields", [])}, "spec": crd["spec"]}
    server, _pool = client(lambda *_request: (200, live))
    wanted = {"metadata": {"name": "t.demo.tmc.io"}, "spec": {"group": "demo.tmc.io"}}
    assert len(list(_strangers.definitions(server, "east", [wanted]))) == problems


@pytest.mark.parametrize("inside", ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"])
def test_an_address_of_this_machine_is_none_for_pods(inside: str) -> None:
    problem = _reach.problem_inside(Connection("https://127.0.0.1:6443"), inside)
    assert problem
    assert "set cluster_server_inside" in problem
