# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Clusters that exist already are made a fabric and left again: nothing but our objects comes, and all of them go."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CUSTOM_RESOURCE_DEFINITION,
    LEASE,
    MEMBER,
    NAMESPACE,
    POLICY,
    SYNCED_RESOURCE,
    TASK_QUEUE,
    Resource,
)
from tests.integration.conftest import free_ports
from tests.integration.deployed_fabric import Fabric, ansible_playbook, processes_naming
from tests.integration.every_object import differences, every_object
from tests.integration.existing_clusters import Owner, fabric_of
from tests.integration.test_deploy import changed

DEADLINE = 180.0  # seconds; only ends a hang
WIDGET = Resource("example.com", "v1", "widgets", "Widget")
DEPLOY = "../docs/examples/existing-clusters-deploy"
CARRY = "../docs/examples/carry-my-kind"
MOVE_A_MEMBER = "../docs/examples/add-and-remove-a-member"
TASKS = [{"name": "one", "command": "work"}]


@contextmanager
def clusters(binaries: Path, *names: str) -> Iterator[Owner]:
    folder = Path(tempfile.mkdtemp(prefix="tmc-", dir="/tmp"))
    owner = Owner(folder, names, binaries, tuple(free_ports(len(names))))
    try:
        owner.make()
        yield owner
    finally:
        owner.remove()
        left = processes_naming(str(folder))
        shutil.rmtree(folder)
        assert not left, "\n".join(left)


def wait_for(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.1)


def queue(name: str, namespace: str = "default") -> dict[str, Any]:
    return _object("demo.tmc.io/v1", "TaskQueue", name, namespace, {"region": "r", "tasks": TASKS})


def widget(name: str, namespace: str = "default") -> dict[str, Any]:
    return _object("example.com/v1", "Widget", name, namespace, {"colour": "blue"})


