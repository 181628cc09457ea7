# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What is said of members and kinds on the hub: nothing twice, and a time only when it changed."""

from __future__ import annotations

from typing import Any

import pytest

from tmc.sync.conditions import (
    SILENT_MESSAGE,
    Condition,
    kind_ready,
    member_conditions,
    trusts_hub,
    with_conditions,
    with_entry,
    with_silent,
)
from tmc.sync.objects import Object
from tmc.sync.schema import Verdict

T1, T2 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
ACCEPTED = Verdict("Accepted")


WELL: dict[str, Any] = {
    "quarantine": "",
    "known_hub": "h",
    "hub_uid": "h",
    "verdicts": {"a": ACCEPTED},
    "unreadable": {},
    "refused": {},
    "faults": [],
    "braked": {},
    "held_up": {},
}


def ready(status: bool = True, reason: str = "Up", message: str = "") -> Condition:
    return Condition("Ready", status, reason, message)


def test_a_condition_that_stays_keeps_its_time() -> None:
    first = with_conditions({}, [ready()], T1)
    assert with_conditions(first, [ready()], T2) == first


def test_a_time_is_that_of_the_status_not_of_the_words() -> None:
    first = with_conditions({}, [ready()], T1)
    other_words = with_conditions(first, [ready(message="x")], T2)["conditions"][0]
    other_status = with_conditions(first, [ready(False)], T2)["conditions"][0]
    assert (other_words["message"], other_words["lastTransitionTime"]) == ("x", T1)
    assert other_status["lastTransitionTime"] == T2


def test_other_conditions_and_fields_stay() -> None:
    foreign = {"type": "Theirs", "status": "True"}
    status = with_conditions({"conditions": [foreign], "observedGeneration": 3}, [ready()], T1)
    assert status["observedGeneration"] == 3
    assert foreign in status["conditions"]


def statuses(**states: str) -> Object:
    status: Object = {}
    for name, state in states.items():
        status = with_entry(status, name, Verdict(state), T1)  # type: ignore[arg-type]
    return status


@pytest.mark.parametrize(
    ("states", "status", "reason", "message"),
    [
        ({"east": "Accepted", "west": "Accepted"}, "True", "Accepted", "every member carries the kind"),
        ({"east": "Pending", "west": "Accepted"}, "False", "Pending", "not carried by: east"),
        ({"east": "Pending", "west": "Incompatible"}, "False", "Incompatible", "not carried by: east, west"),
    ],
)
def test_the_condition_of_a_kind_follows_from_its_entries(
    states: dict[str, str], status: str, reason: str, message: str
) -> None:
    condition = statuses(**states)["conditions"][0]
    assert (condition["status"], condition["reason"], condition["message"]) == (status, reason, message)


@pytest.mark.parametrize(("quarantine", "trusts"), [("", True), ("HubRestored", False), ("UnknownHub", False)])
def test_a_member_says_whether_it_trusts_the_hub(quarantine: str, trusts: bool) -> None:
    said = member_conditions(**WELL | {"quarantine": quarantine})
    assert trusts_hub(with_conditions({}, said, T1)) is trusts
    assert trusts_hub({}), "one that has yet to say it"


def test_an_entry_says_what_is_dropped() -> None:
    verdict = Verdict("Incompatible", "dropped on east: spec.a", ("spec.a",))
    entry = with_entry({}, "east", verdict, T1)["members"][0]
    assert entry == {
        "name": "east",
        "state": "Incompatible",
        "message": "dropped on east: spec.a",
        "prunedFields": ["spec.a"],
        "lastTransitionTime": T1,
    }
    assert with_entry({"members": [entry]}, "east", ACCEPTED, T2)["members"] == [
        {"name": "east", "state": "Accepted", "lastTransitionTime": T2}
    ]


def test_an_entry_is_no_longer_than_the_hub_takes() -> None:
    deep = ".".join(["spec", *["field"] * 200])
    verdict = Verdict("Incompatible", "m" * 5000, (f"{deep}.a", f"{deep}.b", "spec.c"))
    entry = with_entry({}, "east", verdict, T1)["members"][0]
    assert (len(entry["message"]), entry["prunedFields"]) == (4096, [deep[:512], "spec.c"])


