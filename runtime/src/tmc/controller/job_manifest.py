# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The Job of one attempt, as it is created. Pure.

Its name follows from what is to be done and from the attempt's number alone, so that a second create, after a crash or
by a successor, meets the first one's Job. It is created suspended: a create that arrives late, from a process that lost
its claim long ago, leaves a Job that never runs.
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tmc.api.resource import Resource
from tmc.controller.executor import Attempt
from tmc.controller.model import Task
from tmc.controller.resources import TASK_QUEUES
from tmc.core.keys import ObjectKey

JOBS: Final = Resource("batch", "v1", "jobs", "Job")

MARK: Final = ("tmc.io/executor", "job")  # label of all our Jobs and their pods
QUEUE: Final = "tmc.io/queue"
TASK: Final = "tmc.io/task"
ATTEMPT: Final = "tmc.io/attempt"
WORK: Final = "tmc.io/work"
SPEC_HASH: Final = "tmc.io/spec-hash"

NOBODY: Final = 65532  # the user id of nobody in common base images; any but root would do
STOP_SECONDS: Final = 10  # what a command has between SIGTERM and SIGKILL
# A Job is deleted when its outcome is recorded. What a crash leaves has to outlast the time without a controller.
KEPT_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the operator chooses for all tasks; whoever creates a TaskQueue has no say in it."""

    image: str = ""
    cpu: str = "100m"
    memory: str = "128Mi"


def argv_of(command: str) -> list[str]:
    """The words of a command, split as a POSIX shell would, expanding nothing. Raises ValueError for people."""
    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise ValueError(f"command cannot be split into words: {problem}; quote words as a POSIX shell wants") from None
    if not words or not words[0]:
        raise ValueError("command names no program; the first word is the program, the others are its arguments")
    return words


def work_of(task: Task) -> str:
    """Which work it is: the same command within the same time. 16 hex digits."""
    return hashlib.sha256(f"{task.command}\0{task.timeout!r}".encode()).hexdigest()[:16]


def job_key(attempt: Attempt) -> ObjectKey:
    """Where its Job is: beside its TaskQueue, because an owner has to be in the same namespace."""
    queue, task = attempt.queue, attempt.task
    identity = f"{queue.origin_uid}/{task.name}/{work_of(task)}/{attempt.number}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return ObjectKey(queue.key.namespace, f"tq-{_slug(queue.key.name)}-{_slug(task.name)}-{digest}")


def _slug(name: str) -> str:
    """Enough of a name for people to know it again."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:20].strip("-")


def job_manifest(attempt: Attempt, argv: Sequence[str], options: JobOptions) -> dict[str, Any]:
    """One pod, once, without any right, no longer than the task's timeout."""
    key, queue, task = job_key(attempt), attempt.queue, attempt.task
    owner = {"apiVersion": TASK_QUEUES.api_version, "kind": TASK_QUEUES.kind, "name": queue.key.name, "uid": queue.uid}
    labels = {"app.kubernetes.io/managed-by": "taskqueue-controller", MARK[0]: MARK[1]}
    annotations = {
        QUEUE: queue.key.name,
        TASK: task.name,
        ATTEMPT: str(attempt.number),
        WORK: work_of(task),
        SPEC_HASH: queue.spec_hash,
    }
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": False}],
        },
        "spec": {
            "suspend": True,
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": max(1, math.ceil(task.timeout)),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": _pod(argv, options)},
        },
    }


def _pod(argv: Sequence[str], options: JobOptions) -> dict[str, Any]:
    """A pod that satisfies the Pod Security level `restricted`."""
    size = {"cpu": options.cpu, "memory": options.memory}
    container = {
        "name": "task",
        "image": options.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [_literal(word) for word in argv],
        "resources": {"requests": size, "limits": size},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }


def _literal(word: str) -> str:
    """Kubernetes would put variables in for `$(NAME)`; `$$` is its way to write a plain `$`."""
    return word.replace("$", "$$")
