# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a campaign says of its own figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.faults.campaign import TARGET_OBJECTS, TARGET_RACES, TARGET_TASKS, TARGETS, Figures, Tally, short_of
from tests.faults.lab import versions


def reached() -> Figures:
    tallies = {name: Tally(reached=least) for name, least in TARGETS.items()}
    tallies |= {"race": Tally(races=TARGET_RACES), "dead watch": Tally(heals=[1.2])}
    return Figures(tallies, totals=Counter({"objects created": TARGET_OBJECTS, "tasks recorded": TARGET_TASKS}))


def test_nothing_is_short() -> None:
    assert short_of(reached()) == []


@pytest.mark.parametrize(
    ("name", "field", "value", "told"),
    [
        ("crash", "reached", 299, "crash: plans that met their fault: 299, at least 300 wanted"),
        ("race", "races", 999, "names created anew: 999, at least 1000 wanted"),
        ("dead watch", "heals", [0.9, 1.21], "floors until a dead watch was healed: 1.21, at most 1.2 wanted"),
        ("crash", "most_writes", 2.5, "writes of a run with faults: 2.50, at most 2.0 wanted"),
    ],
)
def test_what_is_short_is_named(name: str, field: str, value: Any, told: str) -> None:
    figures = reached()
    setattr(figures.tallies[name], field, value)
    assert short_of(figures) == [told]


def test_a_list_is_old_when_an_object_has_changed_come_or_gone() -> None:
    def obj(uid: str, version: str) -> dict[str, Any]:
        return {"metadata": {"uid": uid, "resourceVersion": version}}

    one = versions([obj("a", "1")])
    assert one == versions([obj("a", "1")])
    assert one not in (versions([obj("a", "2")]), versions([]), versions([obj("a", "1"), obj("b", "1")]))
