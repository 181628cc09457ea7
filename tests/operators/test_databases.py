# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""An operator with finalizer, retries, timer and progress in status works on west; its objects come from anywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.taskqueues import eventually
from tests.operators.lab import CLUSTERS, DATABASES, FLOOR, Market, User

FINALIZER = "databases.example.org/cleanup"
DIFFBASE = "databases.example.org/last-handled-configuration"
TIER = "databases.example.org/tier"


@pytest.mark.parametrize("origin", CLUSTERS)
async def test_a_database_of_any_cluster_is_made_on_west_and_shown_everywhere(
    user: User, name: str, origin: str
) -> None:
    await user.create(origin, DATABASES, name, spec={"size": 4})
    seen = await user.shows(DATABASES, name, phase="Ready", size=4, beats=3)
    assert {str(obj["status"]) for obj in seen.values()} == {str(seen["west"]["status"])}
    made = seen["west"]["status"]["create"]
    assert made == {"endpoint": f"{name}.db.example", "uid": seen["west"]["metadata"]["uid"], "retries": 0}
    assert {obj["spec"]["engine"] for obj in seen.values()} == {"heap"}
    await user.delete(origin, DATABASES, name)
    await user.gone(DATABASES, name)


async def test_retries_end_and_their_progress_leaves_no_trace(user: User, name: str) -> None:
    await user.create("east", DATABASES, name, spec={"size": 1, "failures": 3})
    await user.shows(DATABASES, name, phase="Ready", beats=3)
    seen = await user.shows(DATABASES, name, **{"kopf-progress": None})
    assert {obj["status"]["create"]["retries"] for obj in seen.values()} == {3}
    await user.delete("east", DATABASES, name)
    await user.gone(DATABASES, name)


async def test_an_update_at_the_origin_is_handled_once(user: User, name: str) -> None:
    await user.create("east", DATABASES, name, spec={"size": 4})
    await user.shows(DATABASES, name, phase="Ready")
    await user.patch("east", DATABASES, name, {"spec": {"size": 20}, "metadata": {"labels": {"team": "blue"}}})
    seen = await user.shows(DATABASES, name, size=20, resizes=[{"from": 4, "to": 20}])
    assert {obj["metadata"]["labels"]["team"] for obj in seen.values()} == {"blue"}
    await user.patch("east", DATABASES, name, {"spec": {"size": 21}})
    await user.shows(DATABASES, name, size=21, resizes=[{"from": 4, "to": 20}, {"from": 20, "to": 21}])
    await user.delete("east", DATABASES, name)
    await user.gone(DATABASES, name)


async def test_a_deletion_waits_for_the_operator_and_is_seen_to_wait(user: User, name: str, vendor: Market) -> None:
    await user.create("east", DATABASES, name, spec={"size": 4})
    await user.shows(DATABASES, name, phase="Ready")
    vendor.gate.touch()
    try:
        await user.delete("east", DATABASES, name)
        seen = await user.shows(DATABASES, name, phase="Draining")
        assert all(obj["metadata"].get("deletionTimestamp") for obj in seen.values())
        assert FINALIZER in seen["west"]["metadata"]["finalizers"]
        await asyncio.sleep(2 * FLOOR)  # nothing that is compared every floor lets go either
        assert len(await user.everywhere(DATABASES, name)) == len(CLUSTERS)
    finally:
        vendor.gate.unlink()
    await user.gone(DATABASES, name)


async def test_an_operator_that_is_killed_goes_on_where_it_was(user: User, name: str, vendor: Market) -> None:
    """Killed between two retries of a creation and of a deletion; meanwhile there are changes that it sees late."""
    doomed, changed = f"{name}-doomed", f"{name}-changed"
    for each in (doomed, changed):
        await user.create("east", DATABASES, each, spec={"size": 4})
        await user.shows(DATABASES, each, phase="Ready")
    await user.create("east", DATABASES, name, spec={"size": 4, "failures": 10})
    vendor.gate.touch()
    try:
        await user.delete("east", DATABASES, doomed)
        await user.shows(DATABASES, doomed, phase="Draining")
        vendor.kill(DATABASES)
        await user.patch("east", DATABASES, changed, {"spec": {"size": 9}})
    finally:
        vendor.gate.unlink()
        if DATABASES not in vendor.operators:
            vendor.start(DATABASES)
    await user.gone(DATABASES, doomed)
    await user.shows(DATABASES, changed, size=9, resizes=[{"from": 4, "to": 9}])
    await user.shows(DATABASES, name, phase="Ready")
    for each in (name, changed):
        await user.delete("east", DATABASES, each)
        await user.gone(DATABASES, each)


