# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The modules against real API servers: everything twice, check mode, and what they refuse."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _fabric, _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    BY_KIND,
    MEMBER,
    POLICY,
    POLICY_BINDING,
    SERVICE_ACCOUNT,
    SYNCED_RESOURCE,
    TASK_QUEUE,
)
from tests.integration.admission_lab import eventually
from tests.integration.module_pair import Pair, lets_list, queue, versions

# -- member -------------------------------------------------------------------------------------------------------


def test_check_mode_of_joining_writes_nothing(pair: Pair) -> None:
    before = versions(pair.hub, *BY_KIND.values()), versions(pair.member, SERVICE_ACCOUNT)

    assert pair.run("member", **pair.join(), _ansible_check_mode=True)["changed"]

    assert (versions(pair.hub, *BY_KIND.values()), versions(pair.member, SERVICE_ACCOUNT)) == before
    assert list(pair.folder.iterdir()) == []


def test_join_use_and_leave(pair: Pair) -> None:
    joined = pair.run("member", **pair.join())
    assert joined["changed"]
    assert sorted(joined["credentials"]["renewed"]) == ["hub", "local"]

    again = pair.run("member", **pair.join())
    assert not again["changed"], again

    assert pair.hub.get(POLICY, "tmc-identity.west")
    assert pair.hub.get(POLICY_BINDING, "tmc-tombstones.west")
    for side, kind in (("hub", MEMBER), ("local", SYNCED_RESOURCE)):
        syncer = Client(_kubeconfig.load_file(joined["credentials"][side]))
        eventually(partial(lets_list, syncer, kind), f"{side} lets in")

    assert pair.run("member", **pair.join(state="absent"), _ansible_check_mode=True)["changed"]
    assert pair.run("member", **pair.join(state="absent"))["changed"]
    assert not pair.run("member", **pair.join(state="absent"))["changed"]
    assert pair.hub.get(MEMBER, "west") is None
    assert pair.hub.get(SERVICE_ACCOUNT, "syncer-west", "tmc-system") is None
    for kind in (POLICY, POLICY_BINDING):
        assert [one for one in pair.hub.list(kind) if one["metadata"]["name"].endswith(".west")] == []
    assert list((pair.folder / "credentials").iterdir()) == []


def test_the_hub_cannot_join_itself(pair: Pair) -> None:
    refused = pair.fail("member", **pair.join(kubeconfig=pair.hub_file))
    assert "hub and 'west' are the same cluster (kube-system uid " in refused["msg"]


def test_a_name_belongs_to_one_cluster_and_a_cluster_has_one_name(pair: Pair) -> None:
    metadata = {"name": "taken", "labels": {"app.kubernetes.io/managed-by": "tmc.cross_cluster"}}
    stranger = {"apiVersion": MEMBER.api_version, "kind": "Member", "metadata": metadata, "spec": {"clusterUID": "x"}}
    made = pair.hub.create(MEMBER, stranger)
    pair.run("member", **pair.join())

    assert (
        "Member taken on hub 'throwaway' is the cluster with uid x"
        in pair.fail("member", **pair.join(name="taken"))["msg"]
    )
    assert "has joined as 'west' already" in pair.fail("member", **pair.join(name="second"))["msg"]
    assert "so it is not removed" in pair.fail("member", **pair.join(name="taken", state="absent"))["msg"]
    assert pair.hub.get(MEMBER, "second") is None

    pair.hub.delete(MEMBER, "taken", uid=made["metadata"]["uid"])
    pair.run("member", **pair.join(state="absent"))


