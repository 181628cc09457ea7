# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A candidate takes a kind over from a member that is lost; nobody else does, and never too early."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from runtime.tests.fakeapi import Call, FakeApi
from tmc.api.client import ApiClient
from tmc.api.resource import LEASES
from tmc.sync.conditions import FAILED_OVER, Condition, failed_over, with_conditions
from tmc.sync.ends import Ends
from tmc.sync.fabric import SYNCED_RESOURCES
from tmc.sync.failover import CHECK_SECONDS, Failover
from tmc.sync.parameters import CONFIG_MAPS, NAMESPACE, parameters
from tmc.sync.succession import Silences, Succession, Term, succession, term_of_fence
from tmc.sync.synced_kind import SyncedKind, synced_kind

KIND = "taskqueues.demo.tmc.io"
AFTER = 60
Object = dict[str, Any]


# -- pure


def test_without_a_word_of_it_nobody_takes_over() -> None:
    assert succession({}) == Succession(())
    assert Succession(()).patience("east", "west") is None


def test_the_candidates_wait_in_their_order_the_processor_left_out() -> None:
    heirs = succession({"failover": {"candidates": ["west", "east", "north"], "afterSeconds": 30}})
    assert [heirs.patience(me, "west") for me in ("east", "north")] == [30.0, 60.0]
    assert [heirs.patience(me, "kcp") for me in ("west", "east", "north")] == [30.0, 60.0, 90.0]
    assert heirs.patience("west", "west") is None
    assert heirs.patience("south", "west") is None


def test_the_minute_is_the_default() -> None:
    assert succession({"failover": {"candidates": ["east"]}}).patience("east", "west") == 60.0


def test_a_lease_that_changes_ends_the_silence() -> None:
    silences = Silences(9.0)
    for at, version, silent in ((0.0, "1", 0.0), (3.0, "1", 3.0), (6.0, "1", 6.0), (9.0, "2", 0.0), (12.0, "2", 3.0)):
        silences.looked({"west": version}, ["west"], at)
        assert silences.of("west") == silent
    assert silences.version("west") == "2"


def test_who_did_not_look_heard_nothing_and_nothing_of_a_silence() -> None:
    silences = Silences(9.0)
    silences.looked({"west": "1"}, ["west"], 0.0)
    silences.looked({"west": "1"}, ["west"], 3600.0)  # the machine slept
    assert silences.of("west") == 9.0
    silences.lost_sight()
    silences.looked({"west": "1"}, ["west"], 3603.0)
    assert silences.of("west") == 0.0


def test_a_lease_that_is_gone_does_not_change() -> None:
    silences = Silences(9.0)
    for at in (0.0, 3.0, 6.0):
        silences.looked({}, ["west"], at)
    assert (silences.of("west"), silences.version("west"), silences.of("stranger")) == (6.0, "", 0.0)


@pytest.mark.parametrize("data", [None, {}, {"processor": "west"}, {"processor": "west", "epoch": "x"}])
def test_a_fence_that_cannot_be_read_has_no_term(data: Any) -> None:
    assert term_of_fence(data) is None


# -- against a hub


@dataclass
class Facts:
    """What a syncer knows of the fabric, up to date."""

    hub: FakeApi
    members: set[str] = field(default_factory=lambda: {"east", "west", "north"})
    quarantined: bool = False
    lags: SyncedKind | None = None  # what is known of the kind instead of what the hub has

    @property
    def kinds(self) -> dict[str, SyncedKind]:
        return {KIND: self.lags or synced_kind(self.hub.get(SYNCED_RESOURCES, KIND))}

    def declaration(self, name: str) -> Object:
        return self.hub.get(SYNCED_RESOURCES, name)


@dataclass
class News:
    conditions: list[Condition] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    async def condition(self, name: str, condition: Condition) -> None:
        self.conditions.append(condition)

    async def event(self, name: str, reason: str, message: str) -> None:
        self.events.append(f"{reason} {message}")


