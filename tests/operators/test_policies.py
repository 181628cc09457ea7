# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of copies that somebody else touches, of namespaces that are missing, and of deletions by the dozen."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.module_pair import Pair
from tests.integration.taskqueues import eventually
from tests.operators.lab import ARCHIVES, DRAFTS, FLOOR, HUB, MEMBERS, Market, User
from tmc.api.client import ApiClient
from tmc.api.resource import EVENTS, NAMESPACES, Resource
from tmc.sync.brake import ALWAYS
from tmc.sync.executor import NAMESPACE_SECONDS
from tmc.sync.fabric import MEMBERS as MEMBER_KIND
from tmc.sync.fights import REPAIRS_PER_WINDOW, WINDOW_SECONDS

Object = dict[str, Any]
HELD = {"metadata": {"finalizers": ["example.org/hold"]}}
FREE: Object = {"metadata": {"finalizers": None}}


async def test_a_changed_copy_is_restored_and_told(user: User, name: str) -> None:
    await user.create("east", ARCHIVES, name, spec={"edition": 1})
    await user.carried(ARCHIVES, name, edition=1)
    async with user.past_admission("west", "west") as intruder:
        await intruder.patch("west", ARCHIVES, name, {"spec": {"edition": 7, "more": True}})
    (told,) = await eventually(lambda: user.told("west", name, "DriftRestored"), "the change is told on the copy")
    assert told.endswith("Change it on east")
    seen = await user.carried(ARCHIVES, name, edition=1)
    assert seen["east"]["metadata"]["generation"] == 1
    await user.delete("east", ARCHIVES, name)
    await user.gone(ARCHIVES, name)


@pytest.mark.parametrize("cluster", ["west", HUB])
async def test_a_copy_that_is_removed_is_made_again(user: User, name: str, cluster: str) -> None:
    """By force: what holds it is taken off as well."""
    await user.create("east", ARCHIVES, name, spec={"edition": 1})
    before = await user.carried(ARCHIVES, name, edition=1)
    if cluster != HUB:  # what the processor itself has lost is lost
        await user.report(HUB, ARCHIVES, name, {"phase": "Ready"})
        await user.shows(ARCHIVES, name, phase="Ready")
        await user.patch(cluster, ARCHIVES, name, HELD)
    async with user.past_admission(cluster, "west" if cluster == "west" else "east") as intruder:
        await intruder.delete(cluster, ARCHIVES, name)
        await intruder.patch(cluster, ARCHIVES, name, FREE)

    async def anew() -> bool:
        found = await user.get(cluster, ARCHIVES, name)
        return found is not None and found["metadata"]["uid"] != before[cluster]["metadata"]["uid"]

    await eventually(anew, f"there is another copy on {cluster}")
    seen = await user.carried(ARCHIVES, name, edition=1)
    assert seen["east"]["metadata"]["uid"] == before["east"]["metadata"]["uid"]
    if cluster != HUB:
        await user.shows(ARCHIVES, name, phase="Ready")
    await user.delete("east", ARCHIVES, name)
    await user.gone(ARCHIVES, name)


