# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The executor `job` on a real API server, with the rights of its manifests; the test is Job controller and kubelet.

What real pods do is in tests/e2e.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.integration.processor import controllers_kubeconfig, make_processor, process, queue, reached
from tests.integration.taskqueues import TASK_QUEUES, create, eventually, refusal
from tests.integration.throwaway_plane import Plane
from tmc.api.client import ApiClient
from tmc.api.errors import Forbidden, Invalid
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import LEASES, Resource
from tmc.controller.job import NODES
from tmc.controller.job_attempt import PODS, delete_job
from tmc.controller.job_manifest import JOBS

FLAGS = ("--executor=job", "--job-image=tools:1", "--sync-interval=1s")
NOW = "2026-01-01T00:00:00Z"
SECRETS = Resource("", "v1", "secrets", "Secret", has_status=False)


@pytest_asyncio.fixture
async def admin(plane: Plane, repository: Path) -> AsyncIterator[ApiClient]:
    """An administrator of a processor with a node; what a test leaves behind is removed."""
    async with ApiClient(load_kubeconfig(plane.kubeconfig)) as client:
        await make_processor(client, repository / "manifests", "controller-rbac.yaml", "controller-jobs-rbac.yaml")
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "played-by-the-test"}}
        await client.create(NODES, node, field_manager="test")
        yield client
        for item in (await client.list(JOBS)).items:
            await delete_job(client, item)
        for resource in (TASK_QUEUES, PODS, LEASES, NODES):
            namespace = "default" if resource.namespaced else ""
            for item in (await client.list(resource, namespace)).items:
                await client.delete(resource, item["metadata"]["name"], namespace, uid=item["metadata"]["uid"])


@pytest_asyncio.fixture
async def kubeconfig(admin: ApiClient, plane: Plane, tmp_path: Path) -> Path:
    return await controllers_kubeconfig(admin, plane.kubeconfig, tmp_path)


async def running(admin: ApiClient, count: int) -> list[dict[str, Any]]:
    """The Jobs, once `count` of them are released."""

    async def released() -> list[dict[str, Any]]:
        jobs = (await admin.list(JOBS, "default")).items
        found = [job for job in jobs if not job["spec"]["suspend"]]
        return found if len(found) == count else []

    jobs: list[dict[str, Any]] = await eventually(released, f"{count} Jobs may run")
    return jobs


async def end(admin: ApiClient, job: dict[str, Any], code: int = 0, message: str = "") -> None:
    """What the Job controller writes when the pod has exited."""
    metadata = job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
    labels = {"batch.kubernetes.io/job-name": metadata["name"]}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{metadata['name']}-x", "namespace": "default", "labels": labels},
        "spec": job["spec"]["template"]["spec"],
    }
    await admin.create(PODS, pod | {"metadata": pod["metadata"] | {"ownerReferences": [owner]}}, field_manager="test")
    terminated = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message}
    container = {"name": "task", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    seen = {"phase": "Failed", "containerStatuses": [container | {"state": {"terminated": terminated}}]}
    await patch_status(admin, PODS, pod["metadata"]["name"], seen)
    kinds = ("FailureTarget", "Failed") if code else ("SuccessCriteriaMet", "Complete")
    conditions = [{"type": kind, "status": "True", "reason": "x", "lastTransitionTime": NOW} for kind in kinds]
    counts: dict[str, Any] = {"failed": 1} if code else {"succeeded": 1, "completionTime": NOW}
    await patch_status(admin, JOBS, metadata["name"], {"startTime": NOW, "conditions": conditions} | counts)


async def patch_status(admin: ApiClient, resource: Resource, name: str, status: dict[str, Any]) -> None:
    await admin.patch(resource, name, "default", {"status": status}, field_manager="test", subresource="status")


async def no_jobs(admin: ApiClient) -> bool:
    return not (await admin.list(JOBS)).items


async def test_success_and_failure_with_the_manifests_rights(admin: ApiClient, kubeconfig: Path) -> None:
    async with process(kubeconfig, *FLAGS):
        await create(admin, queue("job-ends", 2))
        first, second = await running(admin, 2)
        await end(admin, first)
        await end(admin, second, 4, "no\tsuch \x1b[31mtable\n")
        status = await reached(admin, "job-ends", "Failed")
        await eventually(lambda: no_jobs(admin), "the Jobs are deleted")
    messages = sorted(task["message"] for task in status["tasks"])
    assert messages == ["exit code 0", "exit code 4 (Error): no such [31mtable"]


async def test_killed_and_succeeded_by_one_that_adopts_its_jobs(admin: ApiClient, kubeconfig: Path) -> None:
    async with process(kubeconfig, *FLAGS) as first:
        await create(admin, queue("job-adopt", 3))
        jobs = await running(admin, 3)
        await first.kill()
    await end(admin, jobs[0])  # while there is no controller
    async with process(kubeconfig, *FLAGS) as second:
        await eventually(lambda: len(second.lines("resumed")) == 3, "all three are taken up")
        for job in jobs[1:]:
            await end(admin, job)
        status = await reached(admin, "job-adopt")
    assert [(task["state"], task["attempts"]) for task in status["tasks"]] == [("Succeeded", 1)] * 3
    assert second.lines("started") == []


async def test_where_no_pod_can_run_it_says_so_and_ends(admin: ApiClient, kubeconfig: Path) -> None:
    (node,) = (await admin.list(NODES)).items
    await admin.delete(NODES, node["metadata"]["name"], uid=node["metadata"]["uid"])
    async with process(kubeconfig, *FLAGS) as refused:
        assert await asyncio.wait_for(refused.child.wait(), 60) == 2
        refused.killed = True
    assert "'west' has no Node; use --executor=simulate there" in refused.log.read_text()


async def test_its_rights_end_there(admin: ApiClient, kubeconfig: Path) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {}}
    async with ApiClient(load_kubeconfig(kubeconfig)) as client:
        for attempt in (
            client.list(SECRETS),
            client.create(PODS, pod, field_manager="test"),
            client.patch(NODES, "played-by-the-test", "", {"spec": {}}, field_manager="test"),
            client.request("GET", PODS.path("default", "p", "log")),
        ):
            assert isinstance(await refusal(attempt), Forbidden)


async def test_a_release_meets_its_own_job_or_none(admin: ApiClient, kubeconfig: Path) -> None:
    """What a late release relies on: the API server holds a uid in a patch against the object."""
    async with process(kubeconfig, *FLAGS):
        await create(admin, queue("job-uid", 1))
        (job,) = await running(admin, 1)
    patch = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}, "spec": {"suspend": True}}
    refused = await refusal(admin.patch(JOBS, job["metadata"]["name"], "default", patch, field_manager="test"))
    assert isinstance(refused, Invalid)
    assert (await admin.get(JOBS, job["metadata"]["name"], "default"))["spec"]["suspend"] is False
