# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Exhaustive: every order of events in a small fabric keeps the promises and comes to rest, converged.

What each search may spend is said in `SEARCHES`; `make fuzz` adds `MORE`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest

from runtime.tests.sync import figures
from runtime.tests.sync.judge import Wrong
from runtime.tests.sync.searching import Budget, Search
from runtime.tests.sync.small_model import Model
from tmc.sync import planner
from tmc.sync.operations import Delete


@dataclass(frozen=True)
class Spent:
    """One search: how often each event may come, on how many names, and where the processor is."""

    budget: Budget
    names: int = 1
    processor: str = "west"
    has_status: bool = True


SEARCHES = {
    "old view and crash": Spent({"create": 2, "delete": 1, "stale": 1, "crash": 1}),
    "grace and crash": Spent({"create": 2, "delete": 2, "grace": 1, "crash": 1}),
    "former leader": Spent({"create": 2, "delete": 1, "wake": 1}),
    "a loss and a change": Spent({"create": 1, "delete": 1, "lose": 1, "drift": 1, "report": 1}),
    "operator": Spent({"create": 2, "delete": 1, "operator": 1, "grace": 1}),
    "two names": Spent({"create": 2, "delete": 1}, names=2),
    "the hub works": Spent({"create": 2, "delete": 1, "report": 1}, processor="kcp"),
    "no subresource": Spent({"create": 1, "delete": 1, "report": 2, "edit": 1}, has_status=False),
}
MORE = {
    "operator at work": Spent({"create": 2, "delete": 1, "operator": 1, "grace": 1, "report": 1}),
    "old view and crash, names used again": Spent({"create": 2, "delete": 2, "stale": 1, "crash": 1}),
    "two names, old view and crash": Spent({"create": 2, "delete": 2, "stale": 1, "crash": 1}, names=2),
    "former leader, names used again": Spent({"create": 2, "delete": 2, "report": 1, "wake": 1}),
    "operator, names used again": Spent({"create": 2, "delete": 2, "operator": 1, "grace": 1, "report": 1}),
    "a loss, changes and a crash": Spent(
        {"create": 1, "delete": 1, "lose": 1, "drift": 1, "report": 1, "edit": 1, "crash": 1}
    ),
    "three rivals": Spent({"create": 3, "delete": 3, "crash": 1}),
    "the hub works, old view": Spent({"create": 2, "delete": 2, "report": 1, "stale": 1}, processor="kcp"),
}


def _searches() -> dict[str, Spent]:
    return {**SEARCHES, **MORE} if os.environ.get("TMC_SEARCH") == "full" else SEARCHES


@pytest.mark.parametrize("name", list(_searches()))
def test_every_order_of_events_ends_converged(name: str) -> None:
    spent = _searches()[name]
    search = Search(Model(spent.processor, has_status=spent.has_status), spent.budget, names=spent.names)
    found = search.run()
    assert found.at_rest
    figures.JUDGED["in every order"] += found.plans
    figures.LINES.append(
        f"small model, {name}: {found.states:,} states, {found.steps:,} steps, {found.at_rest:,} at rest, "
        f"the longest way {found.deepest}"
    )


# --- broken once, to see that the search finds it


def _found(budget: Budget) -> str:
    with pytest.raises(Wrong) as wrong:
        Search(Model(), budget).run()
    return str(wrong.value)


def test_an_object_that_nobody_carries_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_hold", lambda own, more=None: [])
    assert _found({"create": 1}).startswith("what lives is in the fabric\nuser: creates on")


def test_a_wrongful_deletion_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_push", lambda own, hub, facts: [Delete("hub", hub["metadata"]["uid"], "why not")])
    assert _found({"create": 1}).startswith("a hub copy goes when its origin goes, or provably is another")
    monkeypatch.setattr("runtime.tests.sync.small_model.judge", lambda *_: None)
    assert _found({"create": 1}).startswith("no copy goes while its origin lives")


def test_syncers_that_never_rest_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = planner._maintain

    def fighting(copy: Any, hub: Any, image: Any, facts: Any) -> Any:
        return (
            [Delete("member", copy["metadata"]["uid"], "again")]
            if facts.member == "west"
            else real(copy, hub, image, facts)
        )

    monkeypatch.setattr(planner, "_maintain", fighting)
    monkeypatch.setattr("runtime.tests.sync.small_model.judge", lambda *_: None)
    monkeypatch.setattr("runtime.tests.sync.small_model.judge_change", lambda *_: None)
    assert "without end" in _found({"create": 1})


def test_a_plan_that_is_not_followed_through_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_untroubled", lambda own: [])
    monkeypatch.setattr(planner, "_push", lambda own, hub, facts: [])
    assert _found({"create": 1, "edit": 1}).startswith("all copies say the same")
