# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The shell around the planner, between API servers in memory: faults of single requests never change the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi
from runtime.tests.sync.trio import KIND, WIDGETS, Object, Trio, quick_second_opinion, running
from runtime.tests.waiting import eventually
from tmc.api.resource import EVENTS, NAMESPACES, Resource
from tmc.core.keys import ObjectKey
from tmc.sync import executor, names
from tmc.sync.brake import Brake
from tmc.sync.executor import Outcome
from tmc.sync.fabric import TOMBSTONES
from tmc.sync.operations import Delete, Patch, Proof
from tmc.sync.patches import guarded
from tmc.sync.synced_kind import SyncedKind


async def test_a_life_costs_the_writes_that_the_protocol_names() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        assert [trio.writes(c) for c in ("east", "kcp", "west")] == [["PATCH"], ["POST"], ["POST"]]
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()
        assert trio.writes("east") == ["PATCH", "PATCH"]
        assert trio.writes("kcp") == ["POST", "DELETE", "PATCH"]
        assert trio.writes("west") == ["POST", "DELETE"]


@pytest.mark.parametrize("cluster", ["east", "kcp", "west"])
@pytest.mark.parametrize("verb", ["POST", "PATCH", "DELETE"])
async def test_an_answer_that_is_lost_after_the_write_happened_changes_nothing(cluster: str, verb: str) -> None:
    async with running() as trio:
        api = trio.apis[cluster]

        async def swallow(call: Call) -> web.StreamResponse:
            await api._answer(call)
            assert call.request.transport is not None
            call.request.transport.close()
            return web.Response()

        api.intercept(swallow, verb, WIDGETS.name, times=2)
        trio.create("east")
        await trio.everywhere()
        trio.apis["west"].put(WIDGETS, {**trio.apis["west"].get(WIDGETS, "w", "default"), "status": {"done": 1}})
        await eventually(lambda: (trio.shown("east") or {}).get("status") == {"done": 1}, "status came back")
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()


@pytest.mark.parametrize("code", [409, 429, 500, 503])
@pytest.mark.parametrize("verb", ["POST", "PATCH", "DELETE", "GET"])
async def test_errors_of_single_requests_change_nothing(verb: str, code: int) -> None:
    async with running() as trio:
        for api in trio.apis.values():
            api.fail(verb, code, "Conflict" if code == 409 else "", resource=WIDGETS.name, times=2)
        trio.create("east")
        await trio.everywhere()
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()


async def test_a_refusal_that_passes_is_not_told() -> None:
    with quick_second_opinion():
        async with running() as trio:
            trio.apis["kcp"].fail("POST", 403, "Forbidden", resource=WIDGETS.name, times=1)
            trio.create("east")
            await trio.everywhere()
            assert names.SYNC_STATE not in (trio.shown("east") or {})["metadata"].get("annotations", {})
            assert not trio.apis["east"].objects[EVENTS.name]


async def test_a_refusal_that_stays_is_told_and_taken_back_when_it_ends() -> None:
    with quick_second_opinion():
        async with running() as trio:
            trio.apis["kcp"].fail("POST", 422, "Invalid", resource=WIDGETS.name, times=4)
            trio.create("east")
            state = lambda: (trio.shown("east") or {})["metadata"].get("annotations", {}).get(names.SYNC_STATE)  # noqa: E731
            await eventually(lambda: state() == names.REJECTED, "the user is told")
            events = trio.apis["east"].objects[EVENTS.name].values()
            await eventually(lambda: events, "there is an Event")
            assert [e["reason"] for e in events] == [names.REJECTED]
            assert "cluster kcp refused" in next(iter(events))["message"]
            await trio.everywhere()
            await eventually(lambda: state() is None, "the note is gone")


async def test_a_refusal_in_other_figures_is_the_same() -> None:
    with quick_second_opinion():
        async with running() as trio:
            asked: list[Call] = []

            async def refuse(call: Call) -> web.StreamResponse:
                asked.append(call)
                text = f"webhook denied at 2026-11-23T10:00:{len(asked):02} (request 1f00-{len(asked):04}), quota 5"
                if len(asked) > 6:
                    text = "webhook denied: quota 6"
                return web.json_response({"kind": "Status", "code": 422, "message": text}, status=422)

            trio.apis["kcp"].intercept(refuse, "POST", WIDGETS.name, times=10**6)
            trio.create("east")
            await eventually(lambda: len(asked) > 8, "it was refused again and again")
            told = [event["message"] for event in trio.apis["east"].objects[EVENTS.name].values()]
            assert len(told) == 2, told
            assert told[-1].endswith("quota 6")


