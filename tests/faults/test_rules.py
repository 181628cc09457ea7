# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The judges see what they are there to see: each rule, once kept and once broken."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.calls import Call, Entry
from tests.faults.normal import differences, normal_state
from tests.faults.rules import LATE_SECONDS, Judge, result_of, spec_hash
from tests.faults.traffic import Ledger, judge_traffic

SPEC: dict[str, Any] = {"region": "r", "tasks": [{"name": "t", "command": "c"}, {"name": "u", "command": "d"}]}


def queue(uid: str, origin: str = "", *, done: int | None = None, **status: Any) -> dict[str, Any]:
    """A TaskQueue; with `origin` a copy of that uid; `done` of its two tasks are done."""
    metadata: dict[str, Any] = {"name": "n", "namespace": "ns", "uid": uid, "resourceVersion": "1", "generation": 1}
    if origin:
        metadata |= {"labels": {"tmc.io/origin": "east"}}
        metadata |= {"annotations": {"tmc.io/origin-uid": origin, "tmc.io/origin-cluster-uid": "e"}}
    obj: dict[str, Any] = {"metadata": metadata, "spec": copy.deepcopy(SPEC)}
    if done is not None:
        tasks = [
            {"name": task["name"], "state": "Succeeded", "attempts": 1}
            | {"result": result_of(origin or uid, task["name"], task["command"])}
            for task in SPEC["tasks"][:done]
        ]
        phase = "Completed" if done == 2 else "Running"
        obj["status"] = {"phase": phase, "completedTasks": done, "epoch": 1, "observedSpecHash": spec_hash(SPEC)}
        obj["status"] |= {"tasks": tasks, **status}
    return obj


def deleting(obj: dict[str, Any]) -> dict[str, Any]:
    obj["metadata"]["deletionTimestamp"] = "now"
    return obj


def judged(*events: tuple[str, str, dict[str, Any]], released: str = "", apart: float = 0.1) -> list[str]:
    judge = Judge()
    judge.released.add(released)
    for number, (cluster, kind, obj) in enumerate(events):
        judge.feed(cluster, kind, obj, number * apart)
    return [violation.rule for violation in judge.violations]


def test_a_life_without_faults_breaks_nothing() -> None:
    life = [
        ("east", "ADDED", queue("o")),
        ("kcp", "ADDED", queue("k", "o")),
        ("west", "ADDED", queue("w", "o")),
        *((cluster, "MODIFIED", queue(uid, of, done=n)) for n in (0, 1, 2) for cluster, uid, of in COPIES),
        ("west", "DELETED", deleting(queue("w", "o"))),
        ("kcp", "DELETED", deleting(queue("k", "o"))),
        ("east", "DELETED", deleting(queue("o"))),
    ]
    assert judged(*life, released="o") == []


