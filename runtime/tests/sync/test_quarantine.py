# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A hub that is not the one this member knows: what is said of it, what is still done, and how it is accepted."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from runtime.tests.fakeapi import Call
from runtime.tests.sync.fabric_lab import KIND, Fabric, fabric, widget
from runtime.tests.sync.trio import WIDGETS
from runtime.tests.waiting import eventually
from tmc.api.resource import NAMESPACES
from tmc.sync.fabric import BRAKED, SYNCED_RESOURCES
from tmc.sync.objects import annotations_of

Object = dict[str, Any]


async def settled(both: Fabric) -> None:
    await eventually(lambda: both.condition("HubAccepted") == ("True", "Accepted"))
    await eventually(lambda: both.mirror_note() == "uid-kcp")


async def went_back(both: Fabric) -> None:
    """The hub gives back an older Lease, the term ends, and another one begins."""
    both.memory.witness(100, 200)
    both.memory.witness(150, 160)
    await eventually(lambda: both.terms[-1].done())
    assert both.terms[-1].exception() is None
    both.begin()


async def test_a_hub_that_went_back_is_said_and_noted_on_the_member() -> None:
    async with fabric() as both:
        await settled(both)
        await went_back(both)
        await eventually(lambda: both.condition("HubAccepted") == ("False", "HubRestored"))
        assert both.condition() == ("False", "HubRestored")
        assert both.mirror_note() == "uid-kcp:200"
        assert not both.memory.restored, "it is noted, and the hub is measured by what it is now"


async def test_in_quarantine_own_objects_are_announced_and_nothing_comes_down() -> None:
    async with fabric() as both:
        await settled(both)
        both.hub.api.put(WIDGETS, widget("copied", size=1))
        await eventually(lambda: ("default", "copied") in both.member.api.objects[WIDGETS.name])
        await went_back(both)
        await eventually(lambda: both.condition("HubAccepted") == ("False", "HubRestored"))
        both.hub.api.put(WIDGETS, widget("foreign"))
        changed = both.hub.api.get(WIDGETS, "copied", "default")
        both.hub.api.put(WIDGETS, {**changed, "spec": {"size": 2}})
        epoch = both.hub.api.get(SYNCED_RESOURCES, KIND)
        both.hub.api.put(SYNCED_RESOURCES, {**epoch, "spec": {**epoch["spec"], "epoch": 9}})
        both.member.api.put(WIDGETS, widget("own"))
        await eventually(lambda: ("default", "own") in both.hub.api.objects[WIDGETS.name])
        assert ("default", "foreign") not in both.member.api.objects[WIDGETS.name]
        assert both.member.api.get(WIDGETS, "copied", "default")["spec"] == {"size": 1}
        assert both.member.api.get(SYNCED_RESOURCES, KIND)["spec"]["epoch"] == 1
        both.annotate_mirror("hub-uid", "uid-kcp")
        await eventually(lambda: both.member.api.get(WIDGETS, "copied", "default")["spec"] == {"size": 2})
        await eventually(lambda: ("default", "foreign") in both.member.api.objects[WIDGETS.name])
        await eventually(lambda: both.member.api.get(SYNCED_RESOURCES, KIND)["spec"]["epoch"] == 9)


@pytest.mark.parametrize("gesture", [None, "uid-kcp"], ids=["annotation off", "annotation set"])
async def test_a_restored_hub_is_accepted_by_either_gesture(gesture: str | None) -> None:
    async with fabric() as both:
        await settled(both)
        await went_back(both)
        await eventually(lambda: both.condition("HubAccepted") == ("False", "HubRestored"))
        both.annotate_mirror("hub-uid", gesture)
        await settled(both)
        assert both.condition() == ("True", "Syncing")


async def test_quarantine_outlives_the_process() -> None:
    async with fabric() as both:
        await settled(both)
        await went_back(both)
        await eventually(lambda: both.mirror_note() == "uid-kcp:200")
        both.terms[-1].cancel()
        both.memory = type(both.memory)(both.member.client)
        both.begin()
        await eventually(lambda: both.syncers[-1]._fabric.quarantine == "HubRestored")


async def test_a_hub_that_was_replaced_meanwhile_is_not_taken_for_a_restored_one() -> None:
    async with fabric() as both:
        await settled(both)
        kube_system = both.hub.api.get(NAMESPACES, "kube-system")
        del both.hub.api.objects[NAMESPACES.name]["", "kube-system"]
        kube_system["metadata"]["uid"] = "uid-other"
        both.hub.api.put(NAMESPACES, kube_system)
        both.uids["hub"] = "uid-other"
        await went_back(both)
        await eventually(lambda: both.condition("HubAccepted") == ("False", "UnknownHub"))
        assert both.mirror_note() == "uid-kcp"


async def test_a_brake_that_is_on_is_noted_said_and_released_by_taking_the_note_off() -> None:
    async with fabric() as both:
        await settled(both)
        brake = both.syncers[-1]._fabric.brake(KIND)
        assert [brake.allows(f"uid-{n}", 10) for n in range(4)] == [True, True, True, False]
        await eventually(lambda: both.condition("DeletionBraked") == ("True", "TooManyDeletions"))
        assert "more than 3 of" in both.mirror_note("deletions-braked")
        both.annotate_mirror("deletions-braked", None)
        await eventually(lambda: both.condition("DeletionBraked") == ("False", "WithinLimits"))
        assert brake.allows("uid-3", 10)


async def test_a_brake_whose_note_was_written_and_the_answer_lost_is_released_at_the_first_go() -> None:
    async with fabric() as both:
        await settled(both)

        async def lose_the_answer(call: Call) -> web.StreamResponse:
            await both.member.api._answer(call)
            assert call.request.transport is not None
            call.request.transport.close()
            return web.Response()

        both.member.api.intercept(lose_the_answer, "PATCH", SYNCED_RESOURCES.name)
        engine = both.syncers[-1]._fabric
        brake = engine.brake(KIND)
        assert [brake.allows(f"uid-{n}", 10) for n in range(4)] == [True, True, True, False]
        await eventually(lambda: BRAKED in annotations_of(engine.mirror(KIND) or {}), "the watch shows the note")
        await eventually(lambda: len(engine._mirror_queue) == 0, "nothing is left to write")
        await eventually(lambda: both.condition("DeletionBraked")[0] == "True", "it is said")
        both.annotate_mirror("deletions-braked", None)
        await eventually(lambda: both.condition("DeletionBraked") == ("False", "WithinLimits"), "it is released")
        assert both.mirror_note("deletions-braked") == ""
        assert brake.allows("uid-3", 10)


async def test_a_brake_that_was_on_stays_on_in_the_next_term() -> None:
    async with fabric() as both:
        await settled(both)
        both.annotate_mirror("deletions-braked", "more than 3 of 10 copies within 60 s")
        both.terms[-1].cancel()
        both.begin()
        await eventually(lambda: both.condition("DeletionBraked")[0] == "True")
        assert not both.syncers[-1]._fabric.brake(KIND).allows("uid", 10)
