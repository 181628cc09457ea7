# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that refuse bad input and judge what was read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tmc.cross_cluster.plugins.filter.content_digest import content_digest
from ansible_collections.tmc.cross_cluster.plugins.filter.environment_problems import environment_problems, seconds
from ansible_collections.tmc.cross_cluster.plugins.filter.fabric_problems import fabric_problems
from ansible_collections.tmc.cross_cluster.plugins.filter.table import table
from ansible_collections.tmc.cross_cluster.plugins.filter.tag_problems import tag_problems
from ansible_collections.tmc.cross_cluster.plugins.filter.taskqueue_problems import taskqueue_problems

FABRIC = {"hub": ["kcp"], "members": ["east", "west"]}


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("DEMO_DEBUG", "yess", "true or false"),
        ("DEMO_SKIP_CLEANUP", "1", "true or false"),
        ("DEMO_PAUSE_STEPS", "ja", "true or false"),
        ("CONTROLLER_WORKERS", "five", "an integer 1-64"),
        ("CONTROLLER_WORKERS", "0", "an integer 1-64"),
        ("CONTROLLER_WORKERS", "65", "an integer 1-64"),
        ("CONTROLLER_WORKERS", "10000", "an integer 1-64"),
        ("CONTROLLER_WORKERS", "-1", "an integer 1-64"),
        ("CONTROLLER_WORKERS", "2.5", "an integer 1-64"),
        ("CONTROLLER_SYNC_INTERVAL", "10", "a unit"),
        ("CONTROLLER_SYNC_INTERVAL", "0s", "1s-1h"),
        ("CONTROLLER_SYNC_INTERVAL", "1us", "1s-1h"),
        ("CONTROLLER_SYNC_INTERVAL", "61m", "1s-1h"),
        ("CONTROLLER_SYNC_INTERVAL", "10 s", "a unit"),
        ("CONTROLLER_PROCESSING_DELAY", "fast", "a unit"),
        ("CONTROLLER_PROCESSING_DELAY", "11m", "0s-10m"),
        ("tmc_debug", "yess", "true or false"),
        ("tmc_controller_workers", "500", "an integer 1-64"),
        ("tmc_controller_workers", 0, "an integer 1-64"),
        ("tmc_failover_after", 29, "an integer 30-86400"),
        ("tmc_sync_interval", "10", "a unit"),
        ("tmc_sync_interval", "", "a unit"),
        ("tmc_processing_delay", "61m", "0s-1h"),
        ("tmc_run_as", "Deployment", "process or deployment"),
    ],
)
def test_a_bad_value_is_refused_with_name_value_what_is_allowed_and_a_fix(name: str, value: Any, allowed: str) -> None:
    (problem,) = environment_problems({name: value})
    assert problem.startswith(f"{name}='{value}' ")
    assert allowed in problem
    assert f"try {name}=" in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEMO_DEBUG", "true"),
        ("DEMO_DEBUG", "False"),
        ("DEMO_DEBUG", ""),
        ("CONTROLLER_WORKERS", "1"),
        ("CONTROLLER_WORKERS", "64"),
        ("CONTROLLER_SYNC_INTERVAL", "1s"),
        ("CONTROLLER_SYNC_INTERVAL", "1h"),
        ("CONTROLLER_SYNC_INTERVAL", "1m30s"),
        ("CONTROLLER_PROCESSING_DELAY", "200ms"),
        ("CONTROLLER_PROCESSING_DELAY", "0s"),
        ("tmc_debug", False),
        ("tmc_controller_workers", 64),
        ("tmc_run_as", "deployment"),
    ],
)
def test_a_good_or_empty_value_passes(name: str, value: Any) -> None:
    assert environment_problems({name: value}) == []


def test_all_bad_values_are_named_at_once() -> None:
    assert (
        len(environment_problems({"DEMO_DEBUG": "x", "CONTROLLER_WORKERS": "x", "CONTROLLER_SYNC_INTERVAL": "x"})) == 3
    )


def test_durations_add_up() -> None:
    assert seconds("1h1m1s500ms") == 3661.5
    assert seconds("1s 1s") is None


def test_a_hub_and_members_are_a_fabric_and_any_of_them_can_be_the_processor() -> None:
    for processor in ("kcp", "east", "west"):
        assert fabric_problems(FABRIC, processor) == []