async def test_one_object_that_never_works_does_not_hold_up_the_others() -> None:
    async with running() as trio:

        async def poison(call: Call) -> web.StreamResponse | None:
            name = (call.body or {}).get("metadata", {}).get("name") if isinstance(call.body, dict) else ""
            return web.Response(status=500) if name == "poison" else None

        trio.apis["kcp"].intercept(poison, "POST", WIDGETS.name, times=10**6)
        trio.create("east", "poison")
        for i in range(50):
            trio.create("east", f"good-{i}")
        for i in range(50):
            await trio.everywhere(f"good-{i}")
        assert trio.shown("kcp", "poison") is None


async def test_a_dropped_event_is_healed_within_about_a_floor() -> None:
    async with running(floor=0.5) as trio:
        trio.create("east")
        await trio.everywhere()
        trio.apis["kcp"].drop = lambda _kind, _obj: True
        trio.apis["west"].put(WIDGETS, {**trio.apis["west"].get(WIDGETS, "w", "default"), "status": {"done": 7}})
        await eventually(lambda: (trio.shown("east") or {}).get("status") == {"done": 7}, "east shows the status")


async def test_the_two_sides_are_compared_half_a_period_apart() -> None:
    async with running() as trio:
        sides = trio.syncers["east"]._reflectors
        assert abs(sides["member"]._phase - sides["hub"]._phase) == 0.5
        assert sides["member"]._tempo == sides["hub"]._tempo <= 1.0


async def test_a_namespace_that_is_missing_is_made_plain() -> None:
    async with running() as trio:
        for api in (trio.apis["kcp"], trio.apis["west"]):

            async def no_namespace(call: Call, api: FakeApi = api) -> web.StreamResponse | None:
                there = ("", "default") in api.objects[NAMESPACES.name]
                return None if there else web.json_response({"reason": "NotFound", "code": 404}, status=404)

            api.intercept(no_namespace, "POST", WIDGETS.name, times=10**6)
        trio.create("east")
        await trio.everywhere()
        made = trio.apis["west"].get(NAMESPACES, "default")["metadata"]
        assert not made.get("labels")
        assert not made.get("annotations")


async def test_a_deletion_that_goes_faster_than_its_news_costs_no_tombstone() -> None:
    """The hub copy is gone before the origin's syncer hears that it is going."""
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        executor = trio.syncers["east"]._executor
        delete = executor._delete

        async def slow(key: ObjectKey, operation: Delete) -> Outcome:
            outcome = await delete(key, operation)
            await eventually(lambda: not trio.shown("kcp"), "the members let go")
            return outcome

        executor._delete = slow  # type: ignore[method-assign]
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await trio.nowhere()
        assert not [call for call in trio.apis["kcp"].calls if call.resource == TOMBSTONES.name and call.verb == "POST"]


async def test_a_member_that_is_away_gets_a_tombstone() -> None:
    kind = SyncedKind("widgets.example.org", "example.org", "v1", "widgets", "west", 1, grace=0.2)
    async with running(kind=kind) as trio:
        trio.create("east")
        await trio.everywhere()

        async def away(_: Call) -> web.StreamResponse | None:
            return web.Response(status=503)

        trio.apis["west"].intercept(away, "DELETE", WIDGETS.name, times=10**6)
        trio.known.gone_away = frozenset({"west"})
        uid = trio.apis["east"].get(WIDGETS, "w", "default")["metadata"]["uid"]
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await eventually(lambda: not trio.shown("east"), "the origin is released")
        stone = trio.apis["kcp"].get(TOMBSTONES, f"{uid}.east")
        assert stone["spec"]["pending"] == ["west"]
        assert trio.shown("west")


async def test_a_member_that_is_at_work_is_waited_for_however_long_it_takes() -> None:
    """An operator's own clean-up may take longer than the grace; only when its member goes away, the grace ends it."""
    kind = SyncedKind("widgets.example.org", "example.org", "v1", "widgets", "west", 1, grace=0.2)
    async with running(kind=kind) as trio:
        trio.create("east")
        await trio.everywhere()
        seen = trio.apis["west"].get(WIDGETS, "w", "default")
        trio.apis["west"].put(WIDGETS, {**seen, "metadata": {**seen["metadata"], "finalizers": ["operator/busy"]}})
        uid = trio.apis["east"].get(WIDGETS, "w", "default")["metadata"]["uid"]
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await asyncio.sleep(1.0)
        assert trio.shown("east"), "the origin was released before the operator was done"
        assert not trio.apis["kcp"].objects[TOMBSTONES.name]

        trio.known.gone_away = frozenset({"west"})
        trio.syncers["east"]._queue.add(ObjectKey("default", "w"))
        await eventually(lambda: not trio.shown("east"), "the origin is released")
        assert trio.apis["kcp"].get(TOMBSTONES, f"{uid}.east")["spec"]["pending"] == ["west"]


