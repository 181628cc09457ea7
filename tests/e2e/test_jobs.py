# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The executor `job` with real pods: a kind cluster of its own, a controller as a process beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.integration import taskqueues
from tests.integration.processor import controllers_kubeconfig, make_processor, process, queue, reached
from tests.integration.taskqueues import TASK_QUEUES, create, eventually
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import NAMESPACES
from tmc.controller.job_attempt import PODS
from tmc.controller.job_manifest import JOBS, MARK

NODE_IMAGE = os.environ.get("KINDLAB_IMAGE", "")
# An image with a `python3` that the engine has already; nothing is downloaded.
IMAGES = (os.environ.get("TMC_TEST_JOB_IMAGE", ""), "kindlab/python:3.11", "python:3.12-slim", "python:3.11-slim")
MARKED = f"{MARK[0]}={MARK[1]}"


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}")
    return done


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods of a busy machine take their time to start; this only ends a hang."""
    monkeypatch.setattr(taskqueues, "DEADLINE", 300.0)


@pytest.fixture(scope="module")
def job_image() -> str:
    if not (shutil.which("docker") and shutil.which("kind")):
        pytest.skip("needs docker and kind on PATH")
    if run("docker", "info", check=False).returncode:
        pytest.skip("needs a container engine that answers")
    for image in filter(None, IMAGES):
        if run("docker", "image", "inspect", image, check=False).returncode == 0:
            return image
    pytest.skip(f"needs one of these images in the engine: {', '.join(filter(None, IMAGES))}")


@pytest.fixture(scope="module")
def cluster(job_image: str) -> Iterator[Path]:
    """The administrator's kubeconfig of a cluster that has the image; TMC_TEST_KIND_CLUSTER names one to use again."""
    lasting = os.environ.get("TMC_TEST_KIND_CLUSTER", "")
    name = lasting or f"tmc-jobs-{uuid.uuid4().hex[:6]}"
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        try:
            if lasting:
                run("kind", "export", "kubeconfig", "--name", name, "--kubeconfig", str(kubeconfig))
            else:
                image = ("--image", NODE_IMAGE) if NODE_IMAGE else ()
                run("kind", "create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), "--wait=180s", *image)
            run("kind", "load", "docker-image", job_image, "--name", name)
            yield kubeconfig
        finally:
            if not lasting:
                run("kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig))


@pytest_asyncio.fixture
async def admin(cluster: Path, repository: Path) -> AsyncIterator[ApiClient]:
    """An administrator of a processor whose namespace takes only restricted pods."""
    async with ApiClient(load_kubeconfig(cluster)) as client:
        await make_processor(client, repository / "manifests", "controller-rbac.yaml", "controller-jobs-rbac.yaml")
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        await client.patch(NAMESPACES, "default", "", {"metadata": {"labels": labels}}, field_manager="test")
        yield client
        for item in (await client.list(TASK_QUEUES)).items:
            await client.delete(TASK_QUEUES, item["metadata"]["name"], "default", uid=item["metadata"]["uid"])
        await eventually(lambda: nothing_left(client), "with their queues Jobs and pods are gone")


@pytest_asyncio.fixture
async def kubeconfig(admin: ApiClient, cluster: Path, tmp_path: Path) -> Path:
    return await controllers_kubeconfig(admin, cluster, tmp_path)


@pytest.fixture
def flags(job_image: str) -> tuple[str, ...]:
    return ("--executor=job", f"--job-image={job_image}", "--sync-interval=1s")


async def nothing_left(admin: ApiClient) -> bool:
    jobs = (await admin.list(JOBS, label_selector=MARKED)).items
    return not jobs and not (await admin.list(PODS, "default", label_selector=MARKED)).items


async def pods(admin: ApiClient, phase: str) -> list[dict[str, Any]]:
    found = (await admin.list(PODS, "default", label_selector=MARKED)).items
    return [pod for pod in found if (pod.get("status") or {}).get("phase") == phase]


def python(name: str, program: str, timeout: str = "2m") -> dict[str, str]:
    return {"name": name, "command": f"python3 -c '{program}'", "timeout": timeout}


def tasks_of(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["name"]: task for task in status["tasks"]}


async def test_each_way_in_which_a_command_can_end(
    admin: ApiClient, kubeconfig: Path, flags: tuple[str, ...], job_image: str
) -> None:
    tasks = [
        python("succeeds", 'open("/dev/termination-log", "w").write("42 rows")'),
        python("fails", 'import sys; print("no such table"); sys.exit(3)'),
        python("hangs", "import time; time.sleep(3600)", "5s"),
        {"name": "absent", "command": "no-such-program --x"},
        {"name": "unclosed", "command": 'echo "open'},
        # It sees its words, not what a shell or Kubernetes would make of them.
        python("literal", 'import sys; sys.exit(sys.argv[1:] != ["$(PATH)", "$HOME", ";", "$$"])'),
        python("powerless", 'import os; os.path.exists("/var/run/secrets") or open("/x", "w")'),
    ]
    tasks[5]["command"] += " '$(PATH)' '$HOME' ';' '$$'"
    async with process(kubeconfig, *flags, "--workers=10"):
        await create(admin, queue("ends", 0, tasks=tasks, parallelism=10))
        status = await reached(admin, "ends", "Failed")
        await eventually(lambda: nothing_left(admin), "Jobs and pods go when their outcome is recorded")
    found = tasks_of(status)
    assert {name: task["state"] for name, task in found.items()} == {
        "succeeds": "Succeeded",
        "fails": "Failed",
        "hangs": "Failed",
        "absent": "Failed",
        "unclosed": "Failed",
        "literal": "Succeeded",
        "powerless": "Failed",
    }
    assert found["succeeds"]["message"] == "exit code 0: 42 rows"
    assert found["fails"]["message"] == "exit code 3 (Error): no such table"
    assert found["hangs"]["message"].startswith("timed out after 5s")
    assert "no-such-program" in found["absent"]["message"]
    assert "cannot be split" in found["unclosed"]["message"]
    assert "Read-only file system" in found["powerless"]["message"]
    assert {task["attempts"] for task in found.values()} == {1}


async def test_killed_while_a_job_runs_its_successor_adopts_it(
    admin: ApiClient, kubeconfig: Path, flags: tuple[str, ...]
) -> None:
    long = python("long", "import time; time.sleep(12)")
    async with process(kubeconfig, *flags) as first:
        await create(admin, queue("adopted", 0, tasks=[long]))
        (pod,) = await eventually(lambda: pods(admin, "Running"), "its pod runs")
        await first.kill()
    async with process(kubeconfig, *flags) as second:
        await eventually(lambda: len(second.lines("resumed")) == 1, "the successor takes it up")
        (still,) = (await admin.list(PODS, "default", label_selector=MARKED)).items
        assert still["metadata"]["uid"] == pod["metadata"]["uid"]
        status = await reached(admin, "adopted")
        assert second.lines("started") == []
    assert tasks_of(status)["long"]["attempts"] == 1


async def test_done_while_there_was_no_controller_is_not_done_again(
    admin: ApiClient, kubeconfig: Path, flags: tuple[str, ...]
) -> None:
    async with process(kubeconfig, *flags) as first:
        await create(admin, queue("alone", 0, tasks=[python("alone", "import time; time.sleep(2)")]))
        await eventually(lambda: pods(admin, "Running"), "its pod runs")
        await first.kill()
    await eventually(lambda: pods(admin, "Succeeded"), "it ends by itself")
    async with process(kubeconfig, *flags) as second:
        status = await reached(admin, "alone")
        assert (second.lines("started"), len(second.lines("resumed"))) == ([], 1)
    assert tasks_of(status)["alone"]["attempts"] == 1


async def test_an_image_that_cannot_be_had_is_told_before_it_times_out(admin: ApiClient, kubeconfig: Path) -> None:
    flags = ("--executor=job", "--job-image=localhost/no-such-image:1", "--sync-interval=1s")
    async with process(kubeconfig, *flags):
        await create(admin, queue("imageless", 0, tasks=[{"name": "a", "command": "true", "timeout": "25s"}]))

        async def told() -> bool:
            status = (await admin.get(TASK_QUEUES, "imageless", "default")).get("status") or {}
            (task,) = status.get("tasks") or [{}]
            return task.get("state") == "Running" and "Image" in task.get("message", "")

        await eventually(told, "its user is told")
        status = await reached(admin, "imageless", "Failed")
    message = tasks_of(status)["a"]["message"]
    assert message.startswith("timed out after 25s: ")
    assert "no-such-image" in message


async def test_deleting_a_queue_stops_its_jobs(admin: ApiClient, kubeconfig: Path, flags: tuple[str, ...]) -> None:
    async with process(kubeconfig, *flags) as controller:
        made = await create(admin, queue("stopped", 0, tasks=[python("long", "import time; time.sleep(3600)")]))
        await eventually(lambda: pods(admin, "Running"), "its pod runs")
        await controller.kill()  # Kubernetes alone does it
    await admin.delete(TASK_QUEUES, "stopped", "default", uid=made["metadata"]["uid"])
    await eventually(lambda: nothing_left(admin), "Jobs and pods are gone")
