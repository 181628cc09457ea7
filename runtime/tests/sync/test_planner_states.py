# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner on any state, reachable or not: total, idempotent, and never at what is not ours (`judge.py`).

A case that failed once stays in `cases/` and is played again for ever.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runtime.tests.sync import figures
from runtime.tests.sync.fuzzing import CASES, failure, fuzz, run_case, shrink
from tmc.sync import planner
from tmc.sync.operations import Delete

PLANS = int(os.environ.get("TMC_FUZZ_PLANS", "160000"))
SEED = int(os.environ.get("TMC_FUZZ_SEED", "1"))


def test_every_answer_is_right_and_comes_to_an_end() -> None:
    judged, states, longest = fuzz(SEED, PLANS)
    figures.JUDGED["on any state"] += judged
    figures.LINES.append(f"planner: {states:,} states of any kind, each settled after at most {longest} plans")
    assert longest > 3, "the generator makes only easy states"


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_what_failed_once(path: Path) -> None:
    assert not failure(json.loads(path.read_text(encoding="ascii")))


def _case(**facts: Any) -> dict[str, Any]:
    meta = {"name": "a", "uid": "west-1", "resourceVersion": "1", "generation": 1}
    said = {"member": "west", "processor": "west", "members": ["east", "west"], "tombstones": [], **facts}
    return {"member": {"apiVersion": "v1", "kind": "K", "metadata": meta, "spec": {}}, "hub": None, "facts": said}


def test_a_planner_that_deletes_what_is_not_its_own_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_announce", lambda own, facts: [Delete("member", own["metadata"]["uid"], "why not")])
    assert failure(_case()) == "an object is never deleted on its own origin"
    small = shrink(_case(given_up=["east"]), failure)
    assert "given_up" not in small["facts"]
    assert "spec" not in small["member"]


def test_a_planner_that_comes_to_no_end_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = planner._hold
    monkeypatch.setattr(planner, "_announce", lambda own, facts: hold({**own, "metadata": _unheld(own)}))
    assert failure(_case())


def _unheld(own: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in own["metadata"].items() if k != "finalizers"}


def test_a_planner_that_raises_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_announce", lambda own, facts: own["no such field"])
    assert failure(_case()).startswith("the planner is total: KeyError")


def test_a_new_object_is_announced_in_two_steps() -> None:
    assert run_case(_case()) == 3
