# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Single operations, carried out on API servers in memory."""

from __future__ import annotations

from runtime.tests.fakeapi import FakeApi
from runtime.tests.sync.trio import KIND, WIDGETS, running
from tmc.core.keys import ObjectKey
from tmc.sync.executor import Outcome
from tmc.sync.fabric import TOMBSTONES, tombstone_body
from tmc.sync.operations import Acknowledge, Delete, Patch
from tmc.sync.patches import guarded

KEY = ObjectKey("default", "w")


async def test_exactly_the_object_that_was_meant_is_deleted() -> None:
    """Its name may be another's by now, and the store may know that already."""
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        copy = trio.apis["west"].get(WIDGETS, "w", "default")
        late = Delete("member", "uid-of-its-predecessor", "a plan that was made long ago")
        assert await trio.syncers["west"]._executor.carry_out(KEY, late) is Outcome.LOOK_AGAIN
        assert trio.apis["west"].get(WIDGETS, "w", "default")["metadata"]["uid"] == copy["metadata"]["uid"]
        assert "deletionTimestamp" not in trio.apis["west"].get(WIDGETS, "w", "default")["metadata"]


async def test_what_vanishes_by_our_write_is_left_to_the_watch() -> None:
    """The answer to the last finalizer's removal shows an object that is gone: to remember it would revive it."""
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        trio.known.quarantined = True  # the syncers leave alone what goes
        trio.apis["east"].remove(WIDGETS, "w", "default")
        own = trio.apis["east"].get(WIDGETS, "w", "default")
        ops = guarded([{"op": "remove", "path": "/metadata/finalizers"}], own)
        release = Patch("member", ops, "the last finalizer")
        assert await trio.syncers["east"]._executor.carry_out(KEY, release) is Outcome.WAIT
        assert not trio.shown("east")


def _pending(hub: FakeApi) -> list[str]:
    found = [obj for obj in hub.objects[TOMBSTONES.name].values() if obj["metadata"]["name"] == "buried.kcp"]
    return found[0]["spec"]["pending"] if found else []


async def test_a_tombstone_stays_until_the_last_member_has_taken_note() -> None:
    async with running() as trio:
        hub = trio.apis["kcp"]
        hub.put(TOMBSTONES, tombstone_body(KIND, KEY, ("kcp", "hub-uid", "buried"), ["east", "west"]))
        for member, left in (("west", ["east"]), ("west", ["east"]), ("east", [])):
            await trio.syncers[member]._executor.carry_out(KEY, Acknowledge("buried.kcp"))
            assert _pending(hub) == left
        assert not hub.objects[TOMBSTONES.name]
