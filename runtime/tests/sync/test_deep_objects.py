# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Objects that are nested too deep to be carried: told of, left alone, and let go of like all others."""

from __future__ import annotations

import random

import pytest

from runtime.tests.fakeapi import Nested
from runtime.tests.sync.anystate import Obj, any_state, facts
from runtime.tests.sync.trio import WIDGETS, Trio, quick_second_opinion, running
from runtime.tests.waiting import eventually
from tmc.api.resource import EVENTS
from tmc.core.keys import ObjectKey
from tmc.core.store import MOST_LEVELS, OUTLINE
from tmc.sync import names
from tmc.sync.operations import Create, Patch
from tmc.sync.planner import plan

KEY = ObjectKey("default", "w")
LEVELS = [300, 1100]  # more than can be written, and than can be read


def write(trio: Trio, cluster: str, part: str, value: object) -> None:
    """As somebody does on this cluster, who may create the object with it."""
    obj = trio.shown(cluster) or {"metadata": {"name": "w", "namespace": "default"}}
    trio.apis[cluster].put(WIDGETS, {**obj, part: value})


def state_on_east(trio: Trio) -> str | None:
    notes = (trio.shown("east") or {"metadata": {}})["metadata"].get("annotations") or {}
    return notes.get(names.SYNC_STATE)


@pytest.mark.parametrize("levels", LEVELS)
async def test_one_that_is_created_is_told_of_and_holds_up_no_other(levels: int) -> None:
    with quick_second_opinion():
        async with running() as trio:
            write(trio, "east", "spec", {"size": 1, "values": Nested(levels)})
            trio.create("east", "other")
            await trio.everywhere("other")
            await eventually(lambda: state_on_east(trio) == names.REJECTED, "it is marked")
            assert f"deeper than {MOST_LEVELS} levels" in trio.syncers["east"].troubles()[KEY]
            events = trio.apis["east"].objects[EVENTS.name]
            await eventually(lambda: events, "an Event says so")
            assert "on cluster east" in next(iter(events.values()))["message"]
            assert [cluster for cluster in trio.apis if trio.shown(cluster)] == ["east"]

            write(trio, "east", "spec", {"size": 2})
            await trio.everywhere()
            await eventually(lambda: state_on_east(trio) is None, "all is well again")
            assert not trio.syncers["east"].troubles()
            assert len(events) == 1


@pytest.mark.parametrize("levels", LEVELS)
async def test_one_that_becomes_too_deep_keeps_its_copies_until_it_is_deleted(levels: int) -> None:
    async with running(floor=0.2) as trio:
        trio.create("east")
        await trio.everywhere()
        write(trio, "east", "spec", {"size": 2, "values": Nested(levels)})
        await eventually(lambda: state_on_east(trio) == names.REJECTED, "it is marked")
        compared = trio.syncers["east"]._reflectors["member"].stats
        before = compared.comparisons
        await eventually(lambda: compared.comparisons > before + 2, "it was looked at again and again")
        assert [(trio.shown(c) or {})["spec"] for c in ("kcp", "west")] == [{"size": 1}] * 2
        assert compared.differences == 0

        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()


@pytest.mark.parametrize("levels", LEVELS)
async def test_a_status_that_is_too_deep_stays_where_it_is(levels: int) -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        write(trio, "west", "status", {"done": Nested(levels)})
        await eventually(lambda: KEY in trio.syncers["west"].troubles(), "west knows of it")
        trio.create("east", "other")
        await trio.everywhere("other")
        assert not any("status" in (trio.shown(c) or {}) for c in ("kcp", "east"))

        write(trio, "west", "status", {"done": 1})
        await eventually(lambda: (trio.shown("east") or {}).get("status") == {"done": 1}, "the status is carried")
        write(trio, "west", "status", {"done": Nested(levels)})
        await eventually(lambda: KEY in trio.syncers["west"].troubles(), "west knows of it again")
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()


def outlined(obj: Obj) -> Obj:
    return {name: obj[name] for name in ("apiVersion", "kind", "metadata")} | {OUTLINE: True}


@pytest.mark.parametrize("sides", [("member",), ("hub",), ("member", "hub")])
def test_nothing_is_made_of_what_only_the_metadata_is_known_of(sides: tuple[str, ...]) -> None:
    rng, others = random.Random(4), 0
    for _ in range(5000):
        state = any_state(rng)
        state |= {side: outlined(state[side]) for side in sides if state[side]}
        if not any(state[side] for side in sides):
            continue
        for operation in plan(state["member"], state["hub"], facts(state["facts"])):
            others += not isinstance(operation, Create | Patch)
            assert not isinstance(operation, Create), state
            if isinstance(operation, Patch):
                assert not operation.aim, state
                assert all(op["path"].startswith("/metadata/") for op in operation.patch), state
    assert others > 100, "what is deleted or buried still is"
