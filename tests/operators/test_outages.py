# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Syncers that are killed and API servers that are away, while operators that know nothing of it are at work."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.taskqueues import eventually
from tests.operators.lab import CLUSTERS, DATABASES, FLOOR, HUB, MEMBERS, PROCESSORS, Market, User
from tmc.api.resource import LEASES
from tmc.sync.fabric import MEMBERS as MEMBER_KIND
from tmc.sync.fabric import SYNCED_RESOURCES

HANDLED = re.compile(r"\[default/([\w-]+)\] Handler '(\w+)' succeeded")


@pytest_asyncio.fixture(autouse=True)
async def whole(user: User) -> AsyncIterator[None]:
    """Others use this fabric as well: each test finds and leaves it whole."""
    await eventually(lambda: all_is_well(user), "every member is ready and carries every kind")
    yield
    await eventually(lambda: all_is_well(user), "every member is ready again and carries every kind")


async def all_is_well(user: User) -> bool:
    hub = user.clients[HUB]
    found = [await hub.get(MEMBER_KIND, member) for member in MEMBERS]
    found += [await hub.get(SYNCED_RESOURCES, kind.name) for kind in PROCESSORS]
    conditions = [c for obj in found for c in obj.get("status", {}).get("conditions", []) if c["type"] == "Ready"]
    return len(conditions) == len(found) and all(c["status"] == "True" for c in conditions)


@asynccontextmanager
async def away(vendor: Market, cluster: str, how: str) -> AsyncIterator[None]:
    """For long enough that whoever follows the cluster has missed a comparison."""
    plane = vendor.planes[cluster]
    with plane.down() if how == "down" else plane.hung():
        await asyncio.sleep(2 * FLOOR)
        yield


@pytest.mark.parametrize("how", ["down", "hung"])
async def test_the_processor_works_on_while_the_hub_is_away(user: User, name: str, vendor: Market, how: str) -> None:
    known, west = f"{name}-known", User({"west": user.clients["west"]})
    await user.create("east", DATABASES, known, spec={"size": 4, "failures": 5})
    await eventually(lambda: west.get("west", DATABASES, known), "west has east's object")
    async with away(vendor, HUB, how):
        await west.create("west", DATABASES, name, spec={"size": 4})
        await west.shows(DATABASES, name, phase="Ready", size=4, beats=3)
        await west.patch("west", DATABASES, name, {"spec": {"size": 9}})
        await west.shows(DATABASES, name, size=9, resizes=[{"from": 4, "to": 9}])
        await west.shows(DATABASES, known, phase="Ready", beats=3)
    await user.shows(DATABASES, name, phase="Ready", size=9, resizes=[{"from": 4, "to": 9}])
    await user.shows(DATABASES, known, phase="Ready", beats=3)
    for each, origin in ((name, "west"), (known, "east")):
        await user.delete(origin, DATABASES, each)
        await user.gone(DATABASES, each)


@pytest.mark.parametrize("how", ["down", "hung"])
async def test_the_others_go_on_while_a_member_is_away(user: User, name: str, vendor: Market, how: str) -> None:
    others = User({cluster: user.clients[cluster] for cluster in (HUB, "west")})
    origins = {f"{name}-{origin}": origin for origin in others.clients}
    async with away(vendor, "east", how):
        for each, origin in origins.items():
            await others.create(origin, DATABASES, each, spec={"size": 4})
            await others.shows(DATABASES, each, phase="Ready", size=4)
            await others.patch(origin, DATABASES, each, {"spec": {"size": 20}})
            seen = await others.shows(DATABASES, each, size=20, resizes=[{"from": 4, "to": 20}])
            notes = [obj["metadata"].get("annotations", {}) for obj in seen.values()]
            assert not any("tmc.io/sync-state" in each for each in notes)
    for each, origin in origins.items():
        await user.shows(DATABASES, each, phase="Ready", size=20, resizes=[{"from": 4, "to": 20}])
        await user.delete(origin, DATABASES, each)
        await user.gone(DATABASES, each)


async def test_an_operator_does_everything_once_while_syncers_are_killed(user: User, name: str, vendor: Market) -> None:
    dice = random.Random(20)
    origins = {f"{name}-{number}": CLUSTERS[number % len(CLUSTERS)] for number in range(20)}
    doomed = dict(list(origins.items())[::2])

    async def make() -> None:
        for each, origin in origins.items():
            await user.create(origin, DATABASES, each, spec={"size": 4, "failures": 1})

    async def change() -> None:
        for each, origin in origins.items():
            await user.patch(origin, DATABASES, each, {"spec": {"size": 20}})

    async def remove() -> None:
        for each, origin in doomed.items():
            await user.delete(origin, DATABASES, each)

    async def among_kills(work: Coroutine[Any, Any, None]) -> None:
        await asyncio.gather(work, *(killed(user, vendor, member, dice.uniform(0.0, 1.5)) for member in MEMBERS))

    await among_kills(make())
    await among_kills(change())
    for each in origins:
        seen = await user.shows(DATABASES, each, phase="Ready", size=20, beats=3)
        assert {obj["spec"]["size"] for obj in seen.values()} == {20}
    await among_kills(remove())
    for each in doomed:
        await user.gone(DATABASES, each)
    assert handled(vendor, "create", origins) == dict.fromkeys(origins, 1)
    assert handled(vendor, "delete", origins) == dict.fromkeys(doomed, 1)
    for each in set(origins) - set(doomed):
        await user.delete(origins[each], DATABASES, each)
        await user.gone(DATABASES, each)
    assert handled(vendor, "delete", origins) == dict.fromkeys(origins, 1)


async def killed(user: User, vendor: Market, member: str, after: float) -> None:
    """A syncer dies some seconds from now and is started again; returns when it is at work."""
    await asyncio.sleep(after)
    before = await holder(user, member)
    vendor.kill_syncer(member)
    vendor.start_syncer(member)

    async def leads() -> bool:
        return await holder(user, member) != before

    await eventually(leads, f"another syncer of {member} leads")


async def holder(user: User, member: str) -> str:
    lease = await user.clients[HUB].get(LEASES, f"syncer-{member}", "tmc-system")
    return str(lease["spec"]["holderIdentity"])


def handled(vendor: Market, handler: str, names: dict[str, str]) -> dict[str, int]:
    """How often the operator says that it was done with each of these."""
    log = (vendor.folder / f"{DATABASES.plural}.log").read_text()
    done = Counter(name for name, what in HANDLED.findall(log) if what == handler)
    return {name: done[name] for name in names if done[name]}