async def test_what_the_operator_puts_on_the_copy_stays_there_and_does_not_travel(user: User, name: str) -> None:
    await user.create("east", DATABASES, name, spec={"size": 4}, metadata={"labels": {"team": "red"}})
    await user.shows(DATABASES, name, phase="Ready")
    await user.patch("east", DATABASES, name, {"metadata": {"labels": {"team": "blue"}, "annotations": {"a": "b"}}})

    async def followed() -> dict[str, Any] | None:
        found = await user.everywhere(DATABASES, name)
        blue = [obj for obj in found.values() if obj["metadata"]["labels"].get("team") == "blue"]
        return found if len(blue) == len(CLUSTERS) else None

    seen = await eventually(followed, "the label is on every cluster")
    for cluster, obj in seen.items():
        metadata = obj["metadata"]
        here = cluster == "west"
        assert (TIER in metadata["labels"]) == here
        assert (DIFFBASE in metadata.get("annotations", {})) == here
        assert (FINALIZER in metadata.get("finalizers", [])) == here
        assert metadata["annotations"]["a"] == "b"
    await user.delete("east", DATABASES, name)
    await user.gone(DATABASES, name)


async def test_when_all_is_done_nobody_writes_any_more(user: User, name: str) -> None:
    await user.create("east", DATABASES, name, spec={"size": 4})
    await user.shows(DATABASES, name, phase="Ready", beats=3, **{"kopf-progress": None})

    async def still() -> dict[str, str] | None:
        before = await versions(user, name)
        await asyncio.sleep(2 * FLOOR)
        return before if await versions(user, name) == before else None

    await eventually(still, "two floors without a write")
    await user.delete("east", DATABASES, name)
    await user.gone(DATABASES, name)


async def versions(user: User, name: str) -> dict[str, str]:
    found = await user.everywhere(DATABASES, name)
    return {cluster: obj["metadata"]["resourceVersion"] for cluster, obj in found.items()}


async def test_an_error_for_good_is_the_operators_own_business(user: User, name: str) -> None:
    await user.create("kcp", DATABASES, name, spec={"size": 4, "engine": "nonsense"})
    await user.shows(DATABASES, name, beats=3, phase=None)
    await user.delete("kcp", DATABASES, name)
    await user.gone(DATABASES, name)


async def test_objects_in_all_states_at_once(user: User, name: str) -> None:
    """Made, changed and deleted all over the fabric at the same time."""
    names = [f"{name}-{number}" for number in range(12)]
    origins = {each: CLUSTERS[number % len(CLUSTERS)] for number, each in enumerate(names)}
    await asyncio.gather(
        *(user.create(origins[each], DATABASES, each, spec={"size": 4, "failures": 1}) for each in names)
    )
    await asyncio.gather(*(user.patch(origins[each], DATABASES, each, {"spec": {"size": 30}}) for each in names[::2]))
    for number, each in enumerate(names):
        await user.shows(DATABASES, each, phase="Ready", size=4 if number % 2 else 30)
    await asyncio.gather(*(user.delete(origins[each], DATABASES, each) for each in names))
    for each in names:
        await user.gone(DATABASES, each)


async def test_an_object_of_west_itself_shares_its_metadata_but_no_finalizer(user: User, name: str) -> None:
    """There the operator writes on the origin, and what is on an origin is the object's own."""
    await user.create("west", DATABASES, name, spec={"size": 40})
    await user.shows(DATABASES, name, phase="Ready")

    async def labelled() -> dict[str, Any] | None:
        found = await user.everywhere(DATABASES, name)
        return found if all(obj["metadata"].get("labels", {}).get(TIER) == "gold" for obj in found.values()) else None

    seen = await eventually(labelled, "the operator's label is everywhere")
    assert FINALIZER in seen["west"]["metadata"]["finalizers"]
    for cluster in set(CLUSTERS) - {"west"}:
        assert FINALIZER not in seen[cluster]["metadata"].get("finalizers", [])
    await user.delete("west", DATABASES, name)
    await user.gone(DATABASES, name)
