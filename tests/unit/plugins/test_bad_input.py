# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Bad input of the modules: a clear error, and nothing is sent to any cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.certificates import kubeconfig, write
from tests.unit.plugins.running import run_module

K = "/nowhere/kubeconfig"
QUEUE = {"metadata": {"name": "a"}, "spec": {"region": "r", "tasks": [{"name": "t", "command": "c"}]}}
MEMBER = {"name": "east", "kubeconfig": K, "hub_kubeconfig": K}
SYNCED = {"kubeconfig": K, "cluster_name": "kcp", "role": "hub", "processor": "west"}
TOKEN = {"kubeconfig": K, "path": "/nowhere/x", "service_account": "s", "cluster_name": "west"}
CLUSTERS = [{"name": "east", "kubeconfig": K}, {"name": "west", "kubeconfig": K}]

ROWS: list[tuple[str, str, dict[str, Any], str]] = [
    ("name missing", "member", {"hub_kubeconfig": K}, "missing required arguments: name"),
    ("bad state", "member", {**MEMBER, "state": "exist"}, "value of state must be one of: present, absent, got: exist"),
    ("unknown option", "member", {**MEMBER, "kubconfig": K}, r"Unsupported parameters.*kubconfig.*kubeconfig"),
    ("capital and underscore", "member", {**MEMBER, "name": "East_1"},
     "name 'East_1' is invalid: use lower-case letters, digits and '-'"),
    ("dash at the end", "member", {**MEMBER, "name": "east-"}, "name 'east-' is invalid"),
    ("a way out of the folder", "member", {**MEMBER, "name": "../x"}, "name '../x' is invalid"),
    ("newline", "member", {**MEMBER, "name": "east\n"}, "is invalid"),
    ("too long", "member", {**MEMBER, "name": "a" * 64}, r"too long \(64\): at most 40"),
    ("one too long", "member", {**MEMBER, "name": "a" * 41}, r"too long \(41\): at most 40"),
    ("reserved hub", "member", {**MEMBER, "name": "hub"}, "name 'hub' is reserved"),
    ("reserved sync", "member", {**MEMBER, "name": "sync"}, "name 'sync' is reserved"),
    ("name of the hub", "member", {**MEMBER, "name": "kcp", "hub_name": "kcp"}, "name 'kcp' is reserved"),
    ("short token", "member", {**MEMBER, "token_lifetime": 60}, "token_lifetime is 60: it must be at least 600"),
    ("token of no number", "member", {**MEMBER, "token_lifetime": "abc"}, "token_lifetime.* unable to convert to int"),
    ("hub address", "member", {**MEMBER, "hub_server": "http://x"}, "hub_server: server 'http://x' must be an https"),
    ("no time for a request", "member", {**MEMBER, "request_timeout": 0}, "request_timeout is 0.*greater than 0"),
    ("both kubeconfigs", "member", {**MEMBER, "kubeconfig_content": "x"},
     "parameters are mutually exclusive: kubeconfig[|, ]+kubeconfig_content"),
    ("no such file", "member", MEMBER, "kubeconfig '/nowhere/kubeconfig' does not exist"),
    ("processor not in the fabric", "synced_resource", {**SYNCED, "processor": "north", "clusters": ["east", "west"]},
     "processor 'north' is not one of: east, west"),
    ("cluster not in the fabric", "synced_resource", {**SYNCED, "clusters": ["east", "west"]},
     "cluster_name 'kcp' is not one of: east, west"),
    ("no processor", "synced_resource", {**SYNCED, "processor": None}, "processor"),
    ("bad processor", "synced_resource", {**SYNCED, "processor": "We st"}, "processor 'We st' is invalid"),
    ("bad role", "synced_resource", {**SYNCED, "role": "spoke"}, "value of role must be one of: hub, member"),
    ("grace without a unit", "synced_resource", {**SYNCED, "deletion_grace": "5"}, "deletion_grace '5' is no duration"),
    ("a writer with a comma", "synced_resource", {**SYNCED, "status_writers": ["a,b"]}, "'a,b' is no user name"),
    ("a candidate that is no member", "synced_resource", {**SYNCED, "clusters": ["kcp", "west"],
     "failover_candidates": ["east"]}, "failover_candidates 'east' is not one of the members: west"),
    ("the hub as a candidate", "synced_resource", {**SYNCED, "failover_candidates": ["kcp"]},
     "failover_candidates 'kcp' is the hub: only members take over"),
    ("a candidate twice", "synced_resource", {**SYNCED, "failover_candidates": ["east", "east"]},
     "failover_candidates east, east: each member is named once"),
    ("a candidate without a name", "synced_resource", {**SYNCED, "failover_candidates": [""]},
     "failover_candidates '' is invalid"),
    ("many candidates", "synced_resource", {**SYNCED, "failover_candidates": [f"m{i}" for i in range(17)]},
     "failover_candidates names 17 members: at most 16"),
    ("a hasty failover", "synced_resource", {**SYNCED, "failover_after": 29}, "failover_after 29 is out of range: 30"),
    ("core group", "synced_resource", {**SYNCED, "group": "apps"}, "group 'apps' is no API group of a CRD"),
    ("capital resource", "synced_resource", {**SYNCED, "resource": "TaskQueue"}, "resource 'TaskQueue' is invalid"),
    ("short token alone", "service_account_kubeconfig", {**TOKEN, "token_lifetime": 1}, "at least 600 seconds"),
    ("one cluster", "status_compare", {"clusters": CLUSTERS[:1]}, "clusters has 1 entries: at least 2"),
    ("twice the same", "status_compare", {"clusters": [*CLUSTERS, CLUSTERS[0]]},
     r"clusters\[0\].name and clusters\[2\].name are both 'east'"),
    ("negative timeout", "status_compare", {"clusters": CLUSTERS, "timeout": -5}, "timeout is -5.*greater than 0"),
    ("no interval", "status_compare", {"clusters": CLUSTERS, "interval": 0}, "interval is 0.*greater than 0"),
    ("negative minimum", "status_compare", {"clusters": CLUSTERS, "min_objects": -1}, "min_objects is -1"),
    ("nothing to submit", "taskqueue", {"kubeconfig": K}, "one of the following is required: definition"),
    ("two sources", "taskqueue", {"kubeconfig": K, "definition": QUEUE, "names": ["a"]}, "mutually exclusive"),
    ("an empty list", "taskqueue", {"kubeconfig": K, "definitions": []}, "nothing to do"),
    ("template without count", "taskqueue", {"kubeconfig": K, "template": QUEUE}, "required together: template, count"),
    ("no count", "taskqueue", {"kubeconfig": K, "template": QUEUE, "count": 0}, "count is 0.*greater than 0"),
    ("the same name each time", "taskqueue", {"kubeconfig": K, "template": QUEUE, "count": 2}, r"put \{index\} into"),
    ("wait for ever", "taskqueue", {"kubeconfig": K, "definition": QUEUE, "wait_timeout": -1}, "wait_timeout is -1"),
    ("too many at once", "taskqueue", {"kubeconfig": K, "definition": QUEUE, "concurrency": 65}, "must be 1-64"),
    ("none at once", "taskqueue", {"kubeconfig": K, "definition": QUEUE, "concurrency": 0}, "concurrency is 0"),
    ("unknown phase", "taskqueue", {"kubeconfig": K, "definition": QUEUE, "wait_for": {"phase": ["Done"]}},
     "value of phase must be one or more of: Pending, Running, Completed, Failed"),
    ("names to submit", "taskqueue", {"kubeconfig": K, "names": ["a"]}, "names is for state absent"),
    ("bad name to remove", "taskqueue", {"kubeconfig": K, "names": ["A b"], "state": "absent"}, "'A b' is no name"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "arguments", "message"), [pytest.param(m, a, t, id=f"{m}-{title}") for title, m, a, t in ROWS]
)
def test_refused(monkeypatch: pytest.MonkeyPatch, module: str, arguments: dict[str, Any], message: str) -> None:
    ended = run_module(monkeypatch, module, **arguments)

    assert ended.failed
    assert re.search(message, ended.result["msg"]), ended.result["msg"]
    assert not ended.result.get("changed")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Deployment\n---\nkind: ConfigMap\n", "expected TaskQueue documents, got Deployment, ConfigMap"),
        ("", "expected TaskQueue documents, got nothing"),
        ("- a\n", "expected TaskQueue documents, got list"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_of_something_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "queues.yaml"
    path.write_text(text)

    ended = run_module(monkeypatch, "taskqueue", kubeconfig=K, src=str(path))

    assert ended.failed
    assert re.search(message, ended.result["msg"]), ended.result["msg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: \xff", "cannot read manifests from .*codec can't decode"),
        (b"a: [", "cannot read manifests from"),
        (b"- a", "a document without apiVersion, kind and metadata.name"),
        (b"{apiVersion: v1, kind: ConfigMap, metadata: x}", "a document without apiVersion, kind and metadata.name"),
        (b"{kind: ConfigMap, metadata: {name: x}}", "a document without apiVersion, kind and metadata.name"),
        (b"{apiVersion: 1, kind: ConfigMap, metadata: {name: x}}", "a document without apiVersion, kind and"),
    ],
)
def test_a_file_of_no_manifests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(text)

    ended = run_module(monkeypatch, "manifests", kubeconfig=K, files=[str(path)])

    assert ended.failed
    assert re.search(message, ended.result["msg"]), ended.result["msg"]