class Candidate:
    """The failover of one member, at a clock that tests move."""

    def __init__(self, hub: FakeApi, client: ApiClient, me: str) -> None:
        self.hub, self.me, self.facts, self.news = hub, me, Facts(hub), News()
        self.leads = self.carries = True
        self.at = 1000.0
        ends = Ends({"hub": client}, me, f"uid-{me}", "kcp", "uid-kcp", leading=lambda: self.leads)  # type: ignore[arg-type]
        self.failover = Failover(ends, self.facts, lambda _: self.carries, self.news)  # type: ignore[arg-type]
        self.metrics = ends.metrics

    async def look(self, seconds: float = 3.0) -> None:
        self.at += seconds
        leases = {name: obj["metadata"]["resourceVersion"] for (_, name), obj in self.hub.objects[LEASES.name].items()}
        others = sorted({"east", "west", "north"} - {self.me})
        seen = {name: leases[f"syncer-{name}"] for name in others if f"syncer-{name}" in leases}
        await self.failover.looked(seen, others, self.at)

    async def look_for(self, seconds: float) -> None:
        end = self.at + seconds
        while self.at < end:
            await self.look()


class Hub:
    """A hub on which west works on the kind, whose syncer is silent."""

    def __init__(self, api: FakeApi, client: ApiClient) -> None:
        self.api, self._client = api, client
        for name in ("east", "west", "north"):
            self.renew(name)

    def candidate(self, me: str = "east") -> Candidate:
        return Candidate(self.api, self._client, me)

    def renew(self, name: str) -> None:
        self.api.put(LEASES, {"metadata": {"name": f"syncer-{name}", "namespace": NAMESPACE}, "spec": {}})

    def declare(self, *candidates: str, processor: str = "west", epoch: int = 1) -> None:
        spec: Object = {"group": "demo.tmc.io", "version": "v1", "resource": "taskqueues"}
        spec |= {"processor": processor, "epoch": epoch, "deletionGrace": "5m"}
        if candidates:
            spec["failover"] = {"candidates": list(candidates), "afterSeconds": AFTER}
        self.api.put(SYNCED_RESOURCES, {"metadata": {"name": KIND}, "spec": spec})
        self.fence(parameters(spec))

    def fence(self, data: dict[str, str]) -> None:
        self.api.put(CONFIG_MAPS, {"metadata": {"name": KIND, "namespace": NAMESPACE}, "data": data})

    @property
    def terms(self) -> tuple[Term | None, Term]:
        """Of the ConfigMap, and of the SyncedResource."""
        spec = self.api.get(SYNCED_RESOURCES, KIND)["spec"]
        data = self.api.get(CONFIG_MAPS, KIND, NAMESPACE)["data"]
        return term_of_fence(data), Term(spec["processor"], spec["epoch"])

    @property
    def moves(self) -> list[str]:
        return [call.resource for call in self.api.calls if call.verb == "PATCH"]


WEST, EAST = Term("west", 1), Term("east", 2)


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Hub]:
    async with FakeApi(SYNCED_RESOURCES, CONFIG_MAPS, LEASES, name="kcp") as api, ApiClient(api.connection) as client:
        made = Hub(api, client)
        made.declare("west", "east", "north")
        yield made


async def test_the_first_candidate_takes_over_in_time_the_fence_first(hub: Hub) -> None:
    east = hub.candidate()
    await east.look()
    await east.look_for(AFTER - 3)
    assert (hub.terms, hub.moves) == ((WEST, WEST), [])
    await east.look()
    assert (hub.terms, hub.moves) == ((EAST, EAST), [CONFIG_MAPS.name, SYNCED_RESOURCES.name])
    (told,) = east.news.conditions
    assert told == failed_over("west", 60.0, "east", 2)
    assert east.news.events == [f"FailedOver {told.message}"]


