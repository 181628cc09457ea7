# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Leader election: one leader, takeover, loss, release."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runtime.tests.fakeapi import Call, FakeApi, Refused
from runtime.tests.waiting import eventually
from tmc.api.client import ApiClient
from tmc.api.resource import LEASES
from tmc.core import lease as module
from tmc.core.lease import LeaderElector

LONG, SHORT, RENEW = 30.0, 1.0, 0.1  # LONG: longer than any test; SHORT where a term has to run out


class Candidate:
    """An elector whose lead() notes when it starts and stops."""

    def __init__(self, client: ApiClient, **options: Any) -> None:
        self.elector = LeaderElector(client, "a", "l", **{"duration": LONG, "renew": RENEW, **options})
        self.leads = False
        self.terms = 0

    async def lead(self) -> None:
        self.terms += 1
        self.leads = True
        try:
            await asyncio.Event().wait()
        finally:
            self.leads = False

    @asynccontextmanager
    async def campaigning(self) -> AsyncIterator[Candidate]:
        task = asyncio.create_task(self.elector.run(self.lead))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(LEASES) as server:
        yield server


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[ApiClient]:
    async with ApiClient(api.connection) as connected:
        yield connected


def spec(api: FakeApi) -> dict[str, Any]:
    return api.get(LEASES, "l", "a")["spec"]


def hold(api: FakeApi, **fields: Any) -> None:
    """Somebody else's Lease."""
    held = {"holderIdentity": "other", "leaseDurationSeconds": 1, "renewTime": "x", "leaseTransitions": 4, **fields}
    api.put(LEASES, {"metadata": {"name": "l", "namespace": "a"}, "spec": held})


async def test_creates_renews_and_releases(api: FakeApi, client: ApiClient) -> None:
    async with Candidate(client).campaigning() as one:
        await eventually(lambda: one.leads)
        first = spec(api)
        assert (first["holderIdentity"], first["leaseDurationSeconds"]) == (one.elector.identity, 30)
        assert first["leaseTransitions"] == 0
        await eventually(lambda: spec(api)["renewTime"] != first["renewTime"])
        assert spec(api)["acquireTime"] == first["acquireTime"]
        assert one.elector.leading
    assert not one.leads
    assert not one.elector.leading
    assert spec(api)["holderIdentity"] == ""


async def test_renewal_is_one_write_and_no_read(api: FakeApi, client: ApiClient) -> None:
    elector = LeaderElector(client, "a", "l", duration=3600, renew=60)
    for _ in range(4):
        assert await elector._try()
    assert client.requests == {("GET", LEASES.name): 1, ("POST", LEASES.name): 1, ("PATCH", LEASES.name): 3}


async def test_only_one_leads_and_a_release_is_taken_over_at_once(api: FakeApi, client: ApiClient) -> None:
    first, second = Candidate(client), Candidate(client, duration=3600.0)
    async with first.campaigning():
        await eventually(lambda: first.leads)
        waiting = second.campaigning()
        await waiting.__aenter__()
        reads = client.requests[("GET", LEASES.name)]
        await eventually(lambda: client.requests[("GET", LEASES.name)] >= reads + 5)
        assert (first.leads, second.leads) == (True, False)
    await eventually(lambda: second.leads)
    assert spec(api)["leaseTransitions"] == 1
    await waiting.__aexit__(None, None, None)


class Clock:
    """Time as one process sees it; replaces the ``time`` module of the elector."""

    def __init__(self) -> None:
        self.now = 5000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


async def test_a_dead_holder_is_waited_for_by_the_own_clock(api: FakeApi, client: ApiClient, clock: Clock) -> None:
    hold(api, leaseDurationSeconds=20, renewTime="2001-01-01T00:00:00.000000Z")  # by its own clock long over
    elector = LeaderElector(client, "a", "l")
    assert not await elector._try(), "seen for the first time now"
    clock.now += 19.9
    assert not await elector._try()
    clock.now += 0.2
    assert await elector._try()
    assert (spec(api)["holderIdentity"], spec(api)["leaseTransitions"]) == (elector.identity, 5)


async def test_a_holder_that_renews_is_never_overtaken(api: FakeApi, client: ApiClient, clock: Clock) -> None:
    elector = LeaderElector(client, "a", "l")
    for renewal in range(20):
        hold(api, renewTime=f"r{renewal}")
        assert not await elector._try()
        clock.now += 0.9


async def test_a_frozen_leader_knows_that_its_term_is_over(api: FakeApi, client: ApiClient, clock: Clock) -> None:
    elector = LeaderElector(client, "a", "l", duration=9)
    assert await elector._try()
    clock.now += 8.9
    assert elector.leading
    clock.now += 0.2
    assert not elector.leading


async def test_the_term_runs_from_before_the_renewal_was_sent(api: FakeApi, client: ApiClient, clock: Clock) -> None:
    elector = LeaderElector(client, "a", "l", duration=9)
    assert await elector._try()

    async def slow(_call: Call) -> None:
        clock.now += 2.0

    api.intercept(slow, "PATCH")
    sent = clock.now
    assert await elector._try()
    clock.now = sent + 9.1
    assert not elector.leading, "another may count from the moment the renewal arrived"


async def test_a_lease_taken_by_another_ends_the_term(api: FakeApi, client: ApiClient) -> None:
    async with Candidate(client).campaigning() as one:
        await eventually(lambda: one.leads)
        hold(api, leaseDurationSeconds=3600)
        await eventually(lambda: not one.leads)
        assert not one.elector.leading
    assert spec(api)["holderIdentity"] == "other", "what is another's is not released"