def _object(version: str, kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def phases(owner: Owner, name: str) -> dict[str, str]:
    queues = owner.client(name).list(TASK_QUEUE)
    return {each["metadata"]["name"]: each.get("status", {}).get("phase", "") for each in queues}


def interrupt(fabric: Fabric, playbook: str, when: Callable[[], bool]) -> None:
    """Run a playbook and send Ctrl-C when the condition holds."""
    with subprocess.Popen(
        [ansible_playbook(), f"playbooks/{playbook}.yml"], cwd=fabric.repository, env=fabric.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as running:  # fmt: skip
        wait_for(lambda: when() or running.poll() is not None, "the moment to interrupt")
        running.send_signal(signal.SIGINT)
        assert running.wait(DEADLINE) != 0, "it ended before it could be interrupted"


def without_versions(listed: dict[str, Any], kind: Resource) -> dict[str, Any]:
    """The objects, those of ``kind`` without the versions that every write moves."""
    return {
        name: obj | {"metadata": {**obj["metadata"], "resourceVersion": ""}} if name.startswith(kind.name) else obj
        for name, obj in listed.items()
    }


def test_clusters_are_left_as_they_were(repository: Path, binaries: Path) -> None:
    with clusters(binaries, "kcp", "east", "west") as owner:
        fabric = fabric_of(owner, repository, ("east", "west"))
        furnish(owner, repository)
        before, access = owner.listed(), owner.kubeconfig.read_bytes()

        fabric.play_or_fail(DEPLOY)
        assert set(changed(fabric.play_or_fail(DEPLOY)).values()) == {0}, "a second run changed something"
        use(fabric, owner)

        there = {name: set(objects) for name, objects in owner.listed().items()}
        output = fabric.play_or_fail("cleanup", "--check")
        assert "failed=0" in output
        assert not any(there[name] - set(objects) for name, objects in owner.listed().items()), "--check removed things"
        interrupt(fabric, "cleanup", lambda: owner.client("kcp").get(POLICY, "tmc-fabric") is None)
        fabric.play_or_fail("cleanup")
        owner.client("east").delete(NAMESPACE, "born", uid=born(owner, "east")["metadata"]["uid"])
        wait_for(lambda: born(owner, "east") is None, "the user's own namespace is gone")

        after = owner.listed()
        for name in owner.names:
            lines = differences(without_versions(before[name], WIDGET), without_versions(after[name], WIDGET))
            assert not lines, f"{name} is not as it was:\n" + "\n".join(lines)
        assert set(changed(fabric.play_or_fail("cleanup")).values()) == {0}
        assert owner.kubeconfig.read_bytes() == access
        assert not fabric.state_dir.exists()


def furnish(owner: Owner, repository: Path) -> None:
    """What the user has on the clusters before."""
    definition = yaml.safe_load((repository / "docs" / "examples" / "widgets.yaml").read_text())
    for name in owner.names:
        owner.apply(name, CUSTOM_RESOURCE_DEFINITION, definition)
        wait_for(lambda: owner.serves(name, WIDGET), f"widgets are served on {name}")  # noqa: B023 - called at once
    owner.apply("east", NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    owner.apply("east", WIDGET, widget("old", "shop"))
    owner.apply("kcp", WIDGET, widget("older"))


def use(fabric: Fabric, owner: Owner) -> None:
    """TaskQueues and the user's own kind go through, into namespaces that were not there."""
    fabric.play_or_fail(CARRY)
    fabric.play_or_fail("create-taskqueues")
    owner.apply("east", NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "born"}})
    owner.apply("east", TASK_QUEUE, queue("mine", "born"))
    samples = {"east-data-processing", "west-ml-training", "global-health-monitor", "mine"}
    for name in owner.names:
        wait_for(lambda: phases(owner, name) == dict.fromkeys(samples, "Completed"), f"all is done on {name}")  # noqa: B023
    for name, place in (("west", "shop"), ("kcp", "shop"), ("east", "default"), ("west", "default")):
        which = "old" if place == "shop" else "older"
        wait_for(lambda: owner.client(name).get(WIDGET, which, place), f"Widget {place}/{which} is on {name}")  # noqa: B023
    assert born(owner, "west"), "the syncer made no namespace: the test would not see whether it goes"


def born(owner: Owner, name: str) -> dict[str, Any] | None:
    return owner.client(name).get(NAMESPACE, "born")


def test_a_member_comes_and_goes(repository: Path, binaries: Path) -> None:
    with clusters(binaries, "kcp", "west", "south") as owner:
        small = fabric_of(owner, repository, ("west",), tmc_processor="west")
        fabric = fabric_of(owner, repository, ("west", "south"), tmc_processor="west")
        before = owner.listed()["south"]
        small.play_or_fail("deploy")
        owner.apply("kcp", TASK_QUEUE, queue("from-hub"))

        fabric.play_or_fail(MOVE_A_MEMBER, "-e", "member=south")
        owner.apply("south", TASK_QUEUE, queue("from-south"))
        for name in owner.names:
            done = {"from-hub": "Completed", "from-south": "Completed"}
            wait_for(lambda: phases(owner, name) == done, f"all is done on {name}")  # noqa: B023 - called at once
        refused = fabric.play("remove-member", "-e", "member=west")
        assert refused.returncode != 0
        assert "is the processor of taskqueues.demo.tmc.io" in refused.stdout

        # It was a candidate once: its controller's credentials lie beside its syncer's.
        credentials = fabric.state_dir / "credentials" / "south"
        for ending in ("kubeconfig", "token"):
            (credentials / f"controller.{ending}").write_text("x")
        leaving = ("-e", "member=south", "-e", "member_state=absent", "-e", "member_objects=remove")
        fabric.play_or_fail(MOVE_A_MEMBER, *leaving)
        nothing_waits_for("south", owner)
        assert list(credentials.iterdir()) == []
        wait_for(lambda: set(phases(owner, "west")) == {"from-hub"}, "the others have lost its objects")
        hub = owner.client("kcp")
        hub.delete(TASK_QUEUE, "from-hub", "default", uid=hub.get(TASK_QUEUE, "from-hub", "default")["metadata"]["uid"])
        wait_for(lambda: not phases(owner, "kcp") and not phases(owner, "west"), "a deletion goes through")

        # Its own object stays, and so its kind; with the kind gone it is as it was.
        assert phases(owner, "south") == {"from-south": "Completed"}
        south = owner.client("south")
        kind = south.get(CUSTOM_RESOURCE_DEFINITION, TASK_QUEUE.name)
        south.delete(CUSTOM_RESOURCE_DEFINITION, TASK_QUEUE.name, uid=kind["metadata"]["uid"])
        wait_for(lambda: not differences(before, owner.listed()["south"]), "south is as it was")
        assert set(changed(fabric.play_or_fail("remove-member", "-e", "member=south")).values()) == {0}
        small.play_or_fail("cleanup")


def nothing_waits_for(name: str, owner: Owner) -> None:
    hub = owner.client("kcp")
    finalizers = {obj["metadata"]["name"]: obj["metadata"].get("finalizers") or [] for obj in hub.list(TASK_QUEUE)}
    held = [each for each, those in finalizers.items() if f"tmc.io/{name}" in those]
    assert not held, f"the hub still waits for {name}: {held}"
    assert [obj["metadata"]["name"] for obj in hub.list(MEMBER)] == ["west"]
    assert [obj["metadata"]["name"] for obj in hub.list(LEASE, "tmc-system")] == ["syncer-west"]


def test_a_dead_cluster_is_skipped_only_when_asked(repository: Path, binaries: Path) -> None:
    with clusters(binaries, "kcp", "west") as owner:
        fabric = fabric_of(owner, repository, ("west",))
        fabric.play_or_fail("deploy")
        before = owner.listed()["kcp"]
        planes = fabric_of_planes(owner, repository)
        planes.stop("west-apiserver")
        refused = fabric.play("cleanup")
        assert refused.returncode != 0
        assert "does not answer" in refused.stdout
        after = every_object(owner.admin("kcp"))
        assert not differences(without_leases(before), without_leases(after)), "something was removed"
        fabric.play_or_fail("cleanup", "-e", "cleanup_force=true")
        assert owner.client("kcp").get(NAMESPACE, "tmc-system") is None
        planes.start("west-apiserver")
        wait_for(lambda: owner.answers("west"), "west is back")
        fabric.play_or_fail("cleanup")
        assert owner.client("west").get(NAMESPACE, "tmc-system") is None


def without_leases(listed: dict[str, Any]) -> dict[str, Any]:
    """Without what syncers write while they live."""
    own = (LEASE.name, MEMBER.name, SYNCED_RESOURCE.name)
    return {name: obj for name, obj in listed.items() if not name.startswith(own)}


def fabric_of_planes(owner: Owner, repository: Path) -> Fabric:
    """The programs of the clusters themselves."""
    return Fabric(repository, owner.folder / "owner", {})


@pytest.mark.parametrize("extra", [(), ("-e", "tmc_run_as=deployment")])
def test_what_speaks_against_a_fabric_is_said_before_anything_is_written(
    repository: Path, binaries: Path, extra: tuple[str, ...]
) -> None:
    with clusters(binaries, "kcp", "west") as owner:
        other = yaml.safe_load((repository / "manifests" / "taskqueue" / "crd.yaml").read_text())
        del other["metadata"]["labels"]
        del other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["region"]
        owner.apply("west", CUSTOM_RESOURCE_DEFINITION, other)
        before = owner.listed()
        context = "production-{{ inventory_hostname | replace('twin', 'west') }}"
        fabric = fabric_of(owner, repository, ("west", "twin"), cluster_context=context)
        run = fabric.play("deploy", *extra, "-e", "tmc_image=any")
        assert run.returncode != 0
        assert "twin and west are the same cluster" in run.stdout
        assert "taskqueues.demo.tmc.io is on 'west' already" in run.stdout
        if extra:
            assert "Pods of the members would look for the hub at https://127.0.0.1" in run.stdout
        assert not any(differences(before[name], objects) for name, objects in owner.listed().items())
        assert not fabric.state_dir.exists()