@pytest.mark.parametrize("lease", ["taskqueue-controller", "a/b/c", "/b", "a/"])
def test_a_lease_has_a_namespace_and_a_name(monkeypatch: pytest.MonkeyPatch, lease: str) -> None:
    ended = run_module(monkeypatch, "fabric_info", hub="kcp", clusters={"kcp": K}, lease=lease)

    assert ended.failed
    assert f"option lease '{lease}' must be NAMESPACE/NAME" in ended.result["msg"]


@pytest.mark.parametrize("module", ["member", "synced_resource", "taskqueue", "service_account_kubeconfig"])
def test_check_mode_from_nothing_predicts_a_change(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    arguments: dict[str, Any] = {
        "member": MEMBER,
        "synced_resource": SYNCED,
        "taskqueue": {"kubeconfig": K, "definition": QUEUE},
        "service_account_kubeconfig": TOKEN,
    }

    ended = run_module(monkeypatch, module, **arguments[module], _ansible_check_mode=True)

    assert not ended.failed
    assert ended.result["changed"]


@pytest.mark.parametrize("hub", ["missing", "dead"])
@pytest.mark.parametrize("check", [True, False])
def test_nobody_leaves_without_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub: str, check: bool) -> None:
    path = str(write(tmp_path, kubeconfig(server="https://127.0.0.1:9")))
    said = {"missing": "'/nowhere/kubeconfig' does not exist", "dead": "'kind-east' does not answer"}
    arguments = {**MEMBER, "state": "absent", "kubeconfig": path, "hub_kubeconfig": path if hub == "dead" else K}

    ended = run_module(monkeypatch, "member", **arguments, _ansible_check_mode=check)

    assert ended.failed
    assert said[hub] in ended.result["msg"]
    assert "'east' cannot leave" in ended.result["msg"]


