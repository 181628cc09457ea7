# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole story of a fabric, from nothing to nothing, the same on every provider of clusters.

The tests are the chapters of one story and run in their order; each needs those before it.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator

import pytest
import yaml

from tests.e2e.provided import Provided, containers, engine, left_behind, own_kubeconfig
from tests.integration.taskqueues import TASK_QUEUES
from tests.integration.test_fabric import Clients, completed_everywhere, create, everywhere, gone_everywhere, queue
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig


@pytest.fixture
async def clusters(provided: Provided) -> AsyncIterator[Clients]:
    """An administrator's client of each cluster, by name."""
    fabric = provided.fabric
    clients = {name: ApiClient(load_kubeconfig(fabric.kubeconfig(name))) for name in fabric.names}
    for client in clients.values():
        await client.__aenter__()
    yield clients
    for client in clients.values():
        await client.__aexit__(None, None, None)


@pytest.fixture
def on_kind(provided: Provided) -> Provided:
    if provided.provider != "kind":
        pytest.skip(f"only kind clusters run pods, not {provided.provider}")
    return provided


def changed(recap: str) -> dict[str, int]:
    """Host -> changed tasks, as the recap says."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", recap, re.MULTILINE)}


def test_deploy_brings_it_up(provided: Provided, stranger_containers: set[str]) -> None:
    counts = changed(provided.play("deploy"))
    assert all(counts[name] > 0 for name in provided.fabric.names), counts


def test_a_second_deploy_changes_nothing(provided: Provided) -> None:
    counts = changed(provided.play("deploy"))
    assert {name: counts[name] for name in provided.fabric.names} == dict.fromkeys(provided.fabric.names, 0)


def test_a_deploy_of_one_member_alone_changes_nothing(on_kind: Provided) -> None:
    assert changed(on_kind.play("deploy", "--limit", "east")) == {"east": 0}


async def test_what_is_created_anywhere_is_worked_on_by_one_controller_and_seen_everywhere(clusters: Clients) -> None:
    for name, client in clusters.items():
        await create(client, queue(f"from-{name}"))
    for name in clusters:
        seen = await completed_everywhere(clusters, f"from-{name}")
        assert {obj["status"]["processingCluster"] for obj in seen.values()} == {"west-controller"}
        assert {obj["status"]["progress"] for obj in seen.values()} == {"3/3"}
        assert {obj["metadata"].get("labels", {}).get("origin-cluster", name) for obj in seen.values()} == {name}


def test_the_validator_is_convinced(provided: Provided) -> None:
    assert re.search(r"PASSED: \d+ checks on 3 clusters", provided.play("validate"))


@pytest.mark.parametrize("program", ["kcp-syncer", "taskqueue-controller"])
async def test_it_heals_when_who_works_is_killed(provided: Provided, clusters: Clients, program: str) -> None:
    await asyncio.to_thread(provided.kill_active, "west", program)
    name = f"after-{program}"
    await create(clusters["east"], queue(name))
    await completed_everywhere(clusters, name)


async def test_a_deletion_travels(clusters: Clients) -> None:
    origin = await clusters["east"].get(TASK_QUEUES, "from-east", "default")
    await clusters["east"].delete(TASK_QUEUES, "from-east", "default", uid=origin["metadata"]["uid"])
    await gone_everywhere(clusters, "from-east")
    assert all((await everywhere(clusters, "from-west")).values())


def test_pods_keep_to_the_restricted_standard(on_kind: Provided) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    for cluster in on_kind.fabric.names:
        # The API server looks at the pods that are there and warns of each that the label would have kept out.
        run = on_kind.run_kubectl(cluster, "label", "namespace", "default", label, "--overwrite", "--dry-run=server")
        assert run.returncode == 0, run.stderr
        assert "violate" not in run.stderr, run.stderr
    west = on_kind.run_kubectl("west", "get", "pods", "-o", "name").stdout
    assert "kcp-syncer" in west
    assert "taskqueue-controller" in west


@pytest.mark.parametrize(
    "command",
    [
        "kubectl --context kind-controller-west logs deployment/taskqueue-controller",
        "kubectl --context kind-controller-east logs deployment/kcp-syncer",
        "kubectl --context kind-controller-west logs deployment/kcp-syncer",
        "kubectl --context kind-controller-east get crd taskqueues.demo.tmc.io",
        "kubectl --context kind-controller-west get taskqueues --all-namespaces",
    ],
)
def test_the_commands_of_the_original_demo_work_as_typed(on_kind: Provided, command: str) -> None:
    run = subprocess.run(
        command.split(), env=on_kind.fabric.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip(), f"{command} printed nothing"


async def test_the_processor_moves_and_comes_back_as_it_was_deployed(on_kind: Provided, clusters: Clients) -> None:
    for processor in ("east", "west"):
        # Neither the provider nor the image is said: the syncers show how it was deployed.
        await asyncio.to_thread(on_kind.fabric.play_or_fail, "move-processor", "-e", f"tmc_processor={processor}")
        name = f"worked-on-by-{processor}"
        await create(clusters["kcp"], queue(name))
        seen = await completed_everywhere(clusters, name)
        assert {obj["status"]["processingCluster"] for obj in seen.values()} == {f"{processor}-controller"}
        deployment = ("get", "deployment", "taskqueue-controller")
        running = {one for one in on_kind.fabric.names if on_kind.run_kubectl(one, *deployment).returncode == 0}
        assert running == {processor}


def test_cleanup_leaves_nothing_of_ours_and_all_of_others(provided: Provided, stranger_containers: set[str]) -> None:
    provided.play("cleanup")
    assert left_behind(provided) == []
    if provided.provider == "kind":
        assert stranger_containers <= containers(str(engine()))
        with open(provided.fabric.environment["KUBECONFIG"], encoding="utf-8") as handle:
            assert yaml.safe_load(handle) == own_kubeconfig()
    if provided.provider == "existing":
        run = provided_kubectl(provided, "get", "crd", "-o", "name")
        assert "tmc.io" not in run, run


def provided_kubectl(provided: Provided, *arguments: str) -> str:
    """kubectl on the hub as its owner, who has another kubeconfig than the one that went with the fabric."""
    owner = provided.fabric.state_dir.parent / "p" / "kubeconfigs" / f"controller-{provided.fabric.hub}.kubeconfig"
    command = [provided.kubectl, "--kubeconfig", str(owner), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
