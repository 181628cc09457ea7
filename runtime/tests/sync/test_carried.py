# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Kinds are started and stopped as the clusters' definitions come, change and go; one that is in trouble is alone."""

from __future__ import annotations

from runtime.tests.fakeapi import Call, FakeApi, Refused
from runtime.tests.sync.fabric_lab import KIND, NUMBER, OTHER, SPEC, TEXT, Fabric, crd, fabric, struct, widget
from runtime.tests.sync.trio import WIDGETS, quick_second_opinion
from runtime.tests.waiting import eventually
from tmc.sync.fabric import MEMBERS, SYNCED_RESOURCES


def on_hub(both: Fabric, name: str = "w") -> bool:
    return ("default", name) in both.hub.api.objects[WIDGETS.name]


async def test_a_kind_that_is_alike_is_accepted_and_carried() -> None:
    async with fabric() as both:
        both.member.api.put(WIDGETS, widget())
        await eventually(lambda: on_hub(both))
        await eventually(lambda: both.condition() == ("True", "Syncing"))
        assert both.condition("HubAccepted") == ("True", "Accepted")
        assert both.entry()["state"] == "Accepted"
        assert both.kind_ready() == ("True", "Accepted")


async def test_a_definition_that_appears_is_noticed() -> None:
    async with fabric(definitions=False) as both:
        both.hub.define(crd())
        await eventually(lambda: both.entry().get("state") == "Pending")
        assert "not served on east" in both.entry()["message"]
        assert both.condition() == ("False", "KindMissing")
        both.member.define(crd())
        await eventually(lambda: both.entry()["state"] == "Accepted")
        both.member.api.put(WIDGETS, widget())
        await eventually(lambda: on_hub(both))


async def test_a_field_that_would_be_dropped_stops_the_kind_until_the_definitions_agree() -> None:
    async with fabric() as both:
        await eventually(lambda: both.entry().get("state") == "Accepted")
        both.hub.define(crd(struct(size=NUMBER, colour=TEXT)))
        await eventually(lambda: both.entry()["state"] == "Incompatible")
        assert both.entry()["prunedFields"] == ["spec.colour"]
        assert both.entry()["message"] == "dropped on east: spec.colour"
        assert both.condition() == ("False", "KindIncompatible")
        assert both.kind_ready() == ("False", "Incompatible")
        both.member.api.put(WIDGETS, widget("later"))
        both.member.define(crd(struct(size=NUMBER, colour=TEXT)))
        await eventually(lambda: both.entry()["state"] == "Accepted")
        await eventually(lambda: on_hub(both, "later"))
        await eventually(lambda: both.condition() == ("True", "Syncing"))
        assert "prunedFields" not in both.entry()


async def test_nothing_is_carried_while_the_definitions_differ() -> None:
    async with fabric(definitions=False) as both:
        both.hub.define(crd(struct(size=NUMBER, colour=TEXT)))
        both.member.define(crd())
        await eventually(lambda: both.entry().get("state") == "Incompatible")
        both.member.api.put(WIDGETS, widget())
        lists = len([call for call in both.member.api.calls if call.resource == WIDGETS.name])
        both.hub.api.put(SYNCED_RESOURCES, {"metadata": {"name": OTHER}, "spec": {**SPEC, "resource": "gadgets"}})
        await eventually(lambda: both.entry(name=OTHER).get("state") == "Pending", "the syncer has looked again")
        assert not on_hub(both)
        assert lists == 0


async def test_another_kind_goes_on() -> None:
    async with fabric() as both:
        both.hub.api.put(SYNCED_RESOURCES, {"metadata": {"name": OTHER}, "spec": {**SPEC, "resource": "gadgets"}})
        await eventually(lambda: both.entry(name=OTHER).get("state") == "Pending")
        assert both.condition()[1] == "KindMissing"
        both.member.api.put(WIDGETS, widget())
        await eventually(lambda: on_hub(both))
        assert both.kind_ready() == ("True", "Accepted")
        assert both.kind_ready(OTHER) == ("False", "Pending")


async def test_a_status_subresource_that_comes_and_goes_is_noticed() -> None:
    async with fabric() as both:
        await eventually(lambda: both.entry().get("state") == "Accepted")
        both.member.define(crd(status=False))
        await eventually(lambda: both.entry()["state"] == "Incompatible")
        assert "the status subresource is off on east" in both.entry()["message"]
        both.hub.define(crd(status=False))
        await eventually(lambda: both.entry()["state"] == "Accepted")
        both.hub.define(crd())
        both.member.define(crd())
        await eventually(lambda: both.entry()["state"] == "Accepted" and both.condition() == ("True", "Syncing"))
        both.member.api.put(WIDGETS, widget())
        await eventually(lambda: on_hub(both))


