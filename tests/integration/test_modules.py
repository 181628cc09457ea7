"""The modules against real API servers: everything twice, check mode, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _fabric, _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    BY_KIND,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    MEMBER,
    NAMESPACE,
    POLICY,
    POLICY_BINDING,
    SERVICE_ACCOUNT,
    SYNCED_RESOURCE,
    TASK_QUEUE,
    Resource,
)
from tests.integration.admission_lab import eventually, refusal
from tests.integration.conftest import free_ports
from tests.integration.throwaway_plane import Plane, throwaway_plane
from tests.unit.plugins.running import run_module
from tmc.validate.judgement.check import BROKEN_POLICY

KINDS = {**BY_KIND, "Namespace": NAMESPACE, "CustomResourceDefinition": CUSTOM_RESOURCE_DEFINITION}


class Pair:
    """A hub and a member with the fabric's manifests, and the modules run against them."""

    def __init__(self, hub: Path, member: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub_file, self.member_file, self.folder = str(hub), str(member), folder
        self.hub, self.member = (Client(_kubeconfig.load_file(path)) for path in (self.hub_file, self.member_file))
        self._monkeypatch = monkeypatch

    def run(self, module: str, /, **arguments: Any) -> dict[str, Any]:
        ended = run_module(self._monkeypatch, module, **arguments)
        assert not ended.failed, ended.result["msg"]
        return ended.result

    def fail(self, module: str, /, **arguments: Any) -> dict[str, Any]:
        ended = run_module(self._monkeypatch, module, **arguments)
        assert ended.failed, ended.result
        return ended.result

    def join(self, **changes: Any) -> dict[str, Any]:
        arguments = {"name": "west", "kubeconfig": self.member_file, "hub_kubeconfig": self.hub_file, "hub_name": "kcp"}
        return {**arguments, "credentials_dir": str(self.folder / "credentials"), **changes}

    def declare(self, **changes: Any) -> dict[str, Any]:
        return {"kubeconfig": self.hub_file, "cluster_name": "kcp", "role": "hub", "processor": "west", **changes}


@pytest.fixture(scope="module")
def hub_plane(binaries: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    client, peer, secure = free_ports(3)
    with throwaway_plane(binaries, tmp_path_factory.mktemp("hub"), (client, peer, secure)) as running:
        install(running.kubeconfig, repository / "manifests", "fabric", "taskqueue", "hub")
        yield running


@pytest.fixture(scope="module")
def member_plane(binaries: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    client, peer, secure = free_ports(3)
    with throwaway_plane(binaries, tmp_path_factory.mktemp("member"), (client, peer, secure)) as running:
        install(running.kubeconfig, repository / "manifests", "fabric", "taskqueue", "member")
        yield running


@pytest.fixture
def pair(hub_plane: Plane, member_plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    return Pair(hub_plane.kubeconfig, member_plane.kubeconfig, tmp_path, monkeypatch)


def install(kubeconfig: Path, manifests: Path, *folders: str) -> None:
    """As `kubectl apply --server-side -f` does it, and until the kinds are served."""
    client = Client(_kubeconfig.load_file(str(kubeconfig)))
    paths = [path for folder in folders for path in sorted((manifests / folder).glob("*.yaml"))]
    objects = [obj for path in paths for obj in yaml.safe_load_all(path.read_text()) if obj]
    for obj in sorted(objects, key=lambda obj: obj["kind"] != "Namespace"):
        metadata = obj["metadata"]
        place = metadata.get("namespace", "")
        client.patch(KINDS[obj["kind"]], metadata["name"], obj, place, content_type=APPLY_PATCH, strict=True)
    for kind in (MEMBER, SYNCED_RESOURCE, TASK_QUEUE):
        eventually(partial(lets_list, client, kind), f"{kind.name} is served")


def lets_list(client: Client, kind: Resource) -> bool:
    return refusal(lambda: client.list(kind)) is None


def versions(client: Client, *kinds: Resource) -> dict[str, str]:
    """Every object of these kinds by its resourceVersion: a snapshot that any write changes."""
    return {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for kind in kinds for obj in client.list(kind)}


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


# -- synced_resource ----------------------------------------------------------------------------------------------


def test_declare_move_and_withdraw(pair: Pair) -> None:
    assert pair.run("synced_resource", **pair.declare(), _ansible_check_mode=True)["changed"]
    assert pair.hub.list(SYNCED_RESOURCE) == []

    declared = pair.run("synced_resource", **pair.declare())
    assert declared["changed"]
    assert (declared["epoch"], declared["kind"]["has_status"], declared["kind"]["namespaced"]) == (1, True, True)
    assert not pair.run("synced_resource", **pair.declare())["changed"]

    moved = pair.run("synced_resource", **pair.declare(processor="east"))
    assert (moved["changed"], moved["epoch"], moved["spec"]["processor"]) == (True, 2, "east")
    assert moved["objects"] == BOTH
    assert fence(pair.hub) == {"processor": "east", "epoch": "2", "statusWriters": ""}
    writers = pair.run("synced_resource", **pair.declare(processor="east", status_writers=["alice", "bob"]))
    assert (writers["changed"], writers["epoch"]) == (True, 2)
    assert fence(pair.hub) == {"processor": "east", "epoch": "2", "statusWriters": "alice,bob"}

    gone = pair.run("synced_resource", **pair.declare(state="absent"))
    order = [one.split()[1] for one in gone["objects"]]
    assert order.index("ConfigMap") > max(n for n, kind in enumerate(order) if kind == POLICY.kind)
    assert not pair.run("synced_resource", **pair.declare(state="absent"))["changed"]
    assert [one for one in pair.hub.list(POLICY) if "taskqueues" in one["metadata"]["name"]] == []
    assert fence(pair.hub) == {}


KIND = "taskqueues.demo.tmc.io"
BOTH = [f"patch ConfigMap tmc-system/{KIND}", f"patch SyncedResource {KIND}"]


def fence(client: Client) -> dict[str, str]:
    return (client.get(CONFIG_MAP, KIND, "tmc-system") or {}).get("data", {})


def move_fence(client: Client, processor: str, epoch: str) -> None:
    client.patch(CONFIG_MAP, KIND, {"data": {"processor": processor, "epoch": epoch}}, "tmc-system")


@pytest.fixture
def declared(pair: Pair) -> Iterator[Pair]:
    """A hub on which west works on the kind, in its first term."""
    pair.run("synced_resource", **pair.declare())
    yield pair
    withdraw(pair, pair.hub)


def withdraw(pair: Pair, client: Client, **there: Any) -> None:
    """Until admission, which follows the API server's own watch a little late, has let go of the kind."""
    pair.run("synced_resource", **pair.declare(**there, state="absent"))
    eventually(lambda: creation_refused(client) == "", "the kind is nobody's any more")


def creation_refused(client: Client, **metadata: Any) -> str:
    """What the API server says against a TaskQueue, in a dry run; empty when it would take it."""
    made = {"apiVersion": TASK_QUEUE.api_version, "kind": "TaskQueue", **queue("any")}
    made["metadata"] |= {"namespace": "default", **metadata}
    return str(refusal(lambda: client.create(TASK_QUEUE, made, dry_run=True)) or "")


def test_moving_is_predicted(declared: Pair) -> None:
    look = declared.run(
        "synced_resource", **declared.declare(processor="east"), _ansible_check_mode=True, _ansible_diff=True
    )
    assert look["objects"] == BOTH
    assert look["diff"]["after"][f"ConfigMap tmc-system/{KIND}"]["data"]["processor"] == "east"
    assert fence(declared.hub) == {"processor": "west", "epoch": "1", "statusWriters": ""}


def test_an_interrupted_move_is_completed_with_the_epoch_that_it_began(declared: Pair) -> None:
    move_fence(declared.hub, "east", "2")

    completed = declared.run("synced_resource", **declared.declare(processor="east"))

    assert (completed["epoch"], completed["objects"]) == (2, BOTH[1:])
    assert not declared.run("synced_resource", **declared.declare(processor="east"))["changed"]


def test_an_interrupted_move_that_is_taken_back_is_a_term_of_its_own(declared: Pair) -> None:
    move_fence(declared.hub, "east", "2")
    assert declared.run("synced_resource", **declared.declare())["epoch"] == 3
    assert fence(declared.hub)["epoch"] == "3"


def test_a_lost_fence_is_made_again_in_the_same_term(declared: Pair) -> None:
    declared.run("synced_resource", **declared.declare(processor="east"))
    live = declared.hub.get(CONFIG_MAP, KIND, "tmc-system") or {}
    declared.hub.delete(CONFIG_MAP, KIND, "tmc-system", uid=live["metadata"]["uid"])

    again = declared.run("synced_resource", **declared.declare(processor="east"))

    assert (again["objects"], fence(declared.hub)["epoch"]) == ([f"create ConfigMap tmc-system/{KIND}"], "2")


def test_another_move_meanwhile_is_seen(declared: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, others = Client.patch, iter([("north", "2"), ("south", "3")])

    def overtaken(client: Client, resource: Resource, *arguments: Any, **options: Any) -> Any:
        other = next(others, None) if resource in (CONFIG_MAP, SYNCED_RESOURCE) else None
        if other:
            data = {"processor": other[0], "epoch": other[1]}
            patch(client, CONFIG_MAP, KIND, {"data": data}, "tmc-system")
        return patch(client, resource, *arguments, **options)

    monkeypatch.setattr(Client, "patch", overtaken)

    assert declared.run("synced_resource", **declared.declare(processor="east"))["epoch"] == 4
    assert fence(declared.hub)["processor"] == "east"


def test_a_kind_that_was_withdrawn_and_is_declared_anew_is_judged_by_its_new_parameters(declared: Pair) -> None:
    """The API server must not have stopped to watch ConfigMaps when the kind's policies went (parameters.yaml)."""
    forged = {"labels": {"tmc.io/origin": "east"}}
    eventually(lambda: "belong to the fabric" in creation_refused(declared.hub, **forged), "the policy is in force")
    withdraw(declared, declared.hub)

    declared.run("synced_resource", **declared.declare(processor="east"))

    eventually(lambda: "belong to the fabric" in creation_refused(declared.hub, **forged), "the policy judges again")
    assert creation_refused(declared.hub) == ""


def test_a_policy_without_its_parameter_is_broken_and_says_so(declared: Pair) -> None:
    """These are the words by which the validator tells a broken policy from one that judged."""
    live = declared.hub.get(CONFIG_MAP, KIND, "tmc-system") or {}
    declared.hub.delete(CONFIG_MAP, KIND, "tmc-system", uid=live["metadata"]["uid"])

    eventually(lambda: "Policy 'tmc-copies." in creation_refused(declared.hub), "the ConfigMap is missed")
    assert any(sign in creation_refused(declared.hub) for sign in BROKEN_POLICY), creation_refused(declared.hub)


def test_a_member_gets_the_first_mirror_and_the_syncer_the_rest(pair: Pair) -> None:
    there = {"kubeconfig": pair.member_file, "cluster_name": "west", "role": "member"}
    assert pair.run("synced_resource", **pair.declare(**there))["epoch"] == 1
    # What the syncer does when the hub says so: the module, which asks for west, leaves it alone.
    pair.member.patch(SYNCED_RESOURCE, "taskqueues.demo.tmc.io", {"spec": {"processor": "east", "epoch": 7}})

    again = pair.run("synced_resource", **pair.declare(**there))

    assert (again["changed"], again["epoch"], again["spec"]["processor"]) == (False, 7, "east")
    assert fence(pair.member) == {"processor": "west", "epoch": "1", "statusWriters": ""}
    move_fence(pair.member, "east", "7")
    assert not pair.run("synced_resource", **pair.declare(**there))["changed"]
    withdraw(pair, pair.member, **there)
    assert fence(pair.member) == {}


def test_a_member_that_was_declared_without_a_config_map_gets_it_from_its_mirror(pair: Pair) -> None:
    there = {"kubeconfig": pair.member_file, "cluster_name": "west", "role": "member"}
    pair.run("synced_resource", **pair.declare(**there))
    pair.member.patch(SYNCED_RESOURCE, KIND, {"spec": {"processor": "east", "epoch": 7, "statusWriters": ["a", "b"]}})
    live = pair.member.get(CONFIG_MAP, KIND, "tmc-system") or {}
    pair.member.delete(CONFIG_MAP, KIND, "tmc-system", uid=live["metadata"]["uid"])

    pair.run("synced_resource", **pair.declare(**there))

    assert fence(pair.member) == {"processor": "east", "epoch": "7", "statusWriters": "a,b"}
    withdraw(pair, pair.member, **there)


def test_a_kind_without_a_crd_is_named(pair: Pair) -> None:
    missing = pair.declare(group="example.com", resource="things")
    assert (
        "CustomResourceDefinition things.example.com is not on 'throwaway'"
        in pair.fail("synced_resource", **missing)["msg"]
    )
    unserved = pair.fail("synced_resource", **pair.declare(version="v9"))["msg"]
    assert "version 'v9' of taskqueues.demo.tmc.io is not served on 'throwaway'; served: v1" in unserved
    assert pair.run("synced_resource", **missing, _ansible_check_mode=True)["changed"]
    assert pair.hub.list(SYNCED_RESOURCE) == []


# -- taskqueue ----------------------------------------------------------------------------------------------------


def queue(name: str, /, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"region": "r", "tasks": [{"name": "t", "command": "c"}], **spec}}


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
