# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What happens in a run, apart from the faults. Each story ends in a state that does not depend on who was faster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from tests.faults.admin import Refused
from tests.faults.rules import FOREIGN, ORIGIN_CLUSTER
from tests.faults.user import User, insist, task

CONFLICT = "tmc.io/sync-state"
PLACES = (("east", "east"), ("east", "west"), ("west", "west"), ("west", "kcp"), ("kcp", "kcp"), ("kcp", "east"))
Story = Callable[[User], Awaitable[None]]


async def life_on_a_member(user: User) -> None:
    """Created, changed twice, deleted and created again under its name, on a member that does not process."""
    await user.create("east", "e-life", task("a"), task("b", duration="100ms"))
    await user.done_everywhere("east", "e-life")
    tasks = [task("a"), task("b", duration="100ms"), task("c")]
    await user.change("east", "e-life", {"spec": {"tasks": tasks}})
    await user.done_everywhere("east", "e-life")
    await user.delete("east", "e-life")
    await user.gone_everywhere("e-life")
    await user.create("east", "e-life", task("d"), task("e"))
    await user.done_everywhere("east", "e-life")


async def life_on_the_processor(user: User) -> None:
    await user.create("west", "w-life", task("a"), task("b", failures=1))
    await user.done_everywhere("west", "w-life")
    await user.change("west", "w-life", {"spec": {"priority": "high"}})
    await user.done_everywhere("west", "w-life")
    await user.delete("west", "w-life")
    await user.gone_everywhere("w-life")
    await user.create("east", "w-life", task("c"))
    await user.done_everywhere("east", "w-life")


async def life_on_the_hub(user: User) -> None:
    await user.create("kcp", "h-life", task("a"), task("b", fail=True))
    await user.done_everywhere("kcp", "h-life")
    await user.change("kcp", "h-life", {"metadata": {"labels": {"team": "red"}}})
    await user.delete("kcp", "h-life")
    await user.gone_everywhere("h-life")
    await user.create("kcp", "h-life", task("a"))
    await user.done_everywhere("kcp", "h-life")


async def quick_recreation(user: User) -> None:
    """Deleted while the work is under way, and created again as soon as the name is free where it was created."""
    await user.create("east", "quick", task("a", duration="200ms"), task("b"))
    await user.until(lambda: (user.see("west", "quick") or {}).get("status"), "work on quick has begun")
    uid = await user.delete("east", "quick")
    await user.until(lambda: _is_not(user, "east", "quick", uid), "quick has left its origin")
    await user.create("east", "quick", task("c"), task("d"))
    await user.done_everywhere("east", "quick")


async def one_name_on_two_clusters(user: User) -> None:
    """Created on both at once: the hub takes one, the other waits, and syncs when that one is gone."""
    tasks = {"west": task("w"), "east": task("e")}
    too_late = [each for each in await asyncio.gather(*(_comes_too_late(user, at, tasks[at]) for at in tasks)) if each]
    hub = await user.until(lambda: user.see("kcp", "same"), "the hub has taken one of two")
    winner, loser = ("east", "west") if hub["metadata"]["labels"][ORIGIN_CLUSTER] == "east" else ("west", "east")
    if not too_late:
        await user.until(
            lambda: _note(user, loser, "same") == "NameConflict", f"{loser}'s user is told of the conflict"
        )
    await user.delete(winner, "same")
    if too_late:
        await user.gone_everywhere("same")
        await user.create(loser, "same", tasks[loser])
    await user.done_everywhere(loser, "same")
    await user.until(lambda: not _note(user, loser, "same"), "the note of the conflict is gone")
    await user.delete(loser, "same")
    await user.gone_everywhere("same")
    await user.create("east", "same", task("x"))
    await user.done_everywhere("east", "same")


async def _comes_too_late(user: User, cluster: str, its_task: dict[str, Any]) -> bool:
    """Whether the name was taken there before: the other's object has arrived already, and no conflict comes of it."""
    try:
        await user.create(cluster, "same", its_task)
    except Refused as refused:
        if refused.code != 409:
            raise
        return True
    return False