async def test_a_definition_that_only_validates_otherwise_does_not_interrupt() -> None:
    def lists(both: Fabric) -> int:
        full = [call for call in both.member.api.calls if call.verb == "LIST" and call.resource == WIDGETS.name]
        return sum("PartialObjectMetadataList" not in call.request.headers.get("Accept", "") for call in full)

    async with fabric() as both:
        both.member.api.put(WIDGETS, widget("before"))
        await eventually(lambda: on_hub(both, "before"))
        assert lists(both) == 1, "as when a kind is started"
        both.member.define(crd(struct(size={**NUMBER, "minimum": 1})))
        judged = sum(call.request.path == "/apis/example.org/v1" for call in both.member.api.calls)
        await eventually(
            lambda: sum(call.request.path == "/apis/example.org/v1" for call in both.member.api.calls) > judged
        )
        both.member.api.put(WIDGETS, widget())
        await eventually(lambda: on_hub(both))
        assert lists(both) == 1


async def test_a_definition_that_is_being_deleted_on_the_member_stops_the_kind_and_deletes_nothing() -> None:
    async with fabric() as both:
        both.member.api.put(WIDGETS, widget())
        await eventually(lambda: on_hub(both))
        both.member.define(crd(), finalizers=["customresourcecleanup.apiextensions.k8s.io"])
        both.member.undefine()
        await eventually(lambda: both.entry()["state"] == "Pending")
        assert "is being deleted" in both.entry()["message"]
        both.member.api.remove(WIDGETS, "w", "default")
        await eventually(lambda: both.condition() == ("False", "KindMissing"))
        assert not both.hub.api.get(WIDGETS, "w", "default")["metadata"].get("deletionTimestamp")


async def test_nothing_is_said_twice() -> None:
    async with fabric() as both:
        await eventually(lambda: both.condition() == ("True", "Syncing") and both.kind_ready() == ("True", "Accepted"))
        lists = sum(call.verb == "LIST" for call in both.hub.api.calls)
        writes = [call for call in both.hub.api.calls if call.verb == "PATCH" and call.subresource == "status"]
        both.hub.api.put(SYNCED_RESOURCES, {**both.hub.api.get(SYNCED_RESOURCES, KIND)})
        await eventually(lambda: sum(call.verb == "LIST" for call in both.hub.api.calls) > lists + 20, "some floors")
        again = [call for call in both.hub.api.calls if call.verb == "PATCH" and call.subresource == "status"]
        assert len(again) == len(writes)


async def test_objects_that_go_with_their_kind_go_no_further_even_before_the_definition_is_seen_to_go() -> None:
    async with fabric() as both:
        both.member.api.put(WIDGETS, widget())
        await eventually(lambda: on_hub(both))
        both.member.define(crd(), finalizers=["customresourcecleanup.apiextensions.k8s.io"])
        both.member.api.drop = lambda _kind, obj: obj["metadata"]["name"] == KIND  # the watch is late
        both.member.undefine()
        asked = sum(call.name == KIND and call.verb == "GET" for call in both.member.api.calls)
        both.member.api.remove(WIDGETS, "w", "default")
        await eventually(lambda: sum(c.name == KIND and c.verb == "GET" for c in both.member.api.calls) > asked)
        await eventually(lambda: both.entry()["state"] == "Pending")
        assert not both.hub.api.get(WIDGETS, "w", "default")["metadata"].get("deletionTimestamp")


async def test_an_object_that_the_member_refuses_is_said_while_it_is_refused() -> None:
    with quick_second_opinion():
        async with fabric() as both:
            refused = refuse_creations(both.member.api)
            both.hub.api.put(WIDGETS, widget("too-odd"))
            both.hub.api.put(WIDGETS, widget("fine"))
            await eventually(lambda: both.condition("ObjectsHeldUp") == ("True", "RefusedOrWaiting"), "it is said")
            await eventually(lambda: ("default", "fine") in both.member.api.objects[WIDGETS.name], "the other is there")
            conditions = both.hub.api.get(MEMBERS, "east")["status"]["conditions"]
            (told,) = [each["message"] for each in conditions if each["type"] == "ObjectsHeldUp"]
            assert told == f"{KIND} default/too-odd: cluster east refused this object (copy): no"
            assert both.condition() == ("True", "Syncing")
            refused.clear()
            await eventually(lambda: both.condition("ObjectsHeldUp") == ("False", "NoneHeldUp"), "it is over")


def refuse_creations(api: FakeApi) -> set[str]:
    """Of the names in the set."""
    refused = {"too-odd"}

    async def answer(call: Call) -> None:
        if (await call.request.json())["metadata"]["name"] in refused:
            raise Refused(422, "Invalid", "no")

    api.intercept(answer, "POST", WIDGETS.name, times=10**6)
    return refused
