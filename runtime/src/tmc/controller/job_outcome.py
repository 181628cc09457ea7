# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a Job and its pods say: whether it ended, how, and what keeps it from starting. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tmc.controller.plan import Outcome

Object = Mapping[str, Any]

_LONGEST: Final = 600  # characters of what a program or the cluster says; a message of a task may have 1024
_DEADLINE: Final = "DeadlineExceeded"
# The pod's end was not the command's doing: the same command may well succeed on the next attempt.
_DISRUPTED: Final = frozenset({"Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting"})


def is_finished(job: Object) -> bool:
    """All its pods have ended and Kubernetes has said how."""
    return bool(condition(job, "Complete") or condition(job, "Failed"))


def succeeded(job: Object) -> bool:
    return condition(job, "Complete") is not None


def condition(obj: Object, kind: str) -> Object | None:
    """The condition of that type, when it is true."""
    for each in (obj.get("status") or {}).get("conditions") or ():
        if each.get("type") == kind and each.get("status") == "True":
            return dict(each)
    return None


def outcome_of(job: Object, pods: Sequence[Object], timeout: float, note: str, receipt: str) -> Outcome:
    """How a finished Job ended. `note`: what kept it from starting, as far as it was said; `timeout`: seconds."""
    container = _ended(pods)
    if succeeded(job):
        return Outcome(True, result=receipt, message=_verdict(container) if container else "exit code 0")
    failure = condition(job, "Failed") or {}
    if failure.get("reason") == _DEADLINE:
        return timed_out(timeout, note)
    lost = _lost(pods)
    if lost or container is None:
        why = lost or clean(str(failure.get("message") or "")) or "it left no trace"
        return Outcome(False, message=f"its pod was lost: {why}", retry=True)
    return Outcome(False, message=_verdict(container))


def timed_out(timeout: float, note: str) -> Outcome:
    """For good, like a Job's active deadline: whoever ran into it once would run into it again."""
    return Outcome(False, message=f"timed out after {timeout:g}s" + (f": {note}" if note else ""))


def _ended(pods: Iterable[Object]) -> Object | None:
    """The state in which the task's container ended."""
    for pod in pods:
        for container in _containers(pod):
            terminated = (container.get("state") or {}).get("terminated")
            if terminated:
                return dict(terminated)
    return None


def _containers(pod: Object) -> list[Object]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _lost(pods: Iterable[Object]) -> str:
    """Why a pod ended that did not end by itself; empty text when none is such."""
    for pod in pods:
        status = pod.get("status") or {}
        disrupted = condition(pod, "DisruptionTarget")
        if disrupted:
            return clean(f"{disrupted.get('reason', '')}: {disrupted.get('message', '')}")
        if status.get("reason") in _DISRUPTED:
            return clean(f"{status['reason']}: {status.get('message', '')}")
    return ""


def _verdict(terminated: Object) -> str:
    """`exit code 3 (Error): <the last it said>`."""
    code, reason = terminated.get("exitCode"), str(terminated.get("reason") or "")
    named = f" ({clean(reason)})" if reason and reason != "Completed" else ""
    said = clean(str(terminated.get("message") or ""))
    return f"exit code {code}{named}" + (f": {said}" if said else "")


def trouble_of(pods: Sequence[Object], events: Iterable[Object]) -> str:
    """What keeps a Job from getting on: what its pods say, else the newest warning about the Job; empty: nothing."""
    for pod in pods:
        unscheduled = _unscheduled(pod)
        if unscheduled:
            return unscheduled
        for container in _containers(pod):
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                return clean(f"{waiting['reason']}: {waiting.get('message', '')}")
    if pods:
        return ""
    warnings = [event for event in events if event.get("type") == "Warning"]
    newest = max(warnings, key=lambda event: str(event.get("lastTimestamp") or ""), default=None)
    return clean(f"{newest.get('reason', '')}: {newest.get('message', '')}") if newest else ""


def _unscheduled(pod: Object) -> str:
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return clean(f"{each.get('reason', 'Unschedulable')}: {each.get('message', '')}")
    return ""


def clean(text: str) -> str:
    """One line of bounded length without control characters or marks that turn the direction of text.

    The end is kept: programs say last what went wrong.
    """
    spaced = re.sub(r"\s+", " ", text)
    visible = "".join(each for each in spaced if unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    line = visible.strip().removesuffix(":")
    return line if len(line) <= _LONGEST else "..." + line[3 - _LONGEST :]
