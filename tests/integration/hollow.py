# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What test_hollow_mutants.py cheats with: programs that only print, Leases kept warm, a forger of statuses."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubernetes import client, config

TASKQUEUES = ("demo.tmc.io", "v1")
POLICY = "tmc-copies.taskqueues.demo.tmc.io"
PARAMETERS = ("taskqueues.demo.tmc.io", "tmc-system")
MERGE_PATCH = "application/merge-patch+json"

_PRINTER = """
import json, sys, time
while True:
    for message in sys.argv[1:]:
        print(json.dumps({"level": "info", "msg": message}), flush=True)
    time.sleep(0.5)
"""


def api(kubeconfig: Path) -> client.ApiClient:
    """A client of the administrator of one cluster; it knows nothing of the code under test."""
    return config.new_client_from_config(config_file=str(kubeconfig))


@contextmanager
def printing(*messages: str) -> Iterator[None]:
    """A process that prints log lines and does nothing else."""
    process = subprocess.Popen([sys.executable, "-c", _PRINTER, *messages], stdout=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "the hollow process ended by itself"
    finally:
        process.kill()
        process.wait()


@contextmanager
def repeating(work: Callable[[], None], seconds: float) -> Iterator[None]:
    """Do the work again and again in the background; what it raises fails the test."""
    stop, failures = threading.Event(), []

    def loop() -> None:
        while not stop.is_set():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - carried over to the test's own thread, below
                failures.append(error)
                return
            stop.wait(seconds)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


def keep_warm(kubeconfig: Path, namespace: str, name: str) -> Callable[[], None]:
    """Renews a Lease as if its holder were alive."""
    leases = client.CoordinationV1Api(api(kubeconfig))

    def renew() -> None:
        now = datetime.now(UTC)
        spec = {"holderIdentity": "hollow_1", "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        leases.patch_namespaced_lease(name, namespace, {"spec": spec}, _content_type=MERGE_PATCH)

    return renew


class Forger:
    """Writes, with an administrator's rights, the very statuses that the controller would write for the probes."""

    def __init__(self, kubeconfig: Path, processor: str, epoch: int) -> None:
        self._objects = client.CustomObjectsApi(api(kubeconfig))
        self._processor, self._epoch = processor, epoch
        self.refusals: list[str] = []
        self.finished: set[str] = set()

    def forge(self) -> None:
        listed = self._objects.list_namespaced_custom_object(*TASKQUEUES, "default", "taskqueues")
        for probe in listed["items"]:
            name = probe["metadata"]["name"]
            if name.startswith("tmc-probe-") and "deletionTimestamp" not in probe["metadata"]:
                self._write_next(probe)

    def _write_next(self, probe: dict[str, Any]) -> None:
        """One step further than what is there, so that progress looks right too."""
        name, spec = probe["metadata"]["name"], probe["spec"]
        done = probe.get("status", {}).get("completedTasks", -1) + 1
        if done > len(spec["tasks"]):
            return
        try:
            self._objects.patch_namespaced_custom_object_status(
                *TASKQUEUES,
                "default",
                "taskqueues",
                name,
                {"status": self._status(probe, done)},
                field_manager="taskqueue-controller",
                _content_type=MERGE_PATCH,
            )
        except client.ApiException as error:
            if error.status != 404:
                self.refusals.append(json.loads(error.body)["message"])
        else:
            self.finished |= {name} if done == len(spec["tasks"]) else set()

    def _status(self, probe: dict[str, Any], done: int) -> dict[str, Any]:
        metadata, spec = probe["metadata"], probe["spec"]
        origin = (metadata.get("annotations") or {}).get("tmc.io/origin-uid", metadata["uid"])
        canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"))
        total = len(spec["tasks"])
        tasks = [
            {"name": task["name"], "state": "Succeeded", "attempts": 1, "result": _sha(_work(origin, task))}
            for task in spec["tasks"][:done]
        ]
        return {
            "phase": "Completed" if done == total else "Running",
            "totalTasks": total,
            "completedTasks": done,
            "failedTasks": 0,
            "progress": f"{done}/{total}",
            "processingCluster": f"{self._processor}-controller",
            "processorIdentity": "hollow_1",
            "epoch": self._epoch,
            "observedSpecHash": _sha(canonical),
            "observedGeneration": metadata["generation"],
            "tasks": tasks,
        }


def _work(origin_uid: str, task: dict[str, Any]) -> str:
    return f"{origin_uid}/{task['name']}/{task['command']}"


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def without_policy(kubeconfigs: Sequence[Path]) -> Iterator[None]:
    """An attacker takes the policy of copies away, everywhere; it is put back afterwards."""
    taken: list[tuple[client.AdmissionregistrationV1Api, Any, Any]] = []
    try:
        for kubeconfig in kubeconfigs:
            admission = client.AdmissionregistrationV1Api(api(kubeconfig))
            policy = admission.read_validating_admission_policy(POLICY)
            binding = admission.read_validating_admission_policy_binding(POLICY)
            taken.append((admission, policy, binding))
            admission.delete_validating_admission_policy_binding(POLICY)
            admission.delete_validating_admission_policy(POLICY)
        yield
    finally:
        for admission, policy, binding in taken:
            admission.create_validating_admission_policy(_anew(policy))
            admission.create_validating_admission_policy_binding(_anew(binding))


@contextmanager
def without_parameters(kubeconfigs: Sequence[Path]) -> Iterator[None]:
    """The ConfigMap that the policies read is lost, everywhere; it is put back afterwards."""
    taken: list[tuple[client.CoreV1Api, Any]] = []
    try:
        for kubeconfig in kubeconfigs:
            core = client.CoreV1Api(api(kubeconfig))
            taken.append((core, core.read_namespaced_config_map(*PARAMETERS)))
            core.delete_namespaced_config_map(*PARAMETERS)
        yield
    finally:
        for core, parameters in taken:
            core.create_namespaced_config_map(PARAMETERS[1], _anew(parameters))


def refusal(kubeconfig: Path) -> str:
    """What the API server says against a new TaskQueue, in a dry run; empty when it would take it."""
    body = {
        "apiVersion": "/".join(TASKQUEUES),
        "kind": "TaskQueue",
        "metadata": {"name": "hollow"},
        "spec": {"region": "r", "tasks": [{"name": "t", "command": "c"}]},
    }
    objects = client.CustomObjectsApi(api(kubeconfig))
    try:
        objects.create_namespaced_custom_object(*TASKQUEUES, "default", "taskqueues", body, dry_run="All")
    except client.ApiException as error:
        return str(json.loads(error.body)["message"])
    return ""


def _anew(obj: Any) -> Any:
    obj.metadata = client.V1ObjectMeta(
        name=obj.metadata.name, labels=obj.metadata.labels, annotations=obj.metadata.annotations
    )
    if hasattr(obj, "status"):
        obj.status = None
    return obj
