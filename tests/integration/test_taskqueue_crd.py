# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the TaskQueue CRD admits and refuses, asked of a real API server. A refusal names the field and the limits."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils._taskqueue_rules import problems
from tests.integration.taskqueues import TASK_QUEUES, create, install, put_status, refusal
from tests.integration.throwaway_plane import Plane
from tmc.api.client import ApiClient
from tmc.api.errors import NotFound
from tmc.api.kubeconfig import load_kubeconfig

Change = Callable[[dict[str, Any]], object]


@pytest_asyncio.fixture
async def client(plane: Plane, repository: Path) -> AsyncIterator[ApiClient]:
    async with ApiClient(load_kubeconfig(plane.kubeconfig)) as running:
        await install(running, repository / "manifests" / "taskqueue" / "crd.yaml")
        yield running


def queue(name: str, change: Change = lambda _: None) -> dict[str, Any]:
    """A valid TaskQueue with two tasks, then changed."""
    tasks = [{"name": "ingest-data", "command": "process"}, {"name": "validate-data", "command": "validate"}]
    made: dict[str, Any] = {
        "apiVersion": "demo.tmc.io/v1",
        "kind": "TaskQueue",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"region": "us-east-1", "tasks": tasks},
    }
    made = copy.deepcopy(made)
    change(made)
    return made


def spec(**fields: Any) -> Change:
    return lambda made: made["spec"].update(fields)


def task(**fields: Any) -> Change:
    return lambda made: made["spec"]["tasks"][0].update(fields)


def without(*path: str) -> Change:
    def change(made: dict[str, Any]) -> None:
        here: Any = made
        for step in path[:-1]:
            here = here[int(step) if step.isdigit() else step]
        del here[path[-1]]

    return change


CONTROL = "must not contain control characters"
DURATION = "must be a duration such as 30s, 5m or 1h30m"
COMMAND, TIMEOUT, NAME = r"spec\.tasks\[0\]\.command", r"spec\.tasks\[0\]\.timeout", r"spec\.tasks\[0\]\.name"

REFUSED: list[tuple[str, Change, str, str]] = [
    # what, change of a valid object, field, value or what is allowed
    ("no spec", without("spec"), r"\bspec", "Required value"),
    ("no tasks", without("spec", "tasks"), r"spec\.tasks", "Required value"),
    ("empty tasks", spec(tasks=[]), r"spec\.tasks", "at least 1 items"),
    (
        "101 tasks",
        spec(tasks=[{"name": f"t{n}", "command": "c"} for n in range(101)]),
        r"spec\.tasks",
        "at most 100 items",
    ),
    (
        "a task name twice",
        lambda made: made["spec"]["tasks"].append({"name": "ingest-data", "command": "again"}),
        r"spec\.tasks\[2\]",
        "Duplicate value.*ingest-data",
    ),
    ("task without command", without("spec", "tasks", "0", "command"), COMMAND, "Required value"),
    ("empty command", task(command=""), COMMAND, "at least 1 chars"),
    ("command of 1,025", task(command="x" * 1025), COMMAND, "1024"),
    ("command of 1.4 MB", task(command="x" * 1_400_000), COMMAND, "1024"),
    ("NUL in command", task(command="a\0b"), COMMAND, CONTROL),
    ("newline in command", task(command="a\nb"), COMMAND, CONTROL),
    ("escape sequence in command", task(command="\x1b[31mred"), COMMAND, CONTROL),
    ("8-bit escape in command", task(command="\x9b31mred"), COMMAND, CONTROL),
    ("line separator in command", task(command="a\u2028b"), COMMAND, CONTROL),
    ("turned text in command", task(command="a\u202egpj.exe"), COMMAND, CONTROL),
    ("task name with a space", task(name="A b"), NAME, r"A b.*should match"),
    ("task name of 64", task(name="a" * 64), NAME, "63"),
    ("priority", spec(priority="urgent"), r"spec\.priority", r'"urgent".*"low", "normal", "high", "critical"'),
    ("parallelism 0", spec(parallelism=0), r"spec\.parallelism", "greater than or equal to 1"),
    ("parallelism -1", spec(parallelism=-1), r"spec\.parallelism", "greater than or equal to 1"),
    ("parallelism 1000", spec(parallelism=1000), r"spec\.parallelism", "less than or equal to 100"),
    ("parallelism 2.5", spec(parallelism=2.5), r"spec\.parallelism", "must be of type integer"),
    ("parallelism '3'", spec(parallelism="3"), r"spec\.parallelism", "must be of type integer"),
    *(
        (f"timeout {text}", task(timeout=text), TIMEOUT, re.escape(f'"{text}"') + f".*{DURATION}")
        for text in ("5", "-5m", "5 minutes", "999999h", "0s", "24h1s", "1.5h", "5M", "")
    ),
    ("timeout of 17", task(timeout="1s" * 9), TIMEOUT, "16"),
    ("timeout number", task(timeout=5), TIMEOUT, "must be of type string"),
    ("empty region", spec(region=""), r"spec\.region", "at least 1 chars"),
    ("region of 200", spec(region="r" * 200), r"spec\.region", "63"),
    ("newline in region", spec(region="a\nb"), r"spec\.region", CONTROL),
    ("unknown field", spec(taskz=[]), r'unknown field "spec\.taskz"', "strict"),
    ("unknown field of simulate", task(simulate={"fial": True}), r'"spec\.tasks\[0\]\.simulate\.fial"', "strict"),
    ("simulate.duration", task(simulate={"duration": "3 s"}), r"simulate\.duration", r"3 s.*such as 200ms"),
    ("simulate.failures", task(simulate={"failures": -1}), r"simulate\.failures", "greater than or equal to 0"),
    ("name of 300", lambda made: made["metadata"].update(name="n" * 300), r"metadata\.name", "no more than 253"),
    ("name with _", lambda made: made["metadata"].update(name="a_b"), r"metadata\.name", "RFC 1123"),
    ("name of 64", lambda made: made["metadata"].update(name="n" * 64), r"metadata\.name", "at most 63"),
]


