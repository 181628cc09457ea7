# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Objects at the limits of what an API server takes, and one that was written in another version of its kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.integration.taskqueues import eventually
from tests.operators.lab import ARCHIVES, CLUSTERS, User

BETA = replace(ARCHIVES, version="v1beta1")
LARGE = 1_560_000  # bytes; etcd takes 1.5 MiB with all the words around an object
NEARLY_TOO_LARGE = 1_572_300  # this fits, and the marks of a copy do not fit any more


@pytest.mark.parametrize("origin", CLUSTERS)
async def test_a_large_object_goes_everywhere(user: User, name: str, origin: str) -> None:
    await user.create(origin, ARCHIVES, name, spec={"data": "x" * LARGE, "edition": 1})
    await edition(user, name, 1)
    await user.patch(origin, ARCHIVES, name, {"spec": {"edition": 2}})
    seen = await edition(user, name, 2)
    assert {len(obj["spec"]["data"]) for obj in seen.values()} == {LARGE}
    await user.delete(origin, ARCHIVES, name)
    await user.gone(ARCHIVES, name)


async def test_an_object_that_is_too_large_to_be_copied_is_told_and_holds_up_no_other(user: User, name: str) -> None:
    await user.create("east", ARCHIVES, name, spec={"data": "x" * NEARLY_TOO_LARGE})
    await user.create("east", ARCHIVES, f"{name}-small", spec={"edition": 1})
    await edition(user, f"{name}-small", 1)

    told = await eventually(lambda: warning(user, name), "the user is told on east")
    assert "Rejected" in told["reason"]
    assert "too large" in told["message"], told
    assert set(await user.everywhere(ARCHIVES, name)) == {"east"}

    await user.patch("east", ARCHIVES, name, {"spec": {"data": "x", "edition": 3}})
    seen = await edition(user, name, 3)
    assert "tmc.io/sync-state" not in seen["east"]["metadata"].get("annotations", {})
    for each in (name, f"{name}-small"):
        await user.delete("east", ARCHIVES, each)
        await user.gone(ARCHIVES, each)


@pytest.mark.parametrize("levels", [300, 9000], ids=["cannot be written", "cannot be read"])
async def test_an_object_that_is_nested_too_deep_is_told_and_holds_up_no_other(
    user: User, name: str, levels: int
) -> None:
    """API servers store almost 10,000 levels, and JSON is neither read nor written so deep elsewhere."""
    tree = orjson.Fragment(b'{"a":' * levels + b"1" + b"}" * levels)
    await user.create("east", ARCHIVES, name, spec={"tree": tree})
    await user.create("east", ARCHIVES, f"{name}-flat", spec={"edition": 1})
    await edition(user, f"{name}-flat", 1)

    told = await eventually(lambda: warning(user, name), "the user is told on east")
    assert "nested deeper than" in told["message"], told
    assert set(await user.everywhere(ARCHIVES, name)) == {"east"}

    await user.patch("east", ARCHIVES, name, {"spec": {"tree": None, "edition": 2}})
    await edition(user, name, 2)
    await user.patch("east", ARCHIVES, name, {"spec": {"tree": tree, "edition": 3}})
    await eventually(lambda: state(user, name), "the user is told on the object")
    await user.patch("east", ARCHIVES, f"{name}-flat", {"spec": {"edition": 2}})
    await edition(user, f"{name}-flat", 2)
    seen = await user.everywhere(ARCHIVES, name)
    assert {cluster: obj["spec"]["edition"] for cluster, obj in seen.items()} == {"kcp": 2, "east": 3, "west": 2}
    for each in (name, f"{name}-flat"):
        await user.delete("east", ARCHIVES, each)
        await user.gone(ARCHIVES, each)


@pytest.mark.parametrize("origin", CLUSTERS)
async def test_whatever_version_it_was_written_in(user: User, name: str, origin: str) -> None:
    """The kind is declared with v1; people may use any version that is served."""
    await user.create(origin, BETA, name, spec={"edition": 1})
    await edition(user, name, 1)
    await user.patch(origin, BETA, name, {"spec": {"edition": 2}})
    seen = await edition(user, name, 2)
    assert {obj["apiVersion"] for obj in seen.values()} == {"example.org/v1"}
    for cluster in CLUSTERS:
        found = await user.get(cluster, BETA, name)
        assert found is not None
        assert found["apiVersion"] == "example.org/v1beta1"
        assert found["spec"] == {"edition": 2}
    await user.delete(origin, BETA, name)
    await user.gone(ARCHIVES, name)


async def edition(user: User, name: str, number: int) -> dict[str, Any]:
    """The object on every cluster, once all have this edition."""

    async def there() -> dict[str, Any] | None:
        found = await user.everywhere(ARCHIVES, name)
        editions = [obj["spec"].get("edition") for obj in found.values()]
        return found if editions == [number] * len(user.clients) else None

    objects: dict[str, Any] = await eventually(there, f"edition {number} of {name} is everywhere")
    return objects


async def state(user: User, name: str) -> str | None:
    """What the fabric has noted on east's object."""
    found = await user.get("east", ARCHIVES, name)
    notes = found["metadata"].get("annotations") or {} if found else {}
    return notes.get("tmc.io/sync-state")


async def warning(user: User, name: str) -> dict[str, Any] | None:
    """The newest warning on east that is about the object."""
    selector = {"fieldSelector": f"regarding.name={name},type=Warning"}
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    listed = await user.clients["east"].request("GET", path, params=selector)
    found = [{"reason": each["reason"], "message": each["note"]} for each in listed["items"]]
    return found[-1] if found else None
