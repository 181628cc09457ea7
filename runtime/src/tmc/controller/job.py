# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The executor `job`: one Kubernetes Job an attempt, on the controller's own cluster, beside the TaskQueue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from tmc.api.client import ApiClient, Object
from tmc.api.errors import ApiError, Forbidden, NotFound, Unreachable
from tmc.api.resource import Resource
from tmc.controller.executor import Attempt, Executor, receipt
from tmc.controller.job_attempt import GRACE_SECONDS, ClaimLost, JobAttempt, delete_job
from tmc.controller.job_leftovers import is_wanted, queue_key_of
from tmc.controller.job_manifest import JOBS, MARK, JobOptions, argv_of, job_key
from tmc.controller.model import Queue, Task
from tmc.controller.plan import Outcome
from tmc.controller.resources import TASK_QUEUES, Standing
from tmc.core.backoff import Backoff
from tmc.core.keys import ObjectKey
from tmc.core.reflector import Reflector
from tmc.core.settings import SettingsError

NODES: Final = Resource("", "v1", "nodes", "Node", namespaced=False)
_LOG = logging.getLogger(__name__)


class JobExecutor(Executor):
    """`floor`: seconds between two looks for Jobs that nobody needs any more."""

    resumable = True
    grace = 2 * GRACE_SECONDS + 30.0  # `carry_out` watches the timeout; this only ends a hang

    def __init__(self, client: ApiClient, options: JobOptions, *, floor: float) -> None:
        self._client = client
        self._options = options
        self._floor = floor
        self._waiting: dict[ObjectKey, asyncio.Event] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self.jobs = Reflector(
            client, JOBS, on_change=self._job_changed, floor=floor, label_selector=f"{MARK[0]}={MARK[1]}"
        )

    async def execute(self, attempt: Attempt) -> Outcome:
        try:
            argv = argv_of(attempt.task.command)
        except ValueError as problem:
            return Outcome(False, message=str(problem))
        key = job_key(attempt)
        changed = self._waiting.setdefault(key, asyncio.Event())
        try:
            made = JobAttempt(self._client, attempt, argv, self._options, partial(self._seen, key), changed)
            return await made.carry_out()
        except ClaimLost as why:
            # The claim is somebody else's: this outcome is not recorded, whatever it is.
            return Outcome(False, message=f"claim lost: {why}", retry=True)
        finally:
            if self._waiting.get(key) is changed:
                del self._waiting[key]

    def result_of(self, origin_uid: str, task: Task) -> str | None:
        return receipt(origin_uid, task)

    def discard(self, queue: Queue, task: Task, attempt: int) -> None:
        key = job_key(Attempt(queue, task, attempt))
        job = self.jobs.store.get(key)
        if job is not None:
            self._run_errand(self._delete(job))

    async def run(self) -> None:
        await self.jobs.run()

    async def tend(self, standing: Callable[[], Standing]) -> None:
        """Delete what nobody needs: outcomes that were recorded, work that was called off, late creates."""
        await self.jobs.wait_synced()
        while True:
            await asyncio.sleep(self._floor)
            current = standing()
            for key in list(self.jobs.store.keys()):
                if current.term is not None or current.moved:
                    await self._tidy(key, moved=current.moved)

    async def _tidy(self, key: ObjectKey, *, moved: bool) -> None:
        job = self.jobs.store.get(key)
        if job is None or key in self._waiting or job["metadata"].get("deletionTimestamp"):
            return
        try:
            if not moved and is_wanted(job, await self._queue_of(job)):
                return
            if key not in self._waiting:  # it may have been taken up meanwhile
                _LOG.info("deleting a Job that nobody needs", extra={"job": str(key)})
                await delete_job(self._client, job)
        except (ApiError, Unreachable) as problem:
            _LOG.info("Job %s was not looked after: %s", key, problem)

    async def _queue_of(self, job: Object) -> Object | None:
        key = queue_key_of(job)
        if key is None:
            return None
        try:
            return await self._client.get(TASK_QUEUES, key.name, key.namespace)
        except NotFound:
            return None

    async def _delete(self, job: Object) -> None:
        try:
            await delete_job(self._client, job)
        except (ApiError, Unreachable) as problem:  # `tend` finds it again
            _LOG.info("Job %s was not deleted: %s", job["metadata"]["name"], problem)

    def _run_errand(self, work: Coroutine[Any, Any, None]) -> None:
        errand = asyncio.create_task(work)
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    def _job_changed(self, key: ObjectKey) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.set()

    def _seen(self, key: ObjectKey, uid: str) -> Object | None:
        job = self.jobs.store.get(key)
        return job if job is not None and job["metadata"]["uid"] == uid else None

    async def prepare(self) -> None:
        """Raises SettingsError on a cluster where no pod can ever run."""
        backoff = Backoff(0.5, 10.0)
        while True:
            try:
                listed = await self._client.request("GET", NODES.path(), params={"limit": "1"})
            except Forbidden as problem:
                raise SettingsError(
                    f"--executor='job' lacks rights ({problem}); apply manifests/taskqueue/controller-jobs-rbac.yaml"
                ) from problem
            except (ApiError, Unreachable) as problem:
                _LOG.warning("cannot ask for nodes: %s", problem)
                await asyncio.sleep(backoff.next())
                continue
            if listed.get("items"):
                return
            raise SettingsError(
                f"--executor='job' needs a cluster that runs pods, but '{self._client.connection.name}' has no Node;"
                " use --executor=simulate there, or make a cluster with nodes the processor"
            )