def test_a_member_that_is_gone_leaves_by_force(pair: Pair, tmp_path: Path) -> None:
    pair.run("member", **pair.join())
    document = yaml.safe_load(Path(pair.member_file).read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    dead = tmp_path / "dead"
    dead.write_text(json.dumps(document))
    dead.chmod(0o600)

    refused = pair.fail("member", **pair.join(state="absent", kubeconfig=str(dead)))
    assert "does not answer" in refused["msg"]
    assert "set force to true" in refused["msg"]
    assert pair.run("member", **pair.join(state="absent", kubeconfig=str(dead), force=True))["changed"]
    assert pair.hub.get(MEMBER, "west") is None
    nowhere = pair.join(state="absent", kubeconfig=str(tmp_path / "nowhere"))
    assert "does not exist" in pair.fail("member", **nowhere)["msg"]
    assert not pair.run("member", **nowhere, force=True)["changed"]
    pair.run("member", **pair.join(state="absent"))


def test_a_missing_right_changes_nothing(pair: Pair) -> None:
    before = versions(pair.hub, *BY_KIND.values())
    reader = pair.join(impersonate_user="bob", impersonate_groups=["system:authenticated"])

    message = pair.fail("member", **reader)["msg"]

    assert 'User "bob" cannot get resource "namespaces"' in message
    assert "'throwaway' refuses" in message
    assert versions(pair.hub, *BY_KIND.values()) == before


# -- taskqueue ----------------------------------------------------------------------------------------------------


def test_submit_change_and_remove(pair: Pair) -> None:
    where = {"kubeconfig": pair.member_file}
    assert pair.run("taskqueue", **where, definition=queue("one"), _ansible_check_mode=True)["counts"] == {"created": 1}
    assert pair.member.get(TASK_QUEUE, "one", "default") is None

    made = pair.run("taskqueue", **where, definition=queue("one", priority="high"), _ansible_diff=True)
    assert (made["counts"], made["result"]["spec"]["priority"]) == ({"created": 1}, "high")
    assert made["diff"]["after"]["default/one"]["spec"]["priority"] == "high"
    before = versions(pair.member, TASK_QUEUE)
    assert pair.run("taskqueue", **where, definition=queue("one", priority="high"))["counts"] == {"unchanged": 1}
    assert versions(pair.member, TASK_QUEUE) == before

    back = pair.run("taskqueue", **where, definition=queue("one"), _ansible_check_mode=True)
    assert (back["counts"], versions(pair.member, TASK_QUEUE)) == ({"updated": 1}, before)
    back = pair.run("taskqueue", **where, definition=queue("one"))
    assert (back["counts"], back["result"]["spec"]["priority"]) == ({"updated": 1}, "normal")
    assert pair.run("taskqueue", **where, definition=queue("one"))["counts"] == {"unchanged": 1}

    gone = pair.run("taskqueue", **where, names=["one", "none"], state="absent", wait=True)
    assert [item["action"] for item in gone["results"]] == ["deleted", "absent"]
    assert not pair.run("taskqueue", **where, names=["one"], state="absent")["changed"]


def test_many_at_once(pair: Pair) -> None:
    template = {**queue("many-{index:03d}"), "spec": {"region": "r", "tasks": [{"name": "t", "command": "c {index}"}]}}
    many = {"kubeconfig": pair.member_file, "template": template, "count": 40}

    assert pair.run("taskqueue", **many)["counts"] == {"created": 40}
    assert pair.run("taskqueue", **many)["counts"] == {"unchanged": 40}
    assert pair.member.get(TASK_QUEUE, "many-017", "default")["spec"]["tasks"][0]["command"] == "c 17"  # type: ignore[index]
    assert pair.run("taskqueue", **many, state="absent", wait=True)["counts"] == {"deleted": 40}
    assert pair.member.list(TASK_QUEUE) == []


def test_one_bad_item_among_many_changes_nothing(pair: Pair) -> None:
    items = [queue("good"), queue("bad", parallelism=0)]

    refused = pair.fail("taskqueue", kubeconfig=pair.member_file, definitions=items)

    assert "nothing was submitted" in refused["msg"]
    assert "default/bad: spec.parallelism: 0 must be an integer 1-100" in refused["msg"]
    assert pair.member.list(TASK_QUEUE) == []


def test_what_the_server_refuses_is_told_item_by_item(pair: Pair) -> None:
    lost = {**queue("lost"), "metadata": {"name": "lost", "namespace": "nowhere"}}
    both = {"kubeconfig": pair.member_file, "definitions": [lost, queue("fine")]}

    refused = pair.fail("taskqueue", **both)

    assert "1 of 2 TaskQueues failed:\nnowhere/lost: " in refused["msg"]
    assert 'namespaces "nowhere" not found' in refused["failures"][0]["error"]
    assert [item["action"] for item in refused["results"]] == ["failed", "created"]
    lenient = pair.run("taskqueue", **both, continue_on_error=True)
    assert [item["action"] for item in lenient["results"]] == ["failed", "unchanged"]
    pair.run("taskqueue", kubeconfig=pair.member_file, names=["fine"], state="absent")


def test_waiting_in_vain_says_what_it_waited_for(pair: Pair) -> None:
    late = {"kubeconfig": pair.member_file, "definition": queue("late"), "wait": True, "wait_timeout": 0.2}

    assert "phase any; it is not set; is the controller running?" in pair.fail("taskqueue", **late)["msg"]
    status = {
        "phase": "Running",
        "epoch": 1,
        "observedSpecHash": "x",
        "totalTasks": 1,
        "completedTasks": 0,
        "failedTasks": 0,
    }
    path = TASK_QUEUE.path("default", "late", "status")
    pair.member.request("PATCH", path, body={"status": status}, content_type="application/merge-patch+json")
    assert pair.run("taskqueue", **late, wait_for={"phase": ["Running"]})["results"][0]["phase"] == "Running"
    assert "phase Completed; it is Running" in pair.fail("taskqueue", **late, wait_for={"phase": ["Completed"]})["msg"]

    info = pair.run("taskqueue_info", kubeconfig=pair.member_file, phases=["Running"])
    assert [one["name"] for one in info["taskqueues"]] == ["late"]
    assert pair.run("taskqueue_info", kubeconfig=pair.member_file, phases=["Failed"])["taskqueues"] == []
    pair.run("taskqueue", kubeconfig=pair.member_file, names=["late"], state="absent")


# -- status_compare -----------------------------------------------------------------------------------------------


def test_clusters_that_agree_and_that_do_not(pair: Pair) -> None:
    clusters = [{"name": "kcp", "kubeconfig": pair.hub_file}, {"name": "west", "kubeconfig": pair.member_file}]
    look = {"clusters": clusters, "timeout": 0.3, "interval": 0.1}
    assert "0 objects found, at least 1 expected" in pair.fail("status_compare", **look)["msg"]
    assert pair.run("status_compare", **look, min_objects=0)["consistent"]

    made = pair.run("taskqueue", kubeconfig=pair.member_file, definition=queue("same"))
    missing = pair.fail("status_compare", **look)
    assert missing["differences"][0]["values"] == {"kcp": "(absent)", "west": "present"}
    assert "default/same  object  (absent)  present" in missing["msg"]

    copy = queue("same", priority="low")
    copy["metadata"]["annotations"] = {"tmc.io/origin-uid": made["results"][0]["uid"]}
    pair.run("taskqueue", kubeconfig=pair.hub_file, definition=copy)
    differ = pair.run("status_compare", **look, fail_on_difference=False)
    assert (differ["consistent"], [one["field"] for one in differ["differences"]]) == (False, ["spec.priority"])
    assert differ["lag_seconds"] is None

    pair.run("taskqueue", kubeconfig=pair.member_file, definition=queue("same", priority="low"))
    agreed = pair.run("status_compare", **look, names=["same"])
    assert (agreed["consistent"], agreed["objects"], agreed["differences"]) == (True, 1, [])
    assert "on no cluster: other" in pair.fail("status_compare", **look, names=["same", "other"])["msg"]
    for kubeconfig in (pair.hub_file, pair.member_file):
        pair.run("taskqueue", kubeconfig=kubeconfig, names=["same"], state="absent")


def test_a_cluster_that_does_not_answer_is_no_agreement(pair: Pair, tmp_path: Path) -> None:
    document = yaml.safe_load(Path(pair.member_file).read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    dead = tmp_path / "dead"
    dead.write_text(json.dumps(document))
    dead.chmod(0o600)
    clusters = [{"name": "kcp", "kubeconfig": pair.hub_file}, {"name": "gone", "kubeconfig": str(dead)}]

    refused = pair.fail("status_compare", clusters=clusters, timeout=0.1, min_objects=0)

    assert "gone: cluster 'throwaway' does not answer" in refused["msg"]
    assert not refused["clusters"]["gone"]["reachable"]


# -- service_account_kubeconfig -----------------------------------------------------------------------------------


def test_a_kubeconfig_for_an_account(pair: Pair) -> None:
    path = str(pair.folder / "credentials" / "controller.kubeconfig")
    wanted = {"kubeconfig": pair.member_file, "path": path, "service_account": "reader", "cluster_name": "west"}
    account = _fabric.service_account("reader", "default")
    pair.member.patch(SERVICE_ACCOUNT, "reader", account, "default", content_type=APPLY_PATCH)

    assert pair.run("service_account_kubeconfig", **wanted)["changed"]
    assert not pair.run("service_account_kubeconfig", **wanted)["changed"]
    with pytest.raises(TmcError, match="system:serviceaccount:default:reader"):
        Client(_kubeconfig.load_file(path)).request("GET", "/api/v1/secrets")
    assert pair.run("service_account_kubeconfig", **wanted, state="absent")["changed"]
    missing = pair.fail("service_account_kubeconfig", **{**wanted, "service_account": "nobody"})
    assert "ServiceAccount default/nobody does not exist on 'throwaway'" in missing["msg"]
