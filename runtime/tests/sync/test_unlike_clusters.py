# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Clusters that do not take the same objects: one prunes a field, one refuses. Nothing is written again and again."""

from __future__ import annotations

import asyncio
from typing import Any

from runtime.tests.fakeapi import Call, FakeApi, Refused
from runtime.tests.sync.trio import WIDGETS, Trio, quick_second_opinion, running
from runtime.tests.waiting import eventually
from tmc.api.resource import EVENTS
from tmc.sync import executor, names

Object = dict[str, Any]


def prune(api: FakeApi, part: str, field: str) -> None:
    """Let the API server drop `<part>.<field>` from whatever is written, as one with another schema does."""
    create, patch = api._create, api._patch

    def creating(call: Call) -> Object:
        call.body.get(part, {}).pop(field, None)
        return create(call)

    def patching(call: Call) -> Object:
        for operation in call.body:
            if operation["path"] == f"/{part}":
                operation["value"].pop(field, None)
        return patch(call)

    api._create, api._patch = creating, patching  # type: ignore[method-assign]


def report(trio: Trio, status: Object) -> None:
    """The controller on west, the processor, writes this status."""
    trio.apis["west"].put(WIDGETS, {**trio.apis["west"].get(WIDGETS, "w", "default"), "status": status})


async def test_a_status_that_comes_again_travels_although_the_hub_prunes_it() -> None:
    async with running() as trio:
        prune(trio.apis["kcp"], "status", "extra")
        trio.create("east")
        await trio.everywhere()
        for ready in (True, False, True):
            report(trio, {"ready": ready, "extra": 1})
            await eventually(lambda r=ready: (trio.shown("east") or {}).get("status") == {"ready": r}, f"ready {ready}")  # type: ignore[misc]


async def test_a_copy_that_cannot_be_exact_is_no_drift() -> None:
    async with running() as trio:
        prune(trio.apis["west"], "spec", "extra")
        meta = {"name": "w", "namespace": "default"}
        trio.apis["east"].put(WIDGETS, {"metadata": meta, "spec": {"size": 1, "extra": 2}})
        await eventually(lambda: "PATCH" in trio.writes("west"), "the syncer tried to complete the copy")
        report(trio, {"seen": True})
        await eventually(lambda: (trio.shown("east") or {}).get("status") == {"seen": True}, "status came back")
        assert not trio.apis["west"].objects[EVENTS.name], "the user was told of a change that nobody made"
        assert trio.writes("west") == ["POST", "PATCH"], "what is of no use is tried once"


async def test_drift_is_undone_where_a_field_is_pruned() -> None:
    async with running() as trio:
        prune(trio.apis["west"], "spec", "extra")
        meta = {"name": "w", "namespace": "default"}
        trio.apis["east"].put(WIDGETS, {"metadata": meta, "spec": {"size": 1, "extra": 2}})
        await eventually(lambda: "PATCH" in trio.writes("west"), "the syncer tried to complete the copy")
        trio.apis["west"].put(WIDGETS, {**trio.apis["west"].get(WIDGETS, "w", "default"), "spec": {"size": 99}})
        await eventually(lambda: (trio.shown("west") or {})["spec"] == {"size": 1}, "the drift is undone")


async def test_status_is_not_held_up_where_the_hub_prunes_the_spec() -> None:
    async with running() as trio:
        prune(trio.apis["kcp"], "spec", "extra")
        meta = {"name": "w", "namespace": "default"}
        trio.apis["east"].put(WIDGETS, {"metadata": meta, "spec": {"size": 1, "extra": 2}})
        await trio.everywhere()
        for n in range(10):
            report(trio, {"n": n})
            await eventually(lambda n=n: (trio.shown("east") or {}).get("status") == {"n": n}, f"status {n}")  # type: ignore[misc]


async def test_a_refused_change_is_noted_once_and_does_not_hold_up_the_status() -> None:
    with quick_second_opinion():
        executor.SLOW_LANE_SECONDS = 600.0
        async with running() as trio:
            trio.create("east")
            await trio.everywhere()

            async def refuse(call: Call) -> None:
                if not call.subresource:
                    raise Refused(422, "Invalid", "no such size")

            trio.apis["kcp"].intercept(refuse, "PATCH", WIDGETS.name, times=10**6)
            trio.apis["east"].put(WIDGETS, {**trio.apis["east"].get(WIDGETS, "w", "default"), "spec": {"size": 5}})
            notes = lambda: (trio.shown("east") or {})["metadata"].get("annotations", {})  # noqa: E731
            await eventually(lambda: names.SYNC_STATE in notes(), "the user is told")
            report(trio, {"done": 1})
            await eventually(lambda: (trio.shown("east") or {}).get("status") == {"done": 1}, "status came back")
            before = len(trio.writes("east"))
            await asyncio.sleep(0.5)
            assert len(trio.writes("east")) == before, "the note is put on and taken off again and again"
            assert before <= 4, "finalizer, note, status"
