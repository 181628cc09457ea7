# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Deletions without evidence of their own stop at a share of the copies, until a person lets them through."""

from __future__ import annotations

import pytest

from tmc.sync.brake import ALWAYS, SHARE, WINDOW_SECONDS, Brake


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def brake(clock: Clock) -> Brake:
    return Brake(clock=clock)


def delete(brake: Brake, copies: int, wanted: int) -> int:
    """How many of `copies` went when `wanted` of them were to."""
    gone = 0
    for number in range(wanted):
        gone += brake.allows(f"uid-{number}", copies - gone)
    return gone


@pytest.mark.parametrize(
    ("copies", "allowed"), [(1, 1), (3, 3), (4, 3), (15, 3), (19, 3), (20, 4), (100, 20), (1000, 200), (10000, 2000)]
)
def test_three_or_a_fifth_may_go_and_then_none(brake: Brake, copies: int, allowed: int) -> None:
    assert delete(brake, copies, copies) == allowed
    assert bool(brake.message) is (allowed < copies)


def test_it_stays_on_when_time_passes(brake: Brake, clock: Clock) -> None:
    delete(brake, 100, 30)
    clock.now += 100 * WINDOW_SECONDS
    assert not brake.allows("uid-50", 80)
    assert "more than 20 of 100 copies within 60 s" in brake.message


def test_what_is_spread_over_time_goes(brake: Brake, clock: Clock) -> None:
    for number in range(50):
        clock.now += WINDOW_SECONDS / ALWAYS + 1
        assert brake.allows(f"uid-{number}", 10)


def test_asking_again_for_the_same_copy_counts_once(brake: Brake) -> None:
    assert all(brake.allows("uid", 1) for _ in range(50))
    assert not brake.message


def test_a_person_lets_through_what_waits_and_no_more(brake: Brake) -> None:
    delete(brake, 10, 8)
    brake.release()
    assert not brake.message
    assert all(brake.allows(f"uid-{number}", 7) for number in range(3, 8))
    assert [brake.allows(f"later-{number}", 10) for number in range(5)] == [True] * ALWAYS + [False] * 2


def test_it_is_on_from_the_begin_when_it_was_on_before(brake: Brake) -> None:
    brake.put_on("more than 3 of 10")
    assert not brake.allows("uid", 10)
    brake.release()
    assert brake.allows("uid", 10)


def test_the_share_is_of_all_copies_not_of_those_that_are_left(brake: Brake) -> None:
    assert delete(brake, 1000, 500) == int(SHARE * 1000)
