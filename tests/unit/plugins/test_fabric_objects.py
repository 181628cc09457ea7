# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The objects that modules keep, against the manifests for kubectl and the wire contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _admission, _declare, _fabric, _failover, _policy

KIND = _admission.Kind("demo.tmc.io", "taskqueues")
EAST = _admission.Cluster("east", "uid-east")
NEVER = {"*", "escalate", "bind", "impersonate", "deletecollection"}


def documents(folder: Path) -> list[dict[str, Any]]:
    found = [doc for path in sorted(folder.glob("*.yaml")) for doc in yaml.safe_load_all(path.read_text()) if doc]
    return [doc for doc in found if doc["kind"] != "Kustomization"]


def test_the_member_manifest_holds_what_the_module_makes(repository: Path) -> None:
    found = documents(repository / "manifests" / "member")
    for wanted in _fabric.member_identity():
        assert wanted in found
    extra = [doc for doc in found if doc not in _fabric.member_identity()]
    assert [doc["kind"] for doc in extra] == ["ClusterRole"]


def test_no_right_is_wider_than_it_says(repository: Path) -> None:
    roles = [
        *documents(repository / "manifests" / "hub"),
        *documents(repository / "manifests" / "member"),
        *_fabric.hub_identity("east", "uid-east"),
        *_fabric.member_identity(),
        *_fabric.kind_rights("demo.tmc.io", "taskqueues", hub=True),
        *_fabric.kind_rights("demo.tmc.io", "taskqueues", hub=False),
        *_failover.rights(KIND, ["east"]),
    ]
    rules = [rule for role in roles if "Role" in role["kind"] for rule in role.get("rules", [])]
    assert rules
    for rule in rules:
        assert not NEVER & {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}, rule
        assert "secrets" not in rule["resources"]
        if "serviceaccounts/token" in rule["resources"]:
            assert rule["resourceNames"]


@pytest.mark.parametrize(("hub", "names"), [(True, ["tmc-copies", "tmc-syncers", "tmc-term"]), (False, ["tmc-copies"])])
def test_the_policies_of_a_kind(hub: bool, names: list[str]) -> None:
    built = _admission.policies(KIND, EAST, hub=hub)

    policies = [one for one in built if one["kind"] == "ValidatingAdmissionPolicy"]
    assert [one["metadata"]["name"] for one in policies] == [f"{name}.taskqueues.demo.tmc.io" for name in names]
    for policy in policies:
        assert policy["spec"]["failurePolicy"] == "Fail"
    bindings = [one for one in built if one["kind"].endswith("Binding")]
    assert [one["spec"]["policyName"] for one in bindings] == [one["metadata"]["name"] for one in policies]
    for binding in bindings:
        assert binding["spec"]["validationActions"] == ["Deny"]
        assert binding["spec"]["paramRef"] == {
            "name": "taskqueues.demo.tmc.io",
            "namespace": "tmc-system",
            "parameterNotFoundAction": "Deny",
        }


def every_policy(repository: Path) -> list[dict[str, Any]]:
    objects = [
        *documents(repository / "manifests" / "hub"),
        *_fabric.hub_identity("east", "uid-east"),
        *_admission.policies(KIND, EAST, hub=True),
        *_admission.policies(KIND, EAST, hub=False),
    ]
    return [one for one in objects if one["kind"] == "ValidatingAdmissionPolicy"]


def test_no_policy_has_a_parameter_that_a_restarted_server_does_not_know(repository: Path) -> None:
    kinds = [policy["spec"].get("paramKind") for policy in every_policy(repository)]
    assert len(kinds) == 9
    assert all(kind in (None, {"apiVersion": "v1", "kind": "ConfigMap"}) for kind in kinds)


def test_a_member_is_held_to_its_uid_before_it_is_let_in() -> None:
    made = [f"{one['kind']} {one['metadata']['name']}" for one in _fabric.hub_identity("east", "uid-east")]
    policies = [made.index(f"ValidatingAdmissionPolicyBinding tmc-{what}.east") for what in ("identity", "tombstones")]
    assert max(policies) < made.index("ServiceAccount syncer-east")


def test_a_uid_cannot_end_the_text_that_it_is_in() -> None:
    policies = _fabric.hub_identity("east", 'x" || true || "')
    (rule,) = policies[0]["spec"]["validations"]
    assert rule["expression"].endswith(r'== "x\" || true || \""')


def test_no_expression_needs_a_namespace_that_a_cluster_scoped_request_has_not(repository: Path) -> None:
    """The key is absent then, not empty: whoever reads it gets an error, and the user no message."""
    text = json.dumps(every_policy(repository)).replace("has(request.namespace) ? request.namespace", "")
    assert "request.namespace" not in text


def test_a_syncer_writes_no_events_on_the_hub(repository: Path) -> None:
    """It tells its own users, on its own cluster; on the hub it could pose as anybody."""
    (role,) = [d for d in documents(repository / "manifests" / "hub") if d["metadata"]["name"] == "tmc-syncer-hub"]
    assert not [rule for rule in role["rules"] if "events" in rule["resources"]]


def test_policies_depend_on_nothing_but_their_arguments() -> None:
    once, again = (json.dumps(_admission.policies(KIND, EAST, hub=True)) for _time in range(2))
    assert once == again


SPEC: dict[str, Any] = {"processor": "west", "epoch": 1, "statusWriters": []}
HEIRS = {"failover": {"candidates": ["west", "east"], "afterSeconds": 60}}


def test_a_failover_takes_two_rights_on_one_kind_for_the_candidates_alone() -> None:
    made = _failover.rights(KIND, ["west", "east"])
    rules = [rule for one in made for rule in one.get("rules", [])]
    assert {(rule["resources"][0], *rule["verbs"]) for rule in rules} == {
        ("configmaps", "get", "patch"),
        ("syncedresources", "patch"),
    }
    assert all(rule["resourceNames"] == [KIND.name] for rule in rules)
    for one in made:
        if "subjects" in one:
            assert [subject["name"] for subject in one["subjects"]] == ["syncer-west", "syncer-east"]


def test_without_failover_nothing_names_it() -> None:
    assert _failover.spec([], 60, None) == {}
    assert _failover.spec([], 60, {"spec": SPEC}) == {}
    assert _policy.parameters(KIND.name, SPEC)["data"] == {"processor": "west", "epoch": "1", "statusWriters": ""}


def test_a_failover_that_ends_is_taken_out_of_both() -> None:
    live = {"metadata": {"name": KIND.name, "labels": {}}, "spec": SPEC | HEIRS}
    fence = _policy.parameters(KIND.name, SPEC | HEIRS)
    assert fence["data"]["failover"] == "west,east"
    spec = SPEC | _failover.spec([], 60, live)
    first, second = _declare.due(KIND.name, live, fence, spec, hub=True)
    assert (first.after or {})["data"] == {"processor": "west", "epoch": "1", "statusWriters": "", "failover": ""}
    assert (second.after or {})["spec"] == SPEC | {"failover": None}
    assert _declare.due(KIND.name, {**live, "spec": SPEC}, first.after, SPEC, hub=True) == []