async def test_it_changes_nothing_else(hub: Hub) -> None:
    before = hub.api.get(SYNCED_RESOURCES, KIND)["spec"], hub.api.get(CONFIG_MAPS, KIND, NAMESPACE)["data"]
    await hub.candidate().look_for(AFTER + 6)
    spec, data = hub.api.get(SYNCED_RESOURCES, KIND)["spec"], hub.api.get(CONFIG_MAPS, KIND, NAMESPACE)["data"]
    assert spec == before[0] | {"processor": "east", "epoch": 2}
    assert data == before[1] | {"processor": "east", "epoch": "2"}
    assert data["failover"] == "west,east,north"


async def test_it_is_off_unless_asked_for(hub: Hub) -> None:
    hub.declare()
    east = hub.candidate()
    await east.look_for(10 * AFTER)
    assert hub.terms == (WEST, WEST)
    assert [call for call in hub.api.calls if call.verb != "LIST"] == []


async def test_who_is_no_candidate_does_nothing(hub: Hub) -> None:
    hub.declare("west", "north")
    await hub.candidate().look_for(10 * AFTER)
    assert hub.terms == (WEST, WEST)
    assert hub.api.calls == []


async def test_the_second_candidate_waits_twice_as_long(hub: Hub) -> None:
    north = hub.candidate("north")
    await north.look_for(2 * AFTER)
    assert hub.terms == (WEST, WEST)
    await north.look_for(6)
    assert hub.terms == (Term("north", 2),) * 2


async def test_a_processor_that_renews_stays(hub: Hub) -> None:
    east = hub.candidate()
    for _ in range(10):
        await east.look_for(AFTER - 6)
        hub.renew("west")
    assert hub.terms == (WEST, WEST)


@pytest.mark.parametrize("trouble", ["not leading", "quarantine", "not carried", "left", "west left", "the hub works"])
async def test_who_may_not_or_need_not_does_not(hub: Hub, trouble: str) -> None:
    east = hub.candidate()
    east.leads = trouble != "not leading"
    east.carries = trouble != "not carried"
    east.facts.quarantined = trouble == "quarantine"
    east.facts.members -= {"left": {"east"}, "west left": {"west"}}.get(trouble, set())
    if trouble == "the hub works":
        hub.declare("west", "east", processor="kcp")
    await east.look_for(10 * AFTER)
    assert hub.moves == []


async def test_without_contact_to_the_hub_no_silence_is_counted(hub: Hub) -> None:
    east = hub.candidate()
    for _ in range(10):
        await east.look_for(AFTER - 6)
        east.failover.lost_sight()
    assert hub.moves == []


async def test_a_candidate_that_slept_looks_again_as_long(hub: Hub) -> None:
    east = hub.candidate()
    await east.look()
    await east.look(seconds=3600.0)
    await east.look_for(AFTER / 2)
    assert hub.moves == []


async def test_a_renewal_since_the_last_look_is_seen_before_anything_is_written(hub: Hub) -> None:
    """The processor comes back just when the fence is read."""

    async def back(_call: Call) -> web.StreamResponse | None:
        hub.renew("west")
        return None

    east = hub.candidate()
    await east.look_for(AFTER)
    hub.api.intercept(back, "GET", CONFIG_MAPS.name)
    await east.look()
    assert hub.moves == []
    await east.look_for(AFTER - 6)
    assert hub.terms == (WEST, WEST)


async def test_a_freeze_between_the_last_look_and_the_write_ends_it(hub: Hub) -> None:
    async def freeze(_call: Call) -> web.StreamResponse | None:
        east.leads = False
        return None

    east = hub.candidate()
    await east.look_for(AFTER)
    hub.api.intercept(freeze, "LIST", LEASES.name)
    await east.look()
    assert hub.moves == []