def test_an_entry_is_not_said_twice() -> None:
    status = statuses(east="Pending", west="Accepted")
    assert with_entry(status, "west", ACCEPTED, T2) == status


def test_silence_takes_the_entry_over_and_speech_takes_it_back() -> None:
    status = statuses(east="Accepted", west="Accepted")
    quiet = with_silent(status, ["west"], ["east", "west"], T2)
    assert quiet["members"][1] == {
        "name": "west",
        "state": "Silent",
        "message": SILENT_MESSAGE,
        "lastTransitionTime": T2,
    }
    assert quiet["conditions"][0]["reason"] == "Silent"
    assert with_silent(quiet, ["west"], ["east", "west"], "later") == quiet
    assert with_entry(quiet, "west", ACCEPTED, T2)["conditions"][0]["status"] == "True"


def test_who_has_left_is_silent_first_and_then_gone() -> None:
    status = statuses(east="Accepted", gone="Accepted")
    quiet = with_silent(status, [], ["east"], T2)
    assert [entry["state"] for entry in quiet["members"]] == ["Accepted", "Silent"]
    last = with_silent(quiet, [], ["east"], T2)
    assert [entry["name"] for entry in last["members"]] == ["east"]
    assert last["conditions"][0]["status"] == "True"
    assert with_silent(statuses(gone="Accepted"), [], [], T2)["conditions"][0]["status"] == "False"
    alone = with_silent(with_silent(statuses(gone="Accepted"), [], [], T2), [], [], T2)
    assert (alone["members"], alone["conditions"][0]["status"]) == ([], "True")


def test_a_kind_of_which_nobody_spoke_is_left_alone() -> None:
    assert with_silent({}, ["west"], ["west"], T1) == {}
    assert kind_ready([]).status


TROUBLE: list[tuple[dict[str, Any], str, str]] = [
    (
        {"verdicts": {"a": ACCEPTED, "b": Verdict("Pending", "not served on east")}},
        "KindMissing",
        "b: not served on east",
    ),
    (
        {"verdicts": {"a": Verdict("Pending", "x"), "b": Verdict("Incompatible", "dropped on east: spec.a")}},
        "KindIncompatible",
        "b: dropped on east: spec.a",
    ),
    ({"unreadable": {"b": "no epoch"}}, "KindUnreadable", "b: no epoch"),
    ({"refused": {"b": "422: may not go back"}}, "MirrorRefused", "b: 422: may not go back"),
    ({"faults": ["a on kcp", "a on east"]}, "KindUnreachable", "cannot follow a on kcp, a on east"),
]


def test_all_is_well() -> None:
    assert [(c.type, c.status) for c in member_conditions(**WELL)] == [
        ("Ready", True),
        ("HubAccepted", True),
        ("DeletionBraked", False),
        ("ObjectsHeldUp", False),
    ]


def test_objects_that_are_held_up_are_named_and_counted() -> None:
    held_up = {f"kind ns/{name}": f"why {name}" for name in "dbca"}
    *_, told = member_conditions(**WELL | {"held_up": held_up})
    assert (told.type, told.status, told.reason) == ("ObjectsHeldUp", True, "RefusedOrWaiting")
    assert told.message == "kind ns/a: why a; kind ns/b: why b; kind ns/c: why c; and 1 more"


@pytest.mark.parametrize(("facts", "reason", "message"), TROUBLE)
def test_trouble_is_said_without_blaming_the_hub(facts: dict[str, Any], reason: str, message: str) -> None:
    first, accepted, *_ = member_conditions(**WELL | facts)
    assert (first.status, first.reason, first.message) == (False, reason, message)
    assert accepted.status


@pytest.mark.parametrize("reason", ["UnknownHub", "HubRestored"])
def test_quarantine_comes_before_everything(reason: str) -> None:
    first, accepted, *_ = member_conditions(**WELL | {"quarantine": reason, "faults": ["a on kcp"]})
    assert (first.status, first.reason) == (accepted.status, accepted.reason) == (False, reason)
    assert "until the hub is accepted" in accepted.message


def test_deletions_that_are_held_back_are_said() -> None:
    ready, _, braked, _ = member_conditions(**WELL | {"braked": {"b": "more than 3 of 9 copies"}})
    assert ready.status
    assert (braked.status, braked.reason) == (True, "TooManyDeletions")
    assert "b: more than 3 of 9 copies" in braked.message
