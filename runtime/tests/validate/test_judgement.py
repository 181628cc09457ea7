# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Every way of cheating is a row of `cheats`; each must be found, on the right cluster, in words that name it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from validate import world
from validate.cheats import CHEATS, Cheat
from validate.spoiling import ACCEPTED, everywhere

from tmc.validate.judgement import GROUPS, judge
from tmc.validate.judgement.controller import lease_problem
from tmc.validate.observations import Cluster, LeaseSample


def test_a_healthy_fabric_passes_every_check() -> None:
    checks = judge(world.healthy())
    assert [check for check in checks if not check.ok] == []
    assert {check.group for check in checks} == {"clusters", *GROUPS}


@pytest.mark.parametrize("cheat", CHEATS, ids=[cheat.name for cheat in CHEATS])
def test_cheating_is_found_and_named(cheat: Cheat) -> None:
    seen = world.healthy()
    cheat.spoil(seen)
    failed = [check for check in judge(seen) if not check.ok]
    named = [check for check in failed if (check.name, check.cluster) == (cheat.check, cheat.cluster)]
    assert named, f"failed instead: {failed}"
    assert cheat.words in named[0].reason


def test_every_check_of_a_healthy_fabric_can_fail() -> None:
    able = set()
    for cheat in CHEATS:
        seen = world.healthy()
        cheat.spoil(seen)
        able |= {check.name.split("/")[0] for check in judge(seen) if not check.ok}
    assert {check.name.split("/")[0] for check in judge(world.healthy())} == able


@pytest.mark.parametrize("group", GROUPS)
def test_only_the_groups_asked_for_are_judged(group: str) -> None:
    assert {check.group for check in judge(world.healthy(), [group])} == {"clusters", group}


def test_an_unreachable_cluster_ends_the_judgement_with_a_line_for_each_cluster() -> None:
    seen = world.healthy()
    seen.clusters["west"] = Cluster("west", False, error="timed out")
    assert [(check.cluster, check.ok) for check in judge(seen)] == [("kcp", True), ("east", True), ("west", False)]


def test_without_declared_writers_the_processor_is_not_guarded_and_the_others_are() -> None:
    seen = world.healthy()
    for synced in (*seen.synced.values(), seen.synced_after):
        assert synced is not None
        synced["spec"]["statusWriters"] = []
    for one in seen.probes:
        seen.view("west", one).status_attempt = ACCEPTED
        seen.view("east", one).status_attempt = ACCEPTED
    failed = [(check.name, check.cluster) for check in judge(seen) if not check.ok]
    assert failed == [("status-guard", "east")]


def test_a_new_holder_that_wrote_the_status_is_the_controller() -> None:
    seen = world.healthy()
    seen.leases[world.CONTROLLER_LEASE].append(LeaseSample(15.0, "host_new", "2026-01-01T00:00:05Z", "11"))
    everywhere(seen, "kcp", lambda status: status.update(processorIdentity="host_new"))
    assert all(check.ok for check in judge(seen))


FIRST = LeaseSample(1.0, "a", "2026-01-01T00:00:00Z", "1")
RENEWED = LeaseSample(4.0, "a", "2026-01-01T00:00:03Z", "2")
FAULT = LeaseSample(5.0, error="404 NotFound: no such lease")


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        ([FIRST, RENEWED], ""),
        ([FAULT, FIRST, RENEWED], ""),
        ([], "was never looked at"),
        ([FAULT], "404 NotFound"),
        ([FIRST, FAULT], "was read only once: 404"),
        ([FIRST, replace(FIRST, at=4.0)], "was not renewed in 3.0 s"),
        ([FIRST, replace(FIRST, at=4.0, resource_version="2")], "was not renewed"),
        ([FIRST, replace(RENEWED, resource_version="1")], "was not renewed"),
        ([RENEWED, FIRST], "was not renewed"),
        ([FIRST, replace(RENEWED, holder="")], "nobody holds it"),
    ],
)
def test_a_lease_is_live_only_when_it_was_seen_to_be_renewed(samples: list[LeaseSample], problem: str) -> None:
    found = lease_problem(samples)
    assert problem in found
    assert bool(found) == bool(problem)
