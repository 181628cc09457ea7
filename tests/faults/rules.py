# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What must hold at every event that an observer of any cluster sees, whatever goes wrong. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ORIGIN_UID, ORIGIN_CLUSTER = "tmc.io/origin-uid", "tmc.io/origin"
FOREIGN = "operator.example/"  # what the stories' own operators put on copies
LATE_SECONDS = 2.0  # how much later one audit stream may be than another
FINAL = frozenset({"Completed", "Failed"})


def origin_uid(obj: Mapping[str, Any]) -> str:
    """The identity of what the object is, or is a copy of."""
    metadata = obj["metadata"]
    return str((metadata.get("annotations") or {}).get(ORIGIN_UID) or metadata["uid"])


def is_copy(obj: Mapping[str, Any]) -> bool:
    return ORIGIN_UID in (obj["metadata"].get("annotations") or {})


def spec_hash(spec: Mapping[str, Any]) -> str:
    """As docs/protocol.md defines `observedSpecHash`."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def result_of(uid: str, task: str, command: str) -> str:
    """As docs/protocol.md defines the result of a simulated task."""
    return hashlib.sha256(f"{uid}/{task}/{command}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: `rule` is its short name."""

    rule: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.where}: {self.text}"


@dataclass(slots=True)
class Shown:
    """What an observer of one object has seen of its status so far."""

    epoch: int = 0
    spec: str = ""
    completed: int = 0
    phase: str = ""
    had_status: bool = False
    past: set[str] = field(default_factory=set)
    succeeded: dict[str, int] = field(default_factory=dict)  # attempts by task, under `spec`


class Judge:
    """Feed it every event of every cluster. `released` are the uids that users have asked to delete, before they do.

    `brought_back` are origin uids that a fault itself creates anew, or that an API server let go past our finalizers:
    copies of them must go again, but they may be seen.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.released: set[str] = set()
        self.brought_back: set[str] = set()
        self.events = 0
        self._shown: defaultdict[tuple[str, str], Shown] = defaultdict(Shown)
        self._specs: defaultdict[str, set[str]] = defaultdict(set)
        self._results: defaultdict[str, set[str]] = defaultdict(set)
        self._gone: dict[str, float] = {}

    def brings_back(self, created: dict[str, Any]) -> None:
        """A creation reaches a cluster late: of a copy, it may show for a moment what is gone already."""
        if is_copy(created):
            self.brought_back.add(origin_uid(created))

    def feed(self, cluster: str, kind: str, obj: dict[str, Any], at: float) -> None:
        """One event, `at` in seconds of any steady clock."""
        self.events += 1
        metadata = obj["metadata"]
        where = f"{cluster}/{metadata['namespace']}/{metadata['name']}"
        self._learn(obj)
        self._no_wrongful_delete(kind, obj, where)
        if kind == "DELETED":
            self._gone.setdefault(metadata["uid"], at)
            if not metadata.get("deletionTimestamp") and metadata.get("finalizers"):
                self.brought_back.add(metadata["uid"])  # past a finalizer: kubernetes/kubernetes issue 77988
            return
        self._no_resurrection(kind, obj, where, at)
        self._clean_copy(cluster, obj, where)
        status = obj.get("status") or {}
        shown = self._shown[cluster, metadata["uid"]]
        if status:
            self._no_leak(obj, status, where)
            self._no_regression(shown, status, where)
        elif shown.had_status:
            self._break("regression", where, "the status has vanished")

    def forget(self) -> None:
        """Drop what is known of objects that are gone, to keep memory bounded."""
        for uid in self._gone:
            self._specs.pop(uid, None)
            self._results.pop(uid, None)
        for key in [key for key in self._shown if key[1] in self._gone]:
            del self._shown[key]

    def _break(self, rule: str, where: str, text: str) -> None:
        self.violations.append(Violation(rule, where, text))

    def _learn(self, obj: dict[str, Any]) -> None:
        uid = origin_uid(obj)
        self._specs[uid].add(spec_hash(obj["spec"]))
        for task in obj["spec"]["tasks"]:
            self._results[uid].add(result_of(uid, task["name"], task["command"]))

    def _no_wrongful_delete(self, kind: str, obj: dict[str, Any], where: str) -> None:
        metadata = obj["metadata"]
        if kind != "DELETED" and not metadata.get("deletionTimestamp"):
            return
        if not {metadata["uid"], origin_uid(obj)} & self.released:
            self._break("wrongful delete", where, f"{kind} of uid {metadata['uid']}, origin {origin_uid(obj)} lives")

    def _no_resurrection(self, kind: str, obj: dict[str, Any], where: str, at: float) -> None:
        gone = self._gone.get(uid := origin_uid(obj))
        if kind == "ADDED" and gone is not None and at - gone > LATE_SECONDS and uid not in self.brought_back:
            self._break("resurrection", where, f"a copy of {uid}, {at - gone:.1f} s after that was gone")

    def _clean_copy(self, cluster: str, obj: dict[str, Any], where: str) -> None:
        if not is_copy(obj):
            return
        metadata = obj["metadata"]
        ours = ("tmc.io/",) if cluster == "kcp" else ()
        strange = [each for each in metadata.get("finalizers") or () if not each.startswith((*ours, FOREIGN))]
        if strange or metadata.get("ownerReferences"):
            self._break("unclean copy", where, f"finalizers {strange}, owners {metadata.get('ownerReferences')}")

    def _no_leak(self, obj: dict[str, Any], status: dict[str, Any], where: str) -> None:
        uid = origin_uid(obj)
        if status.get("observedSpecHash") not in self._specs[uid]:
            self._break("leak", where, f"status of a spec that {uid} never had: {status.get('observedSpecHash')}")
        for task in status.get("tasks") or ():
            if task.get("result") and task["result"] not in self._results[uid]:
                self._break("leak", where, f"task {task['name']} of {uid} has another object's result {task['result']}")

    def _no_regression(self, shown: Shown, status: dict[str, Any], where: str) -> None:
        spec, epoch, phase = status.get("observedSpecHash", ""), status.get("epoch", 0), status.get("phase", "")
        completed = status.get("completedTasks", 0)
        if epoch < shown.epoch:
            self._break("regression", where, f"epoch {shown.epoch} -> {epoch}")
        if spec != shown.spec:
            if spec in shown.past:
                self._break("regression", where, f"back to the status of an older spec: {shown.spec} -> {spec}")
            shown.past.add(shown.spec)
            shown.succeeded = {}
        else:
            if completed < shown.completed:
                self._break("regression", where, f"completedTasks {shown.completed} -> {completed}")
            if shown.phase in FINAL and phase != shown.phase:
                self._break("regression", where, f"phase {shown.phase} -> {phase}")
        self._no_work_twice(shown, status, where)
        shown.had_status, shown.epoch, shown.spec, shown.phase, shown.completed = True, epoch, spec, phase, completed

    def _no_work_twice(self, shown: Shown, status: dict[str, Any], where: str) -> None:
        for task in status.get("tasks") or ():
            before = shown.succeeded.get(task["name"])
            attempts = task.get("attempts", 0)
            if before is not None and (task["state"] != "Succeeded" or attempts != before):
                text = (
                    f"task {task['name']} had succeeded in attempt {before}, now {task['state']} in attempt {attempts}"
                )
                self._break("done twice", where, text)
            elif task["state"] == "Succeeded":
                shown.succeeded[task["name"]] = attempts