@pytest.mark.parametrize(
    ("groups", "processor", "said"),
    [
        (FABRIC, "north", "tmc_processor 'north' is not one of: kcp, east, west"),
        (
            {"hub": [], "members": ["west"]},
            "west",
            "exactly one cluster must be in the inventory group 'hub', got: none",
        ),
        ({"hub": ["a", "b"], "members": ["west"]}, "west", "got: a, b"),
        ({"hub": ["kcp"]}, "kcp", "group 'members' has no host"),
        ({"hub": ["kcp"], "members": ["kcp", "west"]}, "west", "'kcp' is in both groups"),
        ({"hub": ["kcp"], "members": ["hub"]}, "hub", "'hub' is reserved"),
        ({"hub": ["kcp"], "members": ["East_1"]}, "kcp", "'East_1' is invalid"),
        ({"hub": ["kcp"], "members": ["a" * 41]}, "kcp", "too long (41); at most 40"),
    ],
)
def test_an_inventory_that_is_no_fabric_is_refused(groups: dict[str, list[str]], processor: str, said: str) -> None:
    (problem,) = fabric_problems(groups, processor)
    assert said in problem


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        (["west", "kcp"], "tmc_failover_candidates: 'kcp' is not one of the members: east, west; only a member"),
        (["north"], "tmc_failover_candidates: 'north' is not one of the members"),
        ("east", "tmc_failover_candidates is the text 'east', not a list; write it as [east]"),
    ],
)
def test_only_members_are_candidates_for_a_failover(candidates: Any, said: str) -> None:
    assert fabric_problems(FABRIC, "west", ["west", "east"]) == []
    (problem,) = fabric_problems(FABRIC, "west", candidates)
    assert said in problem


def test_a_misspelt_tag_is_refused_with_the_one_that_was_meant() -> None:
    known = ["check-status", "check-sync"]
    assert tag_problems(["check-sync", "all"], known) == []
    (problem,) = tag_problems(["check-staus"], known)
    assert "'check-staus' is not one of: check-status, check-sync; did you mean 'check-status'?" in problem


def queue(name: str, origin: str = "", **status: str) -> dict[str, Any]:
    labels = {"tmc.io/origin": origin} if origin else {}
    return {"metadata": {"name": name, "namespace": "default", "labels": labels}, "status": status}


CREATED = {"kcp": [], "east": [queue("a")], "west": []}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([], "'west' does not show default/a of 'east'"),
        (
            [queue("a", phase="Completed", processingCluster="west-controller")],
            "created on 'west', but it was on 'east'",
        ),
        ([queue("a", "east")], "is not begun on 'west', not Completed"),
        ([queue("a", "east", phase="Failed", message="task x")], "is Failed on 'west', not Completed: task x"),
        (
            [queue("a", "east", phase="Completed", processingCluster="kcp-controller")],
            "was processed by 'kcp-controller'",
        ),
    ],
)
def test_a_taskqueue_that_is_not_as_it_should_be_is_named(seen: list[dict[str, Any]], said: str) -> None:
    problems = taskqueue_problems(seen, "west", CREATED, phases=["Completed"], controller="west-controller")
    assert len(problems) == 1
    assert said in problems[0]


def test_a_taskqueue_that_is_as_it_should_be_passes() -> None:
    seen = [queue("a", "east", phase="Completed", processingCluster="west-controller"), queue("another")]
    assert taskqueue_problems(seen, "west", CREATED, phases=["Completed"], controller="west-controller") == []
    assert taskqueue_problems([queue("a")], "east", CREATED) == []


def test_a_table_of_taskqueues_tells_own_ones_from_copies() -> None:
    lines = table([queue("a", "east", progress="1/2"), queue("b")], title="west shows", taskqueues=True, cluster="west")
    assert lines[0] == "west shows"
    assert [cell.strip() for cell in lines[4].split("│")[1:-1]] == ["a", "-", "[from east]", "1/2", "-"]
    assert "[LOCAL]" in lines[5]
    assert len({len(line) for line in lines[1:]}) == 1


def test_an_empty_table_says_so() -> None:
    assert table([], title="x") == ["x", "  (nothing)"]


def test_what_stands_for_content_changes_with_content_and_names_alone(tmp_path: Path) -> None:
    def tree(name: str, content: str, top: str) -> list[str]:
        (tmp_path / top / "src").mkdir(parents=True)
        (tmp_path / top / "src" / name).write_text(content)
        return [str(tmp_path / top / "src")]

    one = content_digest(tree("a.py", "x", "here"))
    assert content_digest(tree("a.py", "x", "elsewhere")) == one
    assert len({one, content_digest(tree("a.py", "y", "content")), content_digest(tree("b.py", "x", "name"))}) == 3


def test_what_has_no_content_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match=f"content_digest: '{tmp_path}/gone' cannot be read: No such file"):
        content_digest([f"{tmp_path}/gone"])
