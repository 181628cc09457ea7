# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner on any state: is each answer right, and does carrying answers out come to an end?

A case is JSON: `member`, `hub` (an object or None) and `facts`. `run_case` judges every answer on the way from there to
the empty one; it raises `Wrong` with what broke. `shrink` makes a failing case small, `save` keeps it for ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from runtime.tests.sync.anystate import any_state, facts
from runtime.tests.sync.judge import Wrong, judge, judge_rest, need
from runtime.tests.sync.rules import created, deleted, patched
from tmc.sync.facts import Facts
from tmc.sync.operations import Acknowledge, Bury, Create, Delete, Operation, Patch, Tell
from tmc.sync.planner import plan

Obj = dict[str, Any]
CASES = Path(__file__).parent / "cases"
STEPS = 8  # more looks than this from any state are no convergence (6 is the most that was needed so far)


def run_case(case: Obj) -> int:
    """Plan and carry out until the plan is empty; the number of plans that were judged. Raises Wrong."""
    state: dict[str, Obj | None] = {"member": case["member"], "hub": case["hub"]}
    said = facts(case["facts"])
    tombstones = set(said.tombstones)
    version = 10_000
    for looked in range(1, STEPS + 1):
        operations = answer(state["member"], state["hub"], said)
        judge(state["member"], state["hub"], said, operations)
        if not [op for op in operations if not isinstance(op, Tell)]:
            need(not operations, "an event without a change would be told for ever")
            judge_rest(state["member"], state["hub"], said)
            return looked
        version = _carry_out(state, tombstones, operations, said, version)
        said = facts({**case["facts"], "tombstones": sorted(tombstones)})
    raise Wrong(f"no end after {STEPS} plans; the last one: {operations}")


def answer(member: Obj | None, hub: Obj | None, said: Facts) -> list[Operation]:
    """The plan; whatever is raised, any change to what was given, and a second opinion are wrong."""
    before = orjson.dumps([member, hub])
    try:
        operations = plan(member, hub, said)
    except Exception as error:
        raise Wrong(f"the planner is total: {error!r}") from error
    need(orjson.dumps([member, hub]) == before, "what the planner is given is only read")
    return operations


def _carry_out(
    state: dict[str, Obj | None], tombstones: set[str], operations: list[Operation], said: Facts, version: int
) -> int:
    """As the executor does: the second patch of a side waits for the next plan, a deletion ends this one."""
    touched: set[str] = set()
    for op in operations:
        if isinstance(op, Bury | Tell):
            continue
        if isinstance(op, Acknowledge):
            tombstones.discard(op.tombstone)
            continue
        if isinstance(op, Patch) and op.side in touched:
            break
        version += 1
        state[op.side] = _stored(_after(state[op.side], op, said, version), version)
        touched.add(op.side)
        if isinstance(op, Delete):
            break
    return version


def _after(old: Obj | None, op: Create | Delete | Patch, said: Facts, version: int) -> Obj | None:
    if isinstance(op, Create):
        return created(op.body, f"new-{version}", has_status=said.has_status)
    assert old is not None
    if isinstance(op, Delete):
        return deleted(old)
    return patched(old, op.patch, op.subresource, has_status=said.has_status)


def _stored(obj: Obj | None, version: int) -> Obj | None:
    return obj and {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}


def fuzz(seed: int, plans: int) -> tuple[int, int, int]:
    """Judge at least this many plans; (plans, states, longest way). Raises Wrong, which names a saved case."""
    rng = random.Random(seed)
    judged = states = longest = 0
    while judged < plans:
        case = any_state(rng)
        try:
            looked = run_case(case)
        except Wrong as wrong:
            small = shrink(case, failure)
            raise Wrong(f"{failure(small)}\nreproduce with {save(small)}: {json.dumps(small)}") from wrong
        judged, states, longest = judged + looked, states + 1, max(longest, looked)
    return judged, states, longest


def failure(case: Obj) -> str:
    """What is wrong with a case; empty when nothing is."""
    try:
        run_case(case)
    except Wrong as wrong:
        return str(wrong)
    return ""


def shrink(case: Obj, failing: Callable[[Obj], str]) -> Obj:
    """Leave out whatever is not needed to fail, until nothing more can be left out."""
    broken = failing(case)[:SAME]
    while True:
        smaller = next((s for s in _smaller(case) if failing(s)[:SAME] == broken), None)
        if smaller is None:
            return case
        case = smaller


SAME = 45  # as many letters of what is wrong tell one kind of failure from another
KEPT = {"name", "uid", "resourceVersion", "apiVersion", "kind", "metadata", "facts", "member", "processor"}


def _smaller(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("member", "hub") and isinstance(inner, dict):
                yield {**value, key: None}
            if key in ("members", "tombstones", "ended"):
                continue
            if key not in KEPT and key != "hub":
                yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: s} for s in _smaller(inner))
    elif isinstance(value, list):
        for at in range(len(value)):
            yield value[:at] + value[at + 1 :]


def save(case: Obj) -> Path:
    """Keep a case among those that `test_planner_states.py` replays; commit it with the fix."""
    text = json.dumps(case, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
    folder = Path(os.environ.get("TMC_FUZZ_CASES") or CASES)
    folder.mkdir(exist_ok=True)
    path = folder / f"state-{hashlib.sha256(text.encode()).hexdigest()[:10]}.json"
    path.write_text(text, encoding="ascii")
    return path