@pytest.mark.parametrize(("change", "field", "allowed"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_bad_input_is_refused_with_its_field(client: ApiClient, change: Change, field: str, allowed: str) -> None:
    made = queue("crd-refused", change)
    assert problems([made], strict=True), "the module would have sent it"
    before = await names(client)
    error = await refusal(create(client, made))
    assert error is not None, "the API server took it"
    assert error.status in (400, 422)
    assert re.search(field, error.message), error.message
    assert re.search(allowed, error.message, re.DOTALL), error.message
    assert await names(client) == before


ADMITTED: list[tuple[str, Change]] = [
    ("nothing special", lambda _: None),
    ("a shell's special characters", task(command="rm -rf / ; $(id) `id` | cat > /etc/passwd && 'x' \"y\" \\ *")),
    ("other scripts", task(command="verarbeite --größe=5 数据 👩‍💻")),
    ("longest", task(command="x" * 1024, name="n" * 63, timeout="24h")),
    ("100 tasks", spec(tasks=[{"name": f"t{n}", "command": "c"} for n in range(100)], parallelism=100)),
    ("simulate", task(simulate={"fail": True, "failures": 2, "duration": "0s"}, timeout="1h30m")),
    ("the seed's own example", spec(region="us-central-1", priority="critical", parallelism=10)),
]


@pytest.mark.parametrize("change", [row[1] for row in ADMITTED], ids=[row[0] for row in ADMITTED])
async def test_good_input_is_kept_as_it_is(client: ApiClient, change: Change) -> None:
    made = queue("crd-admitted", change)
    assert problems([made], strict=True) == []
    created = await create(client, made)
    await client.delete(TASK_QUEUES, "crd-admitted", "default", uid=created["metadata"]["uid"])
    for given, kept in zip(made["spec"]["tasks"], created["spec"]["tasks"], strict=True):
        assert kept == {"timeout": "5m"} | given


async def test_defaults(client: ApiClient) -> None:
    created = await create(client, queue("crd-defaults"))
    await client.delete(TASK_QUEUES, "crd-defaults", "default", uid=created["metadata"]["uid"])
    assert created["spec"]["priority"] == "normal"
    assert created["spec"]["parallelism"] == 5
    assert {each["timeout"] for each in created["spec"]["tasks"]} == {"5m"}


async def test_status_given_at_creation_is_dropped(client: ApiClient) -> None:
    created = await create(client, queue("crd-born-done") | {"status": status()})
    await client.delete(TASK_QUEUES, "crd-born-done", "default", uid=created["metadata"]["uid"])
    assert "status" not in created


@pytest.mark.parametrize("sample", ["east-taskqueue", "west-taskqueue", "global-taskqueue"])
async def test_samples_are_valid_and_have_the_seeds_number_of_tasks(
    client: ApiClient, repository: Path, sample: str
) -> None:
    path = repository / "manifests" / "samples" / f"{sample}.yaml"
    created = await create(client, yaml.safe_load(path.read_text()))
    metadata = created["metadata"]
    await client.delete(TASK_QUEUES, metadata["name"], metadata["namespace"], uid=metadata["uid"])
    assert len(created["spec"]["tasks"]) == {"east": 5, "west": 4, "global": 4}[sample.split("-")[0]]


async def test_the_readmes_example_is_taken_as_it_is(client: ApiClient, repository: Path) -> None:
    given = yaml.safe_load((repository / "docs" / "examples" / "taskqueue.yaml").read_text())
    created = await create(client, given)
    metadata = created["metadata"]
    await client.delete(TASK_QUEUES, metadata["name"], metadata["namespace"], uid=metadata["uid"])
    tasks = [{"timeout": "5m"} | task for task in given["spec"]["tasks"]]
    assert created["spec"] == given["spec"] | {"tasks": tasks}


async def test_kubectl_shows_the_columns(client: ApiClient, repository: Path) -> None:
    sample = yaml.safe_load((repository / "manifests" / "samples" / "east-taskqueue.yaml").read_text())
    sample["metadata"] |= {"name": "crd-columns", "labels": {"tmc.io/origin": "east"}}
    created = await create(client, sample)
    await put_status(client, "crd-columns", status(completedTasks=3, totalTasks=5) | {"progress": "3/5"})
    table = await client.request(
        "GET", TASK_QUEUES.path("default", "crd-columns"), accept="application/json;as=Table;g=meta.k8s.io;v=v1"
    )
    await client.delete(TASK_QUEUES, "crd-columns", "default", uid=created["metadata"]["uid"])
    shown = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    assert [name.upper() for name in shown] == ["NAME", "STATUS", "TASKS", "CONTROLLER", "ORIGIN", "PRIORITY", "AGE"]
    assert table["rows"][0]["cells"][:6] == ["crd-columns", "Running", "3/5", "west-controller", "east", "high"]


def status(**fields: Any) -> dict[str, Any]:
    """A valid status of term 5, with one of two tasks done."""
    return {
        "phase": "Running",
        "epoch": 5,
        "observedSpecHash": "aaaa",
        "totalTasks": 2,
        "completedTasks": 1,
        "failedTasks": 0,
        "processingCluster": "west-controller",
    } | fields


def completed(**fields: Any) -> dict[str, Any]:
    return status(phase="Completed", completedTasks=2) | fields


def lacking(field: str) -> dict[str, Any]:
    return {key: value for key, value in status().items() if key != field}


NO_REMOVAL = "status may not be removed"
FINAL = "status.phase is final for this spec"
DECREASE = r"status\.completedTasks may not decrease"
TRANSITIONS: list[tuple[str, dict[str, Any] | None, dict[str, Any] | None, str]] = [
    # what, from, to, refusal (empty: admitted)
    ("progress", status(), status(completedTasks=2), ""),
    ("completion", status(), completed(), ""),
    ("failure", status(), status(phase="Failed", failedTasks=1), ""),
    ("newer term goes on", status(), status(epoch=6), ""),
    ("older term", status(), status(epoch=4), r"status\.epoch may not go back"),
    ("fewer completed", status(), status(completedTasks=0), DECREASE),
    ("fewer completed in a newer term", status(), status(completedTasks=0, epoch=6), DECREASE),
    ("removed", status(), None, NO_REMOVAL),
    ("emptied", status(), {}, "Required value"),
    *(
        (f"without {field}", status(), lacking(field), rf"status\.{field}.*Required value")
        for field in ("phase", "epoch", "observedSpecHash", "totalTasks", "completedTasks", "failedTasks")
    ),
    ("Completed to Running", completed(), status(completedTasks=2), FINAL),
    ("Completed to Failed", completed(), completed(phase="Failed"), FINAL),
    ("Failed to Completed", status(phase="Failed", failedTasks=1), completed(), FINAL),
    ("Completed to Running in a newer term", completed(), status(completedTasks=2, epoch=6), FINAL),
    ("a newer term's other outcome", completed(), status(phase="Failed", failedTasks=1, epoch=6), ""),
    ("Completed again", completed(), completed(message="still"), ""),
    ("a changed spec starts over", completed(), status(observedSpecHash="bbbb", completedTasks=0), ""),
    (
        "a changed spec under an older term",
        completed(),
        status(observedSpecHash="bbbb", epoch=4),
        r"status\.epoch may not",
    ),
    ("more done than there is", None, status(completedTasks=2, failedTasks=1), r"may not be more than status\.total"),
    ("negative", None, status(completedTasks=-1), r"status\.completedTasks.*greater than or equal to 0"),
    ("unknown phase", None, status(phase="Complete"), r'status\.phase.*"Completed"'),
]


@pytest.mark.parametrize(
    ("before", "after", "refused"), [row[1:] for row in TRANSITIONS], ids=[row[0] for row in TRANSITIONS]
)
async def test_status_transitions(
    client: ApiClient, before: dict[str, Any] | None, after: dict[str, Any] | None, refused: str
) -> None:
    created = await create(client, queue("crd-status"))
    try:
        if before is not None:
            await put_status(client, "crd-status", before)
        error = await refusal(put_status(client, "crd-status", after))
        now = (await client.get(TASK_QUEUES, "crd-status", "default")).get("status")
    finally:
        await client.delete(TASK_QUEUES, "crd-status", "default", uid=created["metadata"]["uid"])
    if refused:
        assert error is not None, "the API server took it"
        assert error.status == 422
        assert re.search(refused, error.message), error.message
        assert now == before
    else:
        assert error is None, error
        assert now == after


async def test_spec_may_change_after_completion(client: ApiClient) -> None:
    """The restart semantics are the controller's; the API server lets the change through and keeps the status."""
    created = await create(client, queue("crd-changed"))
    await put_status(client, "crd-changed", completed())
    change = [{"op": "replace", "path": "/spec/tasks/0/command", "value": "another"}]
    changed = await client.patch(TASK_QUEUES, "crd-changed", "default", change, field_manager="test")
    await client.delete(TASK_QUEUES, "crd-changed", "default", uid=created["metadata"]["uid"])
    assert changed["status"] == completed()
    assert changed["metadata"]["generation"] == 2


async def names(client: ApiClient) -> list[str]:
    try:
        return sorted(item["metadata"]["name"] for item in (await client.list(TASK_QUEUES)).items)
    except NotFound:
        return []
