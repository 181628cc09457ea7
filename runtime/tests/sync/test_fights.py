# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What somebody keeps undoing is made a few times a minute, and no more; all else is made at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from runtime.tests.sync.trio import WIDGETS, Object, Trio, running
from runtime.tests.waiting import eventually
from tmc.api.resource import EVENTS
from tmc.core.keys import ObjectKey
from tmc.sync.fights import REPAIRS_PER_WINDOW, WINDOW_SECONDS, Fights
from tmc.sync.names import STATUS_PENDING
from tmc.sync.operations import Create, Patch

KEY = ObjectKey("ns", "n")


def note(value: str, version: str = "1") -> Patch:
    guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    return Patch("member", [guard, {"op": "add", "path": "/metadata/finalizers", "value": [value]}], "hold")


def test_a_few_repairs_a_minute() -> None:
    now = [0.0]
    fights = Fights(lambda: now[0])
    for version in range(1 + REPAIRS_PER_WINDOW):
        assert fights.wait(KEY, note("a", str(version)), "u") == 0
        assert fights.made(KEY, note("a", str(version)), "u") == version
    now[0] = 20.0
    assert fights.wait(KEY, note("a", "9"), "u") == WINDOW_SECONDS - 20 + 1
    assert fights.wait(KEY, note("a", "9"), "another") == 0, "a new object of that name is no fight"
    assert fights.wait(KEY, note("b", "9"), "u") == 0, "nor is something new to write"
    assert fights.wait(ObjectKey("ns", "m"), note("a"), "u") == 0
    now[0] = WINDOW_SECONDS + 2
    assert fights.wait(KEY, note("a"), "u") == 0
    fights.made(KEY, note("b"), "u")
    assert fights.wait(KEY, note("a"), "u") == 0
    fights.forget(KEY)
    assert not fights._made
    assert not fights._repairs


def test_what_makes_a_copy_and_what_repairs_it_is_one_purpose() -> None:
    fights = Fights()
    body = {"metadata": {"name": "n"}}
    assert fights.made(KEY, Create("member", body, "copy", "aim"), "") == 0
    assert fights.made(KEY, Patch("member", [], "follow", aim="aim"), "u") == 1
    assert fights.made(KEY, Create("member", body, "copy", "aim"), "") == 2
    assert fights.made(KEY, note("a"), "u") == 0
    assert fights.made(KEY, Create("hub", body, "announce", "aim"), "") == 0


def reasons(trio: Trio, cluster: str) -> list[str]:
    return [event["reason"] for event in trio.apis[cluster].objects[EVENTS.name].values()]


def without_finalizers(trio: Trio) -> None:
    if (own := trio.shown("east")) and own["metadata"].get("finalizers"):
        trio.apis["east"].put(WIDGETS, {**own, "metadata": {**own["metadata"], "finalizers": []}})


def deleted(trio: Trio) -> None:
    if trio.shown("west"):
        trio.apis["west"].remove(WIDGETS, "w", "default")


def without_status(trio: Trio) -> None:
    if (copy := trio.shown("kcp")) and copy.get("status"):
        trio.apis["kcp"].put(WIDGETS, {**copy, "status": {"done": 0}})


@pytest.mark.parametrize(("foe", "cluster"), [(deleted, "west"), (without_finalizers, "east"), (without_status, "kcp")])
async def test_whatever_is_undone_is_restrained(foe: Callable[[Trio], None], cluster: str) -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        trio.apis["west"].put(WIDGETS, {**trio.apis["west"].get(WIDGETS, "w", "default"), "status": {"done": 1}})
        await asyncio.sleep(0.3)
        before = len(trio.writes(cluster))
        for _ in range(100):
            foe(trio)
            await asyncio.sleep(0.02)
        made = trio.writes(cluster)[before:]
        assert made
        assert made.count("POST") <= 1 + REPAIRS_PER_WINDOW
        # Without restraint there are sixty and more. What is made anew gets its status, too; a 409 is made again.
        assert len(made) <= 4 * (1 + REPAIRS_PER_WINDOW)
        there = "east" if cluster == "east" else "west"
        await eventually(lambda: "Contended" in reasons(trio, there), "that is told")
        again = trio.create("east", name="other")
        await trio.everywhere("other")
        assert again


def recoloured(copy: Object) -> Object:
    return {**copy, "metadata": {**copy["metadata"], "labels": {**copy["metadata"]["labels"], "colour": "red"}}}


def resized(copy: Object) -> Object:
    return {**copy, "spec": {"size": 99}}


@pytest.mark.parametrize("change", [resized, recoloured, None], ids=["spec", "label", "lost"])
@pytest.mark.parametrize("has_status", [True, False])
async def test_a_copy_that_was_changed_or_lost_is_told(
    change: Callable[[Object], Object] | None, has_status: bool
) -> None:
    resource = replace(WIDGETS, has_status=has_status)
    meta = {"name": "w", "namespace": "default", "labels": {"colour": "blue"}}
    async with running(resource=resource) as trio:
        trio.apis["east"].put(resource, {"metadata": meta, "spec": {"size": 1}})
        await trio.everywhere()
        west, copy = trio.apis["west"], trio.shown("west")
        assert copy
        if change is None:
            west.remove(resource, "w", "default")
        else:
            west.put(resource, change(copy))
        await eventually(lambda: reasons(trio, "west") == ["DriftRestored"], "it is told")
        again = trio.shown("west")
        assert again
        assert (again["spec"], again["metadata"]["labels"]) == (copy["spec"], copy["metadata"]["labels"])


async def test_a_status_that_comes_back_to_a_lost_copy_is_no_drift() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        west = trio.apis["west"]
        west.put(WIDGETS, {**west.get(WIDGETS, "w", "default"), "status": {"done": 1}})
        await eventually(lambda: (trio.shown("east") or {}).get("status") == {"done": 1}, "it is everywhere")
        west.remove(WIDGETS, "w", "default")
        await eventually(lambda: (trio.shown("west") or {}).get("status") == {"done": 1}, "it is back")
        await eventually(lambda: STATUS_PENDING not in trio.shown("west")["metadata"]["annotations"], "the mark is off")  # type: ignore[index]
        await asyncio.sleep(0.2)
        assert reasons(trio, "west") == ["DriftRestored"], "the copy was made again, and that is all"
