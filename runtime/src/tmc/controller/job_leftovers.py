# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Which Jobs are still needed. Pure; judged by live reads only, never by a view that may lag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmc.controller.job_manifest import ATTEMPT, QUEUE, TASK, WORK, work_of
from tmc.controller.model import Unreadable, parse_queue
from tmc.core.keys import ObjectKey

Object = Mapping[str, Any]


def queue_key_of(job: Object) -> ObjectKey | None:
    """The TaskQueue that a Job of ours is for; None when it does not say so."""
    name = (job["metadata"].get("annotations") or {}).get(QUEUE)
    return ObjectKey(job["metadata"]["namespace"], name) if name else None


def is_wanted(job: Object, queue_object: Object | None) -> bool:
    """Whether the queue, as the API server has it now (None: gone), waits for exactly this attempt's outcome.

    A Job that is not recognisably ours is wanted: it is none of our business.
    """
    annotations = job["metadata"].get("annotations") or {}
    name, number, work = annotations.get(TASK), annotations.get(ATTEMPT), annotations.get(WORK)
    if queue_key_of(job) is None or not name or not str(number).isdigit():
        return True
    if queue_object is None or queue_object["metadata"]["uid"] not in _owners(job):
        return False
    try:
        queue = parse_queue(queue_object)
    except Unreadable:
        return True
    tasks = [task for task in queue.tasks if task.name == name and work_of(task) == work]
    state = queue.status.tasks.get(name) if queue.status else None
    if queue.deleting or not tasks or state is None:
        return False
    return (state.state, state.attempts) == ("Running", int(str(number)))


def _owners(job: Object) -> list[str]:
    return [str(owner.get("uid")) for owner in job["metadata"].get("ownerReferences") or ()]
