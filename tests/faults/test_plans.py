# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Plans are data: what is written is read, the same seed gives the same plans, and calls are matched as said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults import generate
from tests.faults.calls import parse_call
from tests.faults.plans import Armed, Fault, Match, Plan, load_plan, parse_plan
from tests.faults.stories import STORIES

WRITES = {"controller": 30, "syncer-east": 70, "syncer-west": 70}
EVENTS = dict.fromkeys(generate.LINKS, 40)
COMMITTED = sorted(Path(__file__).with_name("plans").glob("*.json"))
PATH = "/apis/demo.tmc.io/v1/namespaces/ns/taskqueues"


def everything(seed: int) -> list[Plan]:
    return [
        *generate.crashes(WRITES),
        *generate.double_crashes(WRITES, seed, 9),
        *generate.stale_reads(WRITES, seed, 9),
        *generate.hidden_events(EVENTS, seed, 9),
        *generate.odd_events(EVENTS, seed, 9),
        *generate.partitions(WRITES, seed, 9),
        *generate.long_partitions(WRITES, seed, 9),
        *generate.api_faults(WRITES, seed, 22),
        *generate.absences(WRITES, seed, 8),
        *generate.freezes(WRITES, seed, 5),
        *generate.short_freezes(WRITES, seed, 5),
        *generate.races(seed, 3, 20),
        *generate.dead_watches(5),
    ]


def test_a_plan_is_what_its_file_says() -> None:
    for plan in everything(seed=7):
        assert parse_plan(json.loads(plan.to_json())) == plan
        assert plan.story in STORIES


def test_the_same_seed_gives_the_same_plans() -> None:
    assert everything(seed=3) == everything(seed=3)
    assert everything(seed=3) != everything(seed=4)
    names = [plan.name for plan in everything(seed=3)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_plans_can_be_read_and_say_why(path: Path) -> None:
    plan = load_plan(path)
    assert plan.name == path.stem
    assert plan.why
    assert plan.story in STORIES


@pytest.mark.parametrize(
    "document",
    [
        {"faults": []},
        {"name": "x", "fault": []},
        {"name": "x", "faults": [{"on": {"verb": "WRITE"}, "do": {"explode": 1}}]},
        {"name": "x", "faults": [{"on": {"verb": "WRITE"}, "do": {"kill": "before", "error": 500}}]},
        {"name": "x", "faults": [{"on": {"verb": "WRITE", "who": "me"}, "do": {"kill": "before"}}]},
    ],
)
def test_what_is_no_plan_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="plan "):
        parse_plan(document)


def test_calls_are_read_from_requests() -> None:
    body = {"metadata": {"name": "n"}}
    made = parse_call("p", "c", "POST", PATH, {}, body)
    assert (made.verb, made.resource, made.namespace, made.name, made.is_write) == (
        "CREATE",
        "taskqueues",
        "ns",
        "n",
        True,
    )
    assert parse_call("p", "c", "GET", "/apis/demo.tmc.io/v1/taskqueues", {"watch": "1"}, None).verb == "WATCH"
    assert parse_call("p", "c", "GET", "/apis/demo.tmc.io/v1/taskqueues", {}, None).verb == "LIST"
    assert parse_call("p", "c", "PATCH", f"{PATH}/n/status", {}, []).subresource == "status"
    assert parse_call("p", "c", "GET", "/api/v1/namespaces/ns", {}, None).concerns("ns")
    token = parse_call("p", "c", "POST", "/api/v1/namespaces/ns/serviceaccounts/sa/token", {}, {"spec": {}})
    assert not token.is_write


def test_the_nth_call_of_the_runs_own_namespace_meets_its_fault() -> None:
    fault = Fault(Match("WRITE", "syncer-west", nth=2, count=2), {"cut": "before"})
    armed = Armed(Plan("p", (fault,)), "ns")
    mine = parse_call("syncer-west", "kcp", "PATCH", f"{PATH}/n", {}, [])
    others = parse_call("syncer-west", "kcp", "PATCH", f"{PATH.replace('/ns/', '/else/')}/n", {}, [])
    read = parse_call("syncer-west", "kcp", "GET", f"{PATH}/n", {}, None)
    assert [bool(armed.due(call)) for call in (mine, others, read, mine, mine, mine)] == [
        False,
        False,
        False,
        True,
        True,
        False,
    ]
    assert armed.all_fired