def test_a_dead_cluster_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path, kubeconfig(server="https://127.0.0.1:9"))

    ended = run_module(monkeypatch, "taskqueue", kubeconfig=str(path), definition=QUEUE)

    assert ended.failed
    assert "cluster 'kind-east' does not answer at https://127.0.0.1:9" in ended.result["msg"]


@pytest.mark.parametrize("module", ["status_compare", "taskqueue"])
def test_the_environment_lets_a_program_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login"}}
    path = str(write(tmp_path, {**kubeconfig(), "users": [{"name": "u", "user": user}]}))
    clusters = [{"name": name, "kubeconfig": path} for name in ("east", "west")]
    arguments: dict[str, Any] = {
        "status_compare": {"clusters": clusters},
        "taskqueue": {"kubeconfig": path, "definition": QUEUE},
    }
    assert "set allow_exec to true" in run_module(monkeypatch, module, **arguments[module]).result["msg"]

    monkeypatch.setenv("K8S_AUTH_ALLOW_EXEC", "true")
    said = run_module(monkeypatch, module, **arguments[module]).result["msg"]

    assert "user 'u': program 'no-such-login' gave no credentials" in said


def test_secrets_do_not_come_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    canary = "canary-4711"
    document = kubeconfig(server="https://127.0.0.1:9")
    document["users"][0]["user"]["token"] = canary

    for arguments in (
        {"kubeconfig_content": document},
        {"kubeconfig": str(write(tmp_path, document))},
        {"host": "https://127.0.0.1:9", "api_key": canary},
        {"host": "https://127.0.0.1:9", "username": "u", "password": canary},
    ):
        ended = run_module(monkeypatch, "taskqueue", definition=QUEUE, _ansible_verbosity=4, **arguments)
        assert ended.failed
        assert canary not in str(ended.result)
