# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Who gets free workers: priority, then age, then name; never more than there are."""

from __future__ import annotations

import random

from tmc.controller.schedule import Demand, schedule
from tmc.core.keys import ObjectKey


def demand(name: str, wanted: int, rank: int = 2, created: str = "2026-01-01T00:00:00Z") -> Demand:
    return Demand(rank, created, ObjectKey("default", name), wanted)


def grants(demands: list[Demand], free: int) -> dict[str, int]:
    return {key.name: number for key, number in schedule(demands, free).items()}


def test_higher_priority_is_served_first() -> None:
    asked = [demand("low", 5, rank=3), demand("critical", 2, rank=0), demand("normal", 5, rank=2), demand("high", 2, 1)]
    assert grants(asked, 5) == {"critical": 2, "high": 2, "normal": 1}


def test_among_equals_the_older_is_served_first() -> None:
    young, old = demand("a", 3, created="2026-01-02T00:00:00Z"), demand("b", 3, created="2026-01-01T00:00:00Z")
    assert grants([young, old], 4) == {"b": 3, "a": 1}


def test_what_the_first_does_not_want_is_left_for_the_next() -> None:
    assert grants([demand("a", 1), demand("b", 0), demand("c", 9)], 5) == {"a": 1, "c": 4}


def test_nothing_is_granted_when_nothing_is_free() -> None:
    assert grants([demand("a", 1)], 0) == {}
    assert grants([demand("a", 1)], -2) == {}


def test_never_more_than_free_nor_than_wanted_and_nothing_left_idle() -> None:
    source = random.Random(1)
    for _ in range(500):
        asked = [demand(str(n), source.randrange(6), source.randrange(4)) for n in range(source.randrange(8))]
        free = source.randrange(9)
        given = schedule(asked, free)
        wanted = {each.key: each.wanted for each in asked}
        assert all(0 < number <= wanted[key] for key, number in given.items())
        assert sum(given.values()) == min(free, sum(wanted.values()))