async def decorated(user: User) -> None:
    """Labels and annotations travel; finalizers and owners do not; what an operator puts on a copy stays there."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000000"}
    marks: dict[str, Any] = {"labels": {"team": "red"}, "annotations": {"note": "one"}}
    await user.create("east", "marked", task("a"), **marks, finalizers=["user.example/hold"])
    await user.everywhere("east", "marked")
    await user.change("west", "marked", {"metadata": {"labels": {"operator.example/seen": "yes"}}})
    await user.change("east", "marked", {"metadata": {"labels": {"team": "blue"}, "annotations": {"note": None}}})
    await user.change("east", "marked", {"metadata": {"ownerReferences": [owner]}})
    await user.change("east", "marked", {"metadata": {"ownerReferences": []}})
    await user.done_everywhere("east", "marked")
    await user.until(lambda: all(_team(user, c, "marked") == "blue" for c in ("kcp", "east", "west")), "all are blue")


async def held_by_an_operator(user: User) -> None:
    """The processor's operator holds its copy: the origin stays until that is over."""
    await user.create("east", "held", task("a"))
    await user.done_everywhere("east", "held")
    await user.change("west", "held", {"metadata": {"finalizers": [f"{FOREIGN}hold"]}})
    await user.delete("east", "held")
    await user.until(lambda: _deleting(user, "west", "held"), "the copy of held is being deleted")
    await user.change("west", "held", {"metadata": {"finalizers": []}})
    await user.gone_everywhere("held")


async def own_finalizer(user: User) -> None:
    """The user's own finalizer holds the origin alone."""
    await user.create("east", "owned", task("a"), finalizers=["user.example/hold"])
    await user.done_everywhere("east", "owned")
    await user.delete("east", "owned")
    await user.until(lambda: not (user.see("west", "owned") or user.see("kcp", "owned")), "no copy of owned is left")
    await user.until(lambda: _only_finalizer(user, "east", "owned", "user.example/hold"), "the fabric let go of owned")
    await user.change("east", "owned", {"metadata": {"finalizers": []}})
    await user.gone_everywhere("owned")


async def lives(user: User) -> None:
    """All of them at once."""
    async with asyncio.TaskGroup() as group:
        for story in LIVES:
            group.create_task(story(user))  # type: ignore[arg-type]


async def probe(user: User) -> None:
    """One short life, for measuring."""
    await user.create("east", "probe", task("a"))
    await user.done_everywhere("east", "probe")


async def races(user: User) -> None:
    """Names are given to a new object as soon as the old one is gone from where it was, at every stage of the work."""
    chance = random.Random(user.options["seed"])
    async with asyncio.TaskGroup() as group:
        for number in range(user.options["names"]):
            clusters = chance.choice(PLACES)
            stage = chance.choice(("", "seen", "begun", "done"))
            group.create_task(race(user, f"race-{number}", clusters, stage))


async def race(user: User, name: str, clusters: tuple[str, str], stage: str) -> None:
    """`stage` that the first object has reached when it is deleted; the second is created on another cluster, maybe."""
    first, second = clusters
    # The same task with another command: its result tells whose it is.
    uid = await user.create(first, name, {"name": "t", "command": "first", "simulate": {"duration": "100ms"}})
    if stage == "done":
        await user.done_everywhere(first, name)
    elif stage == "begun":
        await user.until(lambda: (user.see("west", name) or {}).get("status"), f"work on {name} has begun")
    elif stage == "seen":
        await user.until(lambda: user.see("kcp", name), f"{name} is on the hub")
    await user.delete(first, name)
    await user.until(lambda: _is_not(user, first, name, uid), f"{name} has left its origin")
    await insist(lambda: user.create(second, name, {"name": "t", "command": "second"}), 409)
    await user.done_everywhere(second, name)


def _is_not(user: User, cluster: str, name: str, uid: str) -> bool:
    obj = user.see(cluster, name)
    return obj is None or obj["metadata"]["uid"] != uid


def _note(user: User, cluster: str, name: str) -> str:
    obj = user.see(cluster, name) or {"metadata": {}}
    return str((obj["metadata"].get("annotations") or {}).get(CONFLICT, ""))


def _team(user: User, cluster: str, name: str) -> str:
    obj = user.see(cluster, name) or {"metadata": {}}
    return str((obj["metadata"].get("labels") or {}).get("team", ""))


def _deleting(user: User, cluster: str, name: str) -> bool:
    obj = user.see(cluster, name)
    return obj is not None and bool(obj["metadata"].get("deletionTimestamp"))


def _only_finalizer(user: User, cluster: str, name: str, finalizer: str) -> bool:
    obj = user.see(cluster, name)
    return obj is not None and obj["metadata"].get("finalizers") == [finalizer]


LIVES: tuple[Story, ...] = (
    life_on_a_member,
    life_on_the_processor,
    life_on_the_hub,
    quick_recreation,
    one_name_on_two_clusters,
    decorated,
    held_by_an_operator,
    own_finalizer,
)
STORIES: dict[str, Story] = {story.__name__: story for story in (lives, probe, races, *LIVES)}