COPIES = (("west", "w", "o"), ("kcp", "k", "o"), ("east", "o", ""))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (queue("w", done=2), queue("w", done=2, phase="Running")),
        (queue("w", done=1), queue("w", done=0)),
        (queue("w", done=1), queue("w")),
        (queue("w", done=1, epoch=2), queue("w", done=1, epoch=1)),
    ],
)
def test_progress_that_goes_back_is_seen(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert "regression" in judged(("west", "ADDED", before), ("west", "MODIFIED", after))


def test_the_status_of_an_older_spec_is_seen() -> None:
    old, new = queue("w", done=2), queue("w", done=0)
    new["spec"]["region"] = "elsewhere"
    new["status"]["observedSpecHash"] = spec_hash(new["spec"])
    assert judged(*(("west", "MODIFIED", each) for each in (old, new, old))) == ["regression"]


def test_a_task_that_is_done_again_is_seen() -> None:
    again = queue("w", done=1)
    again["status"]["tasks"][0]["attempts"] = 2
    assert judged(("west", "ADDED", queue("w", done=1)), ("west", "MODIFIED", again)) == ["done twice"]


def test_a_result_or_spec_of_another_object_is_seen() -> None:
    stranger = queue("w", "new", done=2)
    stranger["status"] = queue("w", "old", done=2)["status"]
    assert judged(("west", "ADDED", stranger)) == ["leak", "leak"]
    stranger = queue("w", "new", done=0, observedSpecHash="another")
    assert judged(("west", "ADDED", stranger)) == ["leak"]


@pytest.mark.parametrize("kind", ["DELETED", "MODIFIED"])
def test_a_deletion_that_no_user_asked_for_is_seen(kind: str) -> None:
    event = ("west", kind, deleting(queue("w", "o")))
    assert judged(event, released="o") == []
    assert judged(event, released="other") == ["wrongful delete"]


def test_a_copy_that_comes_back_is_seen() -> None:
    gone, back = ("east", "DELETED", deleting(queue("o"))), ("west", "ADDED", queue("w", "o"))
    assert judged(gone, back, released="o", apart=LATE_SECONDS / 2) == []
    assert judged(gone, back, released="o", apart=LATE_SECONDS * 2) == ["resurrection"]


def test_a_copy_of_what_an_api_server_let_go_past_our_finalizer_may_be_seen() -> None:
    held = queue("o")
    held["metadata"]["finalizers"] = ["tmc.io/sync"]
    back = ("west", "ADDED", queue("w", "o"))
    assert judged(("east", "DELETED", held), back, released="o", apart=LATE_SECONDS * 2) == []
    assert judged(("east", "DELETED", queue("o")), back, released="o", apart=LATE_SECONDS * 2) == ["resurrection"]


def test_a_copy_whose_creation_comes_late_may_be_seen_again() -> None:
    late, judge = queue("", "o"), Judge()
    del late["metadata"]["uid"]
    judge.brings_back(late)
    judge.brings_back({"kind": "Event", "metadata": {"name": "n.1", "namespace": "ns"}})
    assert judge.brought_back == {"o"}


@pytest.mark.parametrize(
    ("cluster", "change"),
    [
        ("west", {"finalizers": ["user/hold"]}),
        ("kcp", {"ownerReferences": [{}]}),
        ("west", {"finalizers": ["tmc.io/x"]}),
    ],
)
def test_what_must_not_travel_is_seen(cluster: str, change: dict[str, Any]) -> None:
    obj = queue("w", "o")
    obj["metadata"] |= change
    assert judged((cluster, "ADDED", obj)) == ["unclean copy"]
    assert judged(("kcp", "ADDED", queue("k", "o"))) == []


def write(verb: str, body: Any, process: str = "syncer-west", subresource: str = "") -> Entry:
    return Entry(0.0, Call(process, "kcp", verb, "taskqueues", "ns", "n", subresource), 200, body)


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        (write("DELETE", {"preconditions": {"uid": "u"}}), None),
        (write("DELETE", {"preconditions": {}}), "unconditional delete"),
        (write("DELETE", None), "unconditional delete"),
        (write("PATCH", [{"op": "add", "path": "/spec"}]), "unconditional write"),
        (write("PATCH", [{"op": "replace", "path": "/metadata/resourceVersion"}]), None),
        (write("PATCH", [{"op": "test", "path": "/metadata/uid"}, {"op": "remove", "path": "/spec"}]), None),
        (write("PATCH", {"metadata": {"resourceVersion": "1"}}, subresource="status"), None),
        (write("PATCH", {"metadata": {"resourceVersion": "1"}}, "syncer-east", "status"), "second status writer"),
    ],
)
def test_traffic_is_judged(entry: Entry, rule: str | None) -> None:
    assert [each.rule for each in judge_traffic([entry], "kcp", "syncer-west")] == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        ([("started", 1), ("recorded", 1)], []),
        ([("started", 1), ("started", 2), ("recorded", 2)], []),
        ([("started", 1), ("started", 1)], ["started twice"]),
        ([("started", 1), ("recorded", 1), ("started", 2)], ["done twice"]),
        ([("recorded", 1), ("recorded", 1)], ["done twice"]),
    ],
)
def test_the_ledger_is_judged(tmp_path: Path, lines: list[tuple[str, int]], rules: list[str]) -> None:
    base = {"logger": "tmc.controller.ledger", "queue": "ns/n", "uid": "u", "specHash": "s", "task": "t"}
    base |= {"identity": "i", "state": "Succeeded"}
    text = "".join(
        json.dumps(base | {"msg": msg, "attempt": attempt}, separators=(",", ":")) + "\n" for msg, attempt in lines
    )
    log = tmp_path / "log"
    ledger = Ledger(log)
    assert ledger.read_on() == []
    log.write_text(text + '{"half')
    assert [violation.rule for violation in ledger.read_on()] == rules


def test_states_differ_by_what_matters_alone() -> None:
    def state(uid: str, region: str, status: str = "Completed") -> Any:
        origin, mirror = queue(uid, done=2), queue(f"copy of {uid}", uid, done=2, phase=status, startTime=uid)
        mirror["spec"]["region"] = region
        return normal_state({"east": {"n": origin}, "west": {"n": mirror}})

    assert differences(state("a", "r"), state("b", "r")) == []
    assert differences(state("a", "r"), state("b", "q")) == ["west/n.spec.region: 'q' instead of 'r'"]
    assert len(differences(state("a", "r"), state("b", "r", "Running"))) == 1
    orphan = {"east": {}, "west": {"n": queue("w", "gone", done=2)}}
    assert any("no more" in line for line in differences(state("a", "r"), normal_state(orphan)))
