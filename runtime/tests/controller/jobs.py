# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A cluster with Jobs in memory: the test plays Job controller and kubelet, the executor is the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from runtime.tests.controller.stations import Station, station
from runtime.tests.fakeapi import FakeApi
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import EVENTS, LEASES
from tmc.controller.job import NODES, JobExecutor
from tmc.controller.job_attempt import PODS
from tmc.controller.job_manifest import JOBS, JobOptions
from tmc.controller.resources import SYNCED_RESOURCES, TASK_QUEUES

KINDS = (TASK_QUEUES, SYNCED_RESOURCES, LEASES, EVENTS, JOBS, PODS, NODES)
OPTIONS = JobOptions("tools:1")


class Kubelet:
    """What the test makes of the Jobs on `api`."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return [self.api.get(JOBS, name, namespace) for namespace, name in self.api.objects[JOBS.name]]

    def job(self, task: str) -> dict[str, Any]:
        """The newest Job of a task; raises LookupError."""
        found = [job for job in self.jobs if job["metadata"]["annotations"]["tmc.io/task"] == task]
        if not found:
            raise LookupError(task)
        return max(found, key=lambda job: int(job["metadata"]["resourceVersion"]))

    def running(self) -> list[str]:
        """Tasks whose Jobs may run."""
        return sorted(
            job["metadata"]["annotations"]["tmc.io/task"]
            for job in self.jobs
            if not job["spec"]["suspend"] and not (job.get("status") or {}).get("conditions")
        )

    async def until_running(self, *tasks: str) -> None:
        await eventually(lambda: self.running() == sorted(tasks), f"exactly the Jobs of {tasks} run")

    def end(self, task: str, code: int = 0, message: str = "") -> None:
        """The task's container exits."""
        job = self.job(task)
        assert not job["spec"]["suspend"], "a suspended Job does not run"
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message}
        self.pod(job, {"containerStatuses": [{"state": {"terminated": ended}}]})
        self.conclude(job, "Failed" if code else "Complete", "BackoffLimitExceeded" if code else "")

    def pod(self, job: dict[str, Any], status: dict[str, Any]) -> None:
        metadata = {
            "name": f"{job['metadata']['name']}-x",
            "namespace": job["metadata"]["namespace"],
            "ownerReferences": [{"uid": job["metadata"]["uid"]}],
        }
        self.api.put(PODS, {"metadata": metadata, "status": status})

    def conclude(self, job: dict[str, Any], condition: str, reason: str = "") -> None:
        job["status"] = {"conditions": [{"type": condition, "status": "True", "reason": reason}]}
        self.api.put(JOBS, job)


@asynccontextmanager
async def job_station(
    api: FakeApi, identity: str = "me", *, tidy_every: float = 0.05, **more: Any
) -> AsyncIterator[Station]:
    """A controller with the executor `job`, which looks for leftovers every so many seconds; leaving it is a crash."""
    async with ApiClient(api.connection) as client:
        executor = JobExecutor(client, OPTIONS, floor=tidy_every)
        async with station(api.connection, identity, executor=executor, **more) as made:
            tasks = [
                asyncio.create_task(executor.run()),
                asyncio.create_task(executor.tend(lambda: made.standing[0])),
            ]
            try:
                yield made
            finally:
                for task in tasks:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
