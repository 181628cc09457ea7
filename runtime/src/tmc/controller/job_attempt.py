# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""One attempt as a Job: create it or find it, let it run once the claim is confirmed, see it end.

Nothing here is remembered by the process: whoever makes the same attempt anew finds the same Job, running or ended. A
Job is not deleted before its outcome is recorded, so no crash makes a command run again that had ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tmc.api.client import ApiClient, Object
from tmc.api.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound, Unreachable
from tmc.api.resource import EVENTS, Resource
from tmc.controller.executor import Attempt, receipt
from tmc.controller.job_manifest import JOBS, SPEC_HASH, STOP_SECONDS, WORK, JobOptions, job_key, job_manifest, work_of
from tmc.controller.job_outcome import is_finished, outcome_of, succeeded, timed_out, trouble_of
from tmc.controller.model import parse_queue
from tmc.controller.plan import Outcome
from tmc.controller.resources import TASK_QUEUES
from tmc.controller.writer import FIELD_MANAGER
from tmc.core.backoff import Backoff

PODS: Final = Resource("", "v1", "pods", "Pod")
JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
# After its deadline a Job's pod may take STOP_SECONDS to end; the rest is for Kubernetes to say so.
GRACE_SECONDS: Final = STOP_SECONDS + 20.0
_PATIENCE: Final = 3.0  # seconds; a pod that is not at work by then is looked at
_LONGEST_PATIENCE: Final = 20.0
_LOG = logging.getLogger(__name__)


class ClaimLost(Exception):
    """The TaskQueue no longer says that this attempt is this process's."""