async def test_of_two_candidates_that_begin_together_one_wins(hub: Hub) -> None:
    """North, for which east is silent, too, is as far as east when east's write arrives."""
    east, north = hub.candidate(), hub.candidate("north")
    await north.look_for(2 * AFTER)
    await east.look_for(AFTER)

    async def faster(_call: Call) -> web.StreamResponse | None:
        await north.look()
        return None

    hub.api.intercept(faster, "PATCH", CONFIG_MAPS.name)
    await east.look()
    assert hub.terms == (Term("north", 2),) * 2
    assert (len(north.news.conditions), east.news.conditions) == (1, [])


async def test_what_another_one_moved_meanwhile_is_not_moved_again(hub: Hub) -> None:
    east = hub.candidate()
    east.facts.lags = east.facts.kinds[KIND]
    await east.look_for(AFTER)
    hub.declare("west", "east", "north", processor="north", epoch=2)
    await east.look()
    assert (hub.terms, hub.moves) == ((Term("north", 2),) * 2, [])


async def test_an_interrupted_failover_is_completed_by_itself_and_told_once(hub: Hub) -> None:
    east = hub.candidate()
    await east.look_for(AFTER)
    hub.api.fail("PATCH", 503, resource=SYNCED_RESOURCES.name, times=1)
    await east.look()
    assert hub.terms == (EAST, WEST)
    assert east.news.conditions == []
    await east.look_for(CHECK_SECONDS + 3)
    assert hub.terms == (EAST, EAST)
    await east.look_for(CHECK_SECONDS + 3)
    assert len(east.news.conditions) == len(east.news.events) == 1


@pytest.mark.parametrize("me", ["north", "west"])
async def test_a_failover_whose_author_died_is_completed_by_any_candidate(hub: Hub, me: str) -> None:
    hub.fence(hub.api.get(CONFIG_MAPS, KIND, NAMESPACE)["data"] | {"processor": "east", "epoch": "2"})
    other = hub.candidate(me)
    await other.look()
    assert (hub.terms, hub.moves) == ((EAST, EAST), [SYNCED_RESOURCES.name])
    assert other.news.conditions == []


async def test_the_second_write_waits_until_admission_has_seen_the_first(hub: Hub) -> None:
    east = hub.candidate()
    await east.look_for(AFTER)
    hub.api.fail("PATCH", 403, resource=SYNCED_RESOURCES.name, times=2)
    await east.look()
    assert hub.terms == (EAST, EAST)


async def test_a_hub_that_refuses_is_tried_again_and_costs_nothing_else(hub: Hub) -> None:
    east = hub.candidate()
    hub.api.fail("GET", 403, resource=CONFIG_MAPS.name, times=1000)
    await east.look_for(2 * AFTER)
    assert hub.moves == []


async def test_a_failover_back_takes_a_silence_of_its_own(hub: Hub) -> None:
    east = hub.candidate()
    await east.look_for(AFTER + 3)
    west = hub.candidate("west")
    await west.look_for(AFTER)
    assert hub.terms == (EAST, EAST)
    await west.look()
    assert hub.terms == (Term("west", 3),) * 2


async def test_the_news_end_when_a_person_moves_the_processor(hub: Hub) -> None:
    def shown(epoch: int) -> None:
        told = failed_over("west", 60.0, "east", 2)
        obj = hub.api.get(SYNCED_RESOURCES, KIND) | {"status": with_conditions({}, [told], "2026-01-01T00:00:00Z")}
        obj["spec"]["epoch"] = epoch
        hub.api.put(SYNCED_RESOURCES, obj)

    hub.declare("west", "east", processor="east", epoch=2)
    shown(2)
    east = hub.candidate()
    await east.look_for(CHECK_SECONDS)
    assert east.news.conditions == []
    hub.declare("west", "east", processor="east", epoch=22)
    shown(22)
    await east.look_for(CHECK_SECONDS + 3)
    assert {(told.type, told.status, told.reason) for told in east.news.conditions} == {(FAILED_OVER, False, "Moved")}