@pytest.mark.parametrize("code", [500, 403, 409])
async def test_failed_renewals_are_tolerated_within_the_duration(api: FakeApi, client: ApiClient, code: int) -> None:
    async with Candidate(client).campaigning() as one:
        await eventually(lambda: one.leads)
        api.fail("PATCH", code, times=3)
        before = spec(api)["renewTime"]
        await eventually(lambda: spec(api)["renewTime"] != before)
        assert (one.leads, one.terms) == (True, 1)


async def test_a_renewal_that_hangs_is_given_up_and_tried_again(api: FakeApi, client: ApiClient) -> None:
    async def hang(_call: Call) -> None:
        await asyncio.sleep(3600)

    async with Candidate(client).campaigning() as one:
        await eventually(lambda: one.leads)
        before = spec(api)["renewTime"]
        api.intercept(hang, "PATCH")
        await eventually(lambda: spec(api)["renewTime"] != before)
        assert one.terms == 1


async def test_a_leader_that_is_cut_off_stops_before_another_starts(api: FakeApi, client: ApiClient) -> None:
    cut_off, overlaps = Candidate(client, duration=SHORT), list[bool]()

    class Watchful(Candidate):
        async def lead(self) -> None:
            overlaps.append(cut_off.leads)
            await super().lead()

    async with cut_off.campaigning():
        await eventually(lambda: cut_off.leads)

        async def refuse(call: Call) -> None:
            if call.request.headers["User-Agent"] == "cut-off":
                raise Refused(503, "ServiceUnavailable", "cut off")

        transitions = spec(api)["leaseTransitions"]
        assert client._session is not None
        client._session.headers["User-Agent"] = "cut-off"
        api.intercept(refuse, resource=LEASES.name, times=10_000)
        async with ApiClient(api.connection) as other, Watchful(other).campaigning() as successor:
            await eventually(lambda: successor.leads)
            assert overlaps == [False]
            assert spec(api)["leaseTransitions"] == transitions + 1


async def test_after_an_outage_it_leads_again(api: FakeApi, client: ApiClient) -> None:
    async with Candidate(client, duration=SHORT).campaigning() as one:
        await eventually(lambda: one.leads)
        await api.stop_listening()
        await eventually(lambda: not one.leads)
        await api.listen()
        await eventually(lambda: one.leads)
        assert one.terms >= 2
        assert spec(api)["leaseTransitions"] == 0, "its own lease: no transition"


async def test_a_lease_that_was_deleted_is_made_anew(api: FakeApi, client: ApiClient) -> None:
    async with Candidate(client).campaigning() as one:
        await eventually(lambda: one.leads)
        api.remove(LEASES, "l", "a")
        await eventually(lambda: ("a", "l") in api.objects[LEASES.name])
        assert (one.leads, one.terms) == (True, 1)


async def test_the_write_of_a_race_is_lost_by_the_slower(api: FakeApi, client: ApiClient) -> None:
    hold(api, holderIdentity="", leaseDurationSeconds=3600)

    async def be_faster(_call: Call) -> None:
        hold(api, leaseDurationSeconds=3600)

    api.intercept(be_faster, "PATCH")
    async with Candidate(client).campaigning() as one:
        await eventually(lambda: client.requests[("GET", LEASES.name)] >= 4)
        assert (one.terms, spec(api)["holderIdentity"]) == (0, "other")


async def test_what_lead_raises_comes_out_and_the_lease_is_released(api: FakeApi, client: ApiClient) -> None:
    async def lead() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await LeaderElector(client, "a", "l").run(lead)
    assert spec(api)["holderIdentity"] == ""


async def test_released_only_after_lead_has_stopped(api: FakeApi, client: ApiClient) -> None:
    seen: list[str] = []
    started = asyncio.Event()

    async def lead() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # work that a cancellation has to wait for
            seen.append(spec(api)["holderIdentity"])

    elector = LeaderElector(client, "a", "l")
    task = asyncio.create_task(elector.run(lead))
    await started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert (seen, spec(api)["holderIdentity"]) == ([elector.identity], "")


async def test_released_also_when_a_renewal_is_under_way(api: FakeApi, client: ApiClient) -> None:
    started = asyncio.Event()

    async def carry_out_but_never_answer(call: Call) -> None:
        await api._answer(call)
        started.set()
        await asyncio.sleep(3600)

    async with Candidate(client, renew=10.0).campaigning() as one:
        await eventually(lambda: one.leads)
        api.intercept(carry_out_but_never_answer, "PATCH")
        renewal = asyncio.create_task(one.elector._try())
        await started.wait()
        renewal.cancel()
    assert spec(api)["holderIdentity"] == ""


async def test_identities_are_fresh(client: ApiClient) -> None:
    assert LeaderElector(client, "a", "l").identity != LeaderElector(client, "a", "l").identity


def test_renew_must_fit_into_the_duration() -> None:
    with pytest.raises(ValueError, match="less than duration"):
        LeaderElector(None, "a", "l", duration=3.0, renew=3.0)  # type: ignore[arg-type]


async def test_a_standby_says_once_whom_it_stands_by_for(
    api: FakeApi, client: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=module.__name__)
    hold(api, leaseDurationSeconds=30)
    async with Candidate(client).campaigning() as one:
        await eventually(lambda: "stands by: other holds a/l" in caplog.text)
        hold(api, holderIdentity="another", leaseDurationSeconds=30)
        await eventually(lambda: "stands by: another holds a/l" in caplog.text)
        assert not one.leads
    assert caplog.text.count("stands by") == 2