@dataclass(slots=True)
class JobAttempt:
    """`seen(uid)` is the Job as the watch has shown it last, or None; `changed` is set when that may have changed."""

    client: ApiClient
    attempt: Attempt
    argv: list[str]
    options: JobOptions
    seen: Callable[[str], Object | None]
    changed: asyncio.Event
    _note: str = field(default="", init=False)

    async def carry_out(self) -> Outcome:
        """Raises ClaimLost."""
        timeout = self.attempt.task.timeout
        job: Object | None = None
        try:
            async with asyncio.timeout(timeout) as limit:
                job = await self._begun()
            async with asyncio.timeout(timeout + GRACE_SECONDS) as limit:
                job = await self._ended(job)
                return await self._outcome(job)
        except TimeoutError:
            if not limit.expired():
                raise
        return await self._overdue(job)

    async def _overdue(self, job: Object | None) -> Outcome:
        """Time is up, by this process's clock; but it may have slept, and then the Job's own end counts."""
        if job is not None:
            current = await self._read()
            if current is None:
                return _deleted()
            if is_finished(current) and _uid(current) == _uid(job):
                return await self._outcome(current)
        return timed_out(self.attempt.task.timeout, self._note)

    # -- begin

    async def _begun(self) -> Object:
        """The Job, no longer suspended or ended already; keeps trying."""
        backoff = Backoff(0.5, 10.0, least=0.2)
        while True:
            wait = 0.0
            try:
                job = await self._begin()
                if job is not None:
                    return job
            except (ApiError, Unreachable) as problem:
                self._say(f"its Job cannot be begun: {problem}")
                wait = getattr(problem, "retry_after", None) or 0.0
            await asyncio.sleep(max(backoff.next(), wait))

    async def _begin(self) -> Object | None:
        """One try; None when something has to pass first."""
        job = await self._create_or_find()
        if job is None:
            return None
        if not self._is_of_this_queue(job) or self._is_an_older_failure(job):
            await delete_job(self.client, job)
            return None
        if is_finished(job) or not job["spec"].get("suspend"):
            _LOG.info("adopted", extra={"job": job["metadata"]["name"], "attempt": self.attempt.number})
            return job
        await self._confirm_claim()
        return await self._release(job)

    async def _create_or_find(self) -> Object | None:
        manifest = job_manifest(self.attempt, self.argv, self.options)
        try:
            return await self.client.create(JOBS, manifest, field_manager=FIELD_MANAGER)
        except AlreadyExists:
            return await self._read()

    def _is_of_this_queue(self, job: Object) -> bool:
        """Else it is a former copy's, which the garbage collector takes away, or somebody imitates ours."""
        metadata = job["metadata"]
        owners = [owner.get("uid") for owner in metadata.get("ownerReferences") or ()]
        work = (metadata.get("annotations") or {}).get(WORK)
        return owners == [self.attempt.queue.uid] and work == work_of(self.attempt.task)

    def _is_an_older_failure(self, job: Object) -> bool:
        """It failed under a former spec, which was recorded; a changed spec tries failed tasks again."""
        annotations = job["metadata"].get("annotations") or {}
        return is_finished(job) and not succeeded(job) and annotations.get(SPEC_HASH) != self.attempt.queue.spec_hash

    async def _confirm_claim(self) -> None:
        """A live read: this process may have slept since its claim was acknowledged. Raises ClaimLost, ApiError."""
        namespace, name = self.attempt.queue.key
        try:
            obj = await self.client.get(TASK_QUEUES, name, namespace)
        except NotFound:
            raise ClaimLost("the TaskQueue is gone") from None
        queue = parse_queue(obj)
        state = queue.status.tasks.get(self.attempt.task.name) if queue.status else None
        ours = queue.uid == self.attempt.queue.uid and not queue.deleting and queue.status is not None
        if not ours or queue.status.identity != self.attempt.identity:  # type: ignore[union-attr]
            raise ClaimLost("another controller has the TaskQueue")
        if state is None or (state.state, state.attempts) != ("Running", self.attempt.number):
            raise ClaimLost("the TaskQueue says nothing of this attempt")

    async def _release(self, job: Object) -> Object | None:
        """Let it run. The uid makes a request that arrives late harmless: this very Job or none."""
        namespace, name = job_key(self.attempt)
        patch: Object = {"metadata": {"uid": _uid(job)}, "spec": {"suspend": False}}
        try:
            return await self.client.patch(JOBS, name, namespace, patch, field_manager=FIELD_MANAGER)
        except NotFound:
            return None
        except Invalid:  # so the API server refuses another uid, among other things
            current = await self._read()
            if current is not None and _uid(current) == _uid(job):
                raise
            return None

    # -- end

    async def _ended(self, job: Object) -> Object:
        """The Job once it is finished, or as it was when it vanished."""
        patience = _PATIENCE
        while not is_finished(job):
            self.changed.clear()
            newest = self.seen(_uid(job))
            if newest is not None and is_finished(newest):
                return newest
            try:
                async with asyncio.timeout(patience):
                    await self.changed.wait()
                continue
            except TimeoutError:
                patience = min(2 * patience, _LONGEST_PATIENCE)
            current = await self._read_whatever_comes(job)
            if current is None:
                return {**job, "status": {}}
            job = current
            if not (job.get("status") or {}).get("ready"):
                await self._look_for_trouble(job)
        return job

    async def _read_whatever_comes(self, job: Object) -> Object | None:
        """The Job as it is now, or as it was when nobody answers; None when it is gone."""
        try:
            current = await self._read()
        except (ApiError, Unreachable):
            return job
        return current if current is not None and _uid(current) == _uid(job) else None

    async def _read(self) -> Object | None:
        namespace, name = job_key(self.attempt)
        try:
            return await self.client.get(JOBS, name, namespace)
        except NotFound:
            return None

    async def _outcome(self, job: Object) -> Outcome:
        if not is_finished(job):
            return _deleted()
        attempt = self.attempt
        return outcome_of(
            job,
            await self._pods(job),
            attempt.task.timeout,
            self._note,
            receipt(attempt.queue.origin_uid, attempt.task),
        )

    async def _pods(self, job: Object) -> list[Object]:
        """Those of exactly this Job; asks a few times, because an outcome without them is a poor one."""
        namespace, name = job_key(self.attempt)
        backoff = Backoff(0.2, 2.0)
        while True:
            try:
                listed = await self.client.list(PODS, namespace, label_selector=f"{JOB_NAME_LABEL}={name}")
            except (ApiError, Unreachable):
                if backoff.failures >= 5:
                    return []
                await asyncio.sleep(backoff.next())
            else:
                return [pod for pod in listed.items if _uid(job) in _owners(pod)]

    async def _look_for_trouble(self, job: Object) -> None:
        """Tell the user what the pods, or the warnings about the Job, say."""
        namespace, name = job_key(self.attempt)
        try:
            pods = (await self.client.list(PODS, namespace, label_selector=f"{JOB_NAME_LABEL}={name}")).items
            selector = {"fieldSelector": f"involvedObject.uid={_uid(job)}", "limit": "50"}
            path = EVENTS.path(namespace)
            events: list[Any] = [] if pods else (await self.client.request("GET", path, params=selector))["items"]
        except (ApiError, Unreachable) as problem:
            _LOG.info("cannot see why %s/%s does not get on: %s", namespace, name, problem)
            return
        self._say(trouble_of([pod for pod in pods if _uid(job) in _owners(pod)], events))

    def _say(self, note: str) -> None:
        if note and note != self._note:
            self._note = note
            self.attempt.say(note)


async def delete_job(client: ApiClient, job: Object) -> None:
    """Delete exactly this Job with its pods; being gone is fine. Raises ApiError, Unreachable."""
    metadata = job["metadata"]
    # batch/v1 leaves the pods of a deleted Job running unless it is told otherwise.
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": metadata["uid"]},
        "propagationPolicy": "Background",
    }
    path = JOBS.path(metadata["namespace"], metadata["name"])
    try:
        await client.request("DELETE", path, body=options)
    except (NotFound, Conflict):
        return


def _deleted() -> Outcome:
    return Outcome(False, message="its Job was deleted by somebody else", retry=True)


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def _owners(pod: Object) -> list[str]:
    return [str(owner.get("uid")) for owner in pod["metadata"].get("ownerReferences") or ()]
