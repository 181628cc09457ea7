# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Kopf's defaults on east, a kind without a status subresource on the hub, a cluster-scoped kind on west."""

from __future__ import annotations

import pytest

from tests.integration.taskqueues import eventually
from tests.operators.lab import CLUSTERS, DATABASES, MAILBOXES, OPERATED, PROCESSORS, REPORTS, SITES, User

SERVER = "mailboxes.example.org/server"


@pytest.mark.parametrize("origin", CLUSTERS)
async def test_progress_in_annotations(user: User, name: str, origin: str) -> None:
    made = await user.create(origin, MAILBOXES, name, spec={"aliases": ["a", "b"], "quota": "2G"})
    seen = await user.shows(MAILBOXES, name, quota="2G")
    for obj in seen.values():
        assert obj["spec"] == made["spec"]
        assert obj["status"]["observedGeneration"] == obj["metadata"]["generation"]
    if origin != "east":
        for cluster in set(CLUSTERS) - {"east"}:
            foreign = [
                key for key in seen[cluster]["metadata"].get("annotations", {}) if "kopf" in key or key == SERVER
            ]
            assert foreign == []
    await user.delete(origin, MAILBOXES, name)
    await user.gone(MAILBOXES, name)


async def test_observed_generation_is_each_clusters_own(user: User, name: str) -> None:
    """East's copy is younger than its origin: their generations differ, and each status fits its own object."""
    await user.create("west", MAILBOXES, name, spec={"aliases": [], "quota": "1G"})
    await user.shows(MAILBOXES, name, quota="1G")
    for quota in ("2G", "3G"):
        await user.patch("west", MAILBOXES, name, {"spec": {"quota": quota}})
        seen = await user.shows(MAILBOXES, name, quota=quota)
    for obj in seen.values():
        assert obj["status"]["observedGeneration"] == obj["metadata"]["generation"]
    await user.delete("west", MAILBOXES, name)
    await user.gone(MAILBOXES, name)


@pytest.mark.parametrize("origin", CLUSTERS)
async def test_a_kind_without_a_status_subresource(user: User, name: str, origin: str) -> None:
    await user.create(origin, REPORTS, name, spec={"query": "select"})
    await user.shows(REPORTS, name, rows=6, rendered="SELECT")
    await user.patch(origin, REPORTS, name, {"spec": {"query": "insert x"}})
    seen = await user.shows(REPORTS, name, rows=8, rendered="INSERT X")
    assert {obj["spec"]["query"] for obj in seen.values()} == {"insert x"}
    await user.delete(origin, REPORTS, name)
    await user.gone(REPORTS, name)


@pytest.mark.parametrize("origin", CLUSTERS)
async def test_a_cluster_scoped_kind_with_a_daemon(user: User, name: str, origin: str) -> None:
    await user.create(origin, SITES, name, spec={"domain": "example.org"})
    await user.shows(SITES, name, url=f"https://{name}.example.org")
    await user.delete(origin, SITES, name)
    await user.gone(SITES, name)


async def test_several_kinds_with_several_processors_at_once(user: User, name: str) -> None:
    """The same name for objects of four kinds and three processors, from all three clusters."""
    specs = {
        DATABASES: {"size": 11},
        MAILBOXES: {"aliases": ["x"], "quota": "5G"},
        REPORTS: {"query": "q"},
        SITES: {"domain": "d"},
    }
    wanted = {
        DATABASES: {"phase": "Ready", "size": 11},
        MAILBOXES: {"quota": "5G"},
        REPORTS: {"rows": 1},
        SITES: {"url": f"https://{name}.d"},
    }
    origins = dict(zip(OPERATED, ("kcp", "west", "east", "east"), strict=True))
    for kind, spec in specs.items():
        await user.create(origins[kind], kind, name, spec=spec)
    for kind, status in wanted.items():
        seen = await user.shows(kind, name, **status)
        held = {cluster for cluster, obj in seen.items() if others(obj["metadata"].get("finalizers", []))}
        assert held == {PROCESSORS[kind]}, f"only the operator of {kind.plural} holds its objects"
    for kind, origin in origins.items():
        await user.delete(origin, kind, name)
    for kind in specs:
        await user.gone(kind, name)


def others(finalizers: list[str]) -> list[str]:
    return [each for each in finalizers if not each.startswith("tmc.io/")]


async def test_the_syncers_say_of_no_kind_that_anything_is_wrong(user: User) -> None:
    async def quiet() -> bool:
        for kind in PROCESSORS:
            found = await user.clients["kcp"].request(
                "GET", f"/apis/fabric.tmc.io/v1alpha1/syncedresources/{kind.name}"
            )
            members = (found.get("status") or {}).get("members") or []
            if [each.get("state") for each in members] != ["Accepted", "Accepted"]:
                return False
        return True

    await eventually(quiet, "both members accept every kind")