async def test_the_grace_ends_although_the_clock_of_the_hub_is_ahead() -> None:
    kind = SyncedKind("widgets.example.org", "example.org", "v1", "widgets", "west", 1, grace=0.2)
    async with running(kind=kind) as trio:
        trio.create("east")
        await trio.everywhere()

        async def away(_: Call) -> web.StreamResponse | None:
            return web.Response(status=503)

        trio.apis["west"].intercept(away, "DELETE", WIDGETS.name, times=10**6)
        trio.known.gone_away = frozenset({"west"})
        put = trio.apis["kcp"].put

        def ahead(resource: Resource, obj: Object) -> Object:
            if obj["metadata"].get("deletionTimestamp"):
                since = datetime.fromisoformat(obj["metadata"]["deletionTimestamp"])
                obj["metadata"]["deletionTimestamp"] = (since + timedelta(seconds=1.5)).isoformat()
            return put(resource, obj)

        trio.apis["kcp"].put = ahead  # type: ignore[method-assign]
        trio.apis["east"].remove(WIDGETS, "w", "default")
        await eventually(lambda: not trio.shown("east"), "the origin is released")


async def test_a_tombstone_of_one_cluster_buries_nothing_of_another() -> None:
    async with running() as trio:
        uid = trio.create("east")["metadata"]["uid"]
        await trio.everywhere()
        stone = {"group": "example.org", "resource": "widgets", "namespace": "default", "name": "w"}
        forged = {**stone, "originCluster": "south", "originClusterUID": "uid-south", "pending": ["west"]}
        trio.known.buried.learn(f"{uid}.south", {"metadata": {"name": f"{uid}.south"}, "spec": forged})

        await trio.hub_loses("w")
        trio.syncers["west"].fabric_changed(KIND)
        await asyncio.sleep(0.3)
        assert trio.shown("west"), "a copy was deleted by another cluster's tombstone"

        true = {**forged, "originCluster": "east", "originClusterUID": "uid-east"}
        trio.known.buried.learn(f"{uid}.east", {"metadata": {"name": f"{uid}.east"}, "spec": true})
        trio.syncers["west"].fabric_changed(KIND)
        await eventually(lambda: not trio.shown("west"), "its own cluster's is obeyed beside that one")


async def test_a_plan_of_a_term_that_is_over_is_not_carried_out() -> None:
    async with running() as trio:
        trio.create("east", "first")
        await trio.everywhere("first")
        asked: list[bool] = []
        over = replace(trio.syncers["west"]._executor._ends, leading=lambda: bool(asked.append(True)))  # type: ignore[func-returns-value]
        trio.syncers["west"]._executor._ends = over
        trio.create("east")
        await eventually(lambda: trio.shown("kcp"), "the hub has it")
        await eventually(lambda: asked, "west has a plan for it")
        assert not trio.shown("west")
        trio.syncers["west"]._executor._ends = replace(over, leading=lambda: True)
        await trio.everywhere()


async def test_a_fight_over_a_copy_is_restrained() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        for size in range(10, 40):
            copy = trio.apis["west"].get(WIDGETS, "w", "default")
            trio.apis["west"].put(WIDGETS, {**copy, "spec": {"size": size}})
            await asyncio.sleep(0.02)
        repairs = trio.syncers["west"]._executor.writes["follow the origin"]  # those that were not refused by a 409
        assert 0 < repairs <= 5


async def test_the_brake_is_asked_for_a_share_of_the_copies_alone() -> None:
    asked: list[int] = []

    class Asked(Brake):
        def allows(self, uid: str, copies: int) -> bool:
            asked.append(copies)
            return super().allows(uid, copies)

    async with running() as trio:
        trio.known.brakes[KIND.name] = Asked()
        names_of_east, names_of_west = [f"e{n}" for n in range(3)], [f"w{n}" for n in range(20)]
        for cluster, created in (("east", names_of_east), ("west", names_of_west)):
            for name in created:
                trio.create(cluster, name)
        for name in (*names_of_east, *names_of_west):
            await trio.everywhere(name)
        taken = trio.apis["kcp"].get(WIDGETS, "e0", "default")
        annotations = taken["metadata"]["annotations"] | {names.ORIGIN_UID: "another"}
        trio.apis["kcp"].put(WIDGETS, {**taken, "metadata": {**taken["metadata"], "annotations": annotations}})
        await eventually(lambda: asked, "the name is another's")
        assert asked == [3]