async def test_somebody_who_changes_a_copy_again_and_again_is_not_fought(user: User, name: str) -> None:
    await user.create("east", ARCHIVES, name, spec={"edition": 1})
    await user.carried(ARCHIVES, name, edition=1)
    enough, began = asyncio.Event(), time.monotonic()

    async def keep_changing(intruder: User) -> int:
        changes = 0
        while changes < 40 or not enough.is_set():
            changes += 1
            await intruder.patch("west", ARCHIVES, name, {"spec": {"edition": 1000 + changes}})
            await asyncio.sleep(0.1)
        return changes

    async with (
        user.past_admission("west", "west") as intruder,
        user.watched("west", ARCHIVES, name) as seen,
        asyncio.TaskGroup() as group,
    ):
        changing = group.create_task(keep_changing(intruder))
        try:
            await lives(user, ARCHIVES, f"{name}-other")
        finally:
            enough.set()
        await changing
        repairs = [obj for obj in seen if obj["spec"]["edition"] == 1]
        windows = 1 + int((time.monotonic() - began) // WINDOW_SECONDS)
        assert 1 <= len(repairs) <= REPAIRS_PER_WINDOW * windows
        assert len(seen) <= changing.result() + len(repairs), "nothing else was written"
    assert (await user.get("east", ARCHIVES, name) or {})["spec"] == {"edition": 1}
    await user.patch("east", ARCHIVES, name, {"spec": {"edition": 2}})
    await user.carried(ARCHIVES, name, edition=2)  # what the origin's owner does is no repair: it does not wait
    await user.delete("east", ARCHIVES, name)
    await user.gone(ARCHIVES, name)


async def lives(user: User, kind: Resource, name: str) -> None:
    """An object is made, changed and deleted."""
    await user.create("east", kind, name, spec={"edition": 1})
    await user.carried(kind, name, edition=1)
    await user.patch("east", kind, name, {"spec": {"edition": 2}})
    await user.carried(kind, name, edition=2)
    await user.delete("east", kind, name)
    await user.gone(kind, name)


async def test_kept_copies_are_nobodys_and_their_name_is_free(user: User, name: str) -> None:
    await user.create("east", DRAFTS, name, spec={"edition": 1}, metadata={"labels": {"team": "red"}})
    await user.carried(DRAFTS, name, edition=1)
    await user.report("west", DRAFTS, name, {"done": 3})
    await user.shows(DRAFTS, name, done=3)
    await user.delete("east", DRAFTS, name)
    kept = (await user.carried(DRAFTS, name, "west", edition=1))["west"]
    assert kept["metadata"]["labels"] == {"team": "red"}
    assert kept["metadata"]["annotations"] == {"tmc.io/sync-state": "Kept"}
    assert kept["status"] == {"done": 3}

    await user.patch("west", DRAFTS, name, {"spec": {"edition": 5}})  # admission takes it for west's own, too
    await user.create(HUB, DRAFTS, name, spec={"edition": 2})

    await eventually(lambda: editions(user, name, east=2, kcp=2, west=5), "who has none of this name gets the new one")
    await user.patch("west", DRAFTS, name, {"metadata": {"annotations": {"tmc.io/sync-state": None}}})
    await eventually(
        lambda: user.told("west", name, "NameConflict"), "it is of the fabric again, and told of the other"
    )
    assert await editions(user, name, east=2, kcp=2, west=5)

    await user.delete(HUB, DRAFTS, name)
    await eventually(lambda: editions(user, name, east=2, kcp=5, west=5), "the name is west's, and east keeps its copy")
    await user.delete("east", DRAFTS, name)
    await user.carried(DRAFTS, name, edition=5)
    await user.delete("west", DRAFTS, name)
    await user.carried(DRAFTS, name, "east", edition=5)
    await user.delete("east", DRAFTS, name)
    await user.gone(DRAFTS, name)


async def editions(user: User, name: str, **wanted: int) -> bool:
    found = await user.everywhere(DRAFTS, name)
    return {cluster: obj["spec"]["edition"] for cluster, obj in found.items()} == wanted


async def test_an_object_waits_for_a_namespace_where_its_kind_says_so(user: User, name: str) -> None:
    there = User(user.clients, namespace=name)
    await make_namespace(there, "east")
    await there.create("east", DRAFTS, name, spec={"edition": 1})
    (told,) = await eventually(lambda: there.told("east", name, "Waiting"), "that it waits is told")
    assert told == f"waits for namespace {name}, which does not exist on cluster {HUB}"
    waiting = (await there.carried(DRAFTS, name, "east", edition=1))["east"]
    assert waiting["metadata"]["annotations"]["tmc.io/sync-state"] == "Waiting"

    await make_namespace(there, HUB)
    seen = await there.carried(DRAFTS, name, "east", HUB, edition=1)
    waits = f"{DRAFTS.name} {name}/{name}: waits for namespace {name}, which does not exist on cluster west"
    await eventually(lambda: held_up(there, "west", waits), "that west waits is said")
    await there.patch("east", DRAFTS, name, {"spec": {"edition": 2}})
    seen = await there.carried(DRAFTS, name, "east", HUB, edition=2)
    assert "annotations" not in seen["east"]["metadata"]

    await make_namespace(there, "west")
    await there.carried(DRAFTS, name, edition=2)
    await eventually(lambda: held_up(there, "west", ""), "that it waits no more is said")
    await there.delete("east", DRAFTS, name)
    await there.carried(DRAFTS, name, "west", edition=2)
    await there.delete("west", DRAFTS, name)
    await there.gone(DRAFTS, name)


async def held_up(user: User, member: str, words: str) -> bool:
    conditions = (await user.clients[HUB].get(MEMBER_KIND, member))["status"]["conditions"]
    told = [c["message"] for c in conditions if c["type"] == "ObjectsHeldUp" and c["status"] == "True"]
    return told == ([words] if words else [])


async def make_namespace(user: User, cluster: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": user.namespace}}
    await user.clients[cluster].create(NAMESPACES, body, field_manager="kubectl-create")


async def test_a_namespace_that_is_going_on_one_cluster_holds_up_no_other(user: User, name: str) -> None:
    """No namespace controller runs here: what it does, the test does."""
    there, west, old = User(user.clients, namespace=name), user.clients["west"], f"{name}-old"
    await make_namespace(there, "east")
    await there.create("east", ARCHIVES, old, spec={"edition": 1})
    await there.carried(ARCHIVES, old, edition=1)
    await west.delete(NAMESPACES, name, uid=(await west.get(NAMESPACES, name))["metadata"]["uid"])
    await there.patch("west", ARCHIVES, old, HELD)

    before, began = refused_creations(west, ARCHIVES), time.monotonic()
    await there.create("east", ARCHIVES, name, spec={"edition": 1})
    await there.carried(ARCHIVES, name, "east", HUB, edition=1)
    await there.patch("east", ARCHIVES, old, {"spec": {"edition": 2}})
    await there.carried(ARCHIVES, old, edition=2)
    await eventually(lambda: refused_creations(west, ARCHIVES) >= before + 2, "west was asked twice")
    most = 2 + (time.monotonic() - began) / NAMESPACE_SECONDS
    assert refused_creations(west, ARCHIVES) - before <= most
    assert len((await west.list(EVENTS, name)).items) <= 1
    await there.carried(ARCHIVES, name, "east", HUB, edition=1)

    async with there.past_admission("west", "west") as controller:
        await controller.delete("west", ARCHIVES, old)
    await there.patch("west", ARCHIVES, old, FREE)
    await there.carried(ARCHIVES, old, "east", HUB, edition=2)
    going, path = await west.get(NAMESPACES, name), NAMESPACES.path(name=name, subresource="finalize")
    await west.request("PUT", path, body=going | {"spec": {"finalizers": []}})
    for each, number in ((old, 2), (name, 1)):
        await there.carried(ARCHIVES, each, edition=number)
        await there.delete("east", ARCHIVES, each)
        await there.gone(ARCHIVES, each)


def refused_creations(client: ApiClient, kind: Resource) -> float:
    """How many the API server counted, of this kind and from whomever."""
    headers = {"Authorization": f"Bearer {client.token()}"}
    request = urllib.request.Request(f"{client.connection.server}/metrics", headers=headers)
    with urllib.request.urlopen(request, context=client.connection.ssl_context()) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    wanted = {"resource": kind.plural, "verb": "POST", "code": "403"}
    samples = [s for family in families if family.name == "apiserver_request" for s in family.samples]
    return sum(s.value for s in samples if wanted.items() <= s.labels.items())


async def test_deletions_by_the_dozen_wait_until_they_are_accepted(
    user: User, name: str, vendor: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub gives the names of many copies to objects of its own, while nobody looks."""
    names = [f"{name}-{number}" for number in range(12)]
    for each in names:
        await user.create("east", ARCHIVES, each, spec={"edition": 1})
    for each in names:
        await user.carried(ARCHIVES, each, edition=1)
    await give_names_away(user, names, vendor)
    await eventually(lambda: braked(user, "west", "True", "TooManyDeletions"), "west says that it waits for a person")
    await asyncio.sleep(2 * FLOOR)  # nothing that is compared every floor deletes more
    left = await of_edition(user, "west", names, 1)
    assert len(left) == len(names) - ALWAYS
    assert await of_edition(user, "east", names, 1) == names, "an origin is nobody's to delete"
    assert await braked(user, "east", "False", "WithinLimits")
    await lives(user, ARCHIVES, name)

    pair = Pair(vendor.planes[HUB].kubeconfig, vendor.planes["west"].kubeconfig, vendor.folder, monkeypatch)
    place = {"kubeconfig": pair.member_file, "hub_kubeconfig": pair.hub_file}
    assert pair.run("hub_acceptance", **place, deletions=True)["kinds"] == [ARCHIVES.name]

    async def through() -> bool:
        return await of_edition(user, "west", names, 2) == names

    await eventually(through, "what was held back goes on")
    await eventually(lambda: braked(user, "west", "False", "WithinLimits"), "west says that it is over")
    for each in names:  # these deletions are evidence, each by itself
        await user.delete(HUB, ARCHIVES, each)
    for each in names:
        await user.carried(ARCHIVES, each, edition=1)
        await user.delete("east", ARCHIVES, each)
    for each in names:
        await user.gone(ARCHIVES, each)


async def give_names_away(user: User, names: list[str], vendor: Market) -> None:
    for member in MEMBERS:
        vendor.stop_syncer(member)
    try:
        async with user.past_admission(HUB, "east") as intruder:
            for each in names:
                await intruder.delete(HUB, ARCHIVES, each)
                await intruder.patch(HUB, ARCHIVES, each, FREE)
                await user.create(HUB, ARCHIVES, each, spec={"edition": 2})
    finally:
        for member in MEMBERS:
            vendor.start_syncer(member)


async def braked(user: User, member: str, *wanted: str) -> bool:
    conditions = (await user.clients[HUB].get(MEMBER_KIND, member))["status"]["conditions"]
    return [(c["status"], c["reason"]) for c in conditions if c["type"] == "DeletionBraked"] == [wanted]


async def of_edition(user: User, cluster: str, names: list[str], number: int) -> list[str]:
    found = {each: await user.get(cluster, ARCHIVES, each) for each in names}
    return [each for each, obj in found.items() if obj is not None and obj["spec"]["edition"] == number]


async def test_a_burst_of_status_costs_fewer_writes_and_never_goes_back(
    user: User, name: str, record_property: Callable[[str, object], None]
) -> None:
    updates = 200
    await user.create("east", DRAFTS, name, spec={"edition": 1})
    await user.carried(DRAFTS, name, edition=1)
    async with user.watched(HUB, DRAFTS, name) as hub, user.watched("east", DRAFTS, name) as east:
        for number in range(updates):
            await user.report("west", DRAFTS, name, {"progress": number + 1})
        await user.shows(DRAFTS, name, progress=updates)
        await eventually(lambda: progress(hub)[-1:] == progress(east)[-1:] == [updates], "observers see the last one")
        for cluster, seen in ((HUB, hub), ("east", east)):
            assert progress(seen) == sorted(set(progress(seen))), "each is seen once, and none after a later one"
            assert len(seen) < updates
            record_property(f"writes_on_{cluster}", len(seen))
    await user.delete("east", DRAFTS, name)
    await user.carried(DRAFTS, name, "west", edition=1)
    await user.delete("west", DRAFTS, name)


def progress(seen: list[Object]) -> list[int]:
    return [obj["status"]["progress"] for obj in seen if obj.get("status")]