async def test_a_new_processor_takes_the_hubs_status_before_it_gives_its_own() -> None:
    """East is behind when it becomes the processor: what west had reported by then is kept."""
    async with running() as trio:
        trio.create("west")
        trio.create("west", "refused")
        await trio.everywhere()
        await trio.everywhere("refused")

        async def refuse(call: Call) -> web.StreamResponse | None:
            return web.Response(status=503) if call.name == "refused" else None

        trio.apis["east"].intercept(refuse, "PATCH", WIDGETS.name, times=10**6)
        trio.apis["kcp"].drop = lambda _kind, _obj: True  # no syncer hears of what west reports
        for cluster in ("west", "kcp"):
            for name in ("w", "refused"):
                seen = trio.apis[cluster].get(WIDGETS, name, "default")
                trio.apis[cluster].put(WIDGETS, {**seen, "status": {"done": 5}})
        behind = trio.apis["east"].get(WIDGETS, "w", "default")
        trio.apis["east"].put(WIDGETS, {**behind, "status": {"done": 1}})
        trio.known.mirror_lags = True
        trio.syncers["east"].fabric_changed(replace(KIND, processor="east", epoch=2))
        await eventually(
            lambda: not trio.known.mirror_lags, "east's controller may begin, one object in trouble or not"
        )
        assert (trio.shown("east") or {}).get("status") == {"done": 5}
        assert (trio.shown("kcp") or {}).get("status") == {"done": 5}
        for syncer in trio.syncers.values():
            syncer.fabric_changed(replace(KIND, processor="east", epoch=2))
        trio.apis["east"].put(WIDGETS, {**trio.apis["east"].get(WIDGETS, "w", "default"), "status": {"done": 6}})
        await eventually(lambda: (trio.shown("kcp") or {}).get("status") == {"done": 6}, "from now on east's goes up")
        assert (trio.shown("kcp", "refused") or {}).get("status") == {"done": 5}


async def test_a_proof_that_a_live_read_does_not_confirm_stops_the_write() -> None:
    async with running() as trio:
        trio.create("east")
        await trio.everywhere()
        own, before = trio.apis["east"].get(WIDGETS, "w", "default"), trio.writes("east")
        ops = guarded([{"op": "remove", "path": "/metadata/finalizers"}], own)
        release = Patch("member", ops, "a view that missed the hub copy", proof=Proof("hub"))
        outcome = await trio.syncers["east"]._executor.carry_out(ObjectKey("default", "w"), release)
        assert outcome is executor.Outcome.LOOK_AGAIN
        assert trio.writes("east") == before


async def test_many_names_that_the_hub_gives_to_others_at_once_are_not_believed() -> None:
    """A hub that tells nonsense must not cost the copies: the fifth and all after it wait for a person."""
    async with running() as trio:
        every = [f"w{n}" for n in range(10)]
        for name in every:
            trio.create("east", name)
        for name in every:
            await trio.everywhere(name)
        before = {name: (trio.shown("west", name) or {})["metadata"]["uid"] for name in every}
        for name in every:
            swap(trio.apis["kcp"], name)
        await eventually(lambda: trio.known.brake(KIND.name).message, "the brake is on")
        await eventually(lambda: len(trio.known.brake(KIND.name)._waiting) == 7, "the others wait")
        await eventually(lambda: sum(after(trio, name) == before[name] for name in every) == 7, "three went")
        trio.known.brake(KIND.name).release()
        trio.syncers["west"].fabric_changed(KIND)
        await eventually(lambda: all(after(trio, name) != before[name] for name in every), "a person let them through")


def after(trio: Trio, name: str) -> str:
    return str((trio.shown("west", name) or {"metadata": {"uid": ""}})["metadata"]["uid"])


def swap(hub: FakeApi, name: str) -> None:
    """The hub's object of this name is another one from now on, of the hub itself."""
    gone = hub.get(WIDGETS, name, "default")
    del hub.objects[WIDGETS.name][("default", name)]
    hub.version += 1
    hub._tell("DELETED", WIDGETS, gone | {"metadata": gone["metadata"] | {"resourceVersion": str(hub.version)}})
    hub.put(WIDGETS, {"metadata": {"name": name, "namespace": "default"}, "spec": {"size": 9}})
