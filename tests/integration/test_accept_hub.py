# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A deployed fabric whose hub is put back to an older snapshot: nothing of it is taken until a playbook accepts it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.deployed_fabric import Fabric
from tests.integration.taskqueues import eventually
from tests.integration.test_deploy import EMBEDDED, changed
from tests.integration.test_fabric import (
    Clients,
    clusters,
    completed_everywhere,
    completed_everywhere_despite,
    create,
    delete,
    everywhere,
    fresh,
    gone_everywhere,
    queue,
    shown,
)
from tests.integration.test_fabric_state import all_is_well, condition
from tmc.api.errors import ApiError, Unreachable
from tmc.sync.fabric import MEMBERS

__all__ = ["clusters"]  # the fixture

NOTHING = "nothing to be accepted; written: nothing"
WENT_BACK = "HubRestored to be accepted; written: member: patch SyncedResource taskqueues.demo.tmc.io"


@contextmanager
def stopped_hub(fabric: Fabric) -> Iterator[Path]:
    """The folder with the hub's data, while none of the hub's programs runs."""
    programs = [f"{fabric.hub}-{part}" for part in ("controller-manager", "apiserver", "etcd")]
    for program in programs:
        fabric.stop(program)
    yield fabric.state_dir / "planes" / fabric.hub / "etcd"
    for program in reversed(programs):
        fabric.start(program)


async def trust(clusters: Clients) -> dict[str, tuple[str, str]]:
    """What each member says of the hub: status and reason. Empty while the hub does not answer."""
    try:
        members = {name: await clusters["kcp"].get(MEMBERS, name) for name in ("east", "west")}
    except (ApiError, Unreachable):
        return {}
    return {name: await condition(clusters["kcp"], member, "HubAccepted") for name, member in members.items()}


async def is_quarantined(clusters: Clients) -> bool:
    return await trust(clusters) == dict.fromkeys(("east", "west"), ("False", "HubRestored"))


def said(output: str) -> dict[str, str]:
    """Member -> what the playbook says that it would accept, or did."""
    lines = (line.strip().partition(": ") for line in output.splitlines())
    return {member: words for member, _colon, words in lines if " to be accepted; " in words}


async def test_a_restored_hub_is_accepted_member_by_member(fabric: Fabric, clusters: Clients, tmp_path: Path) -> None:
    await all_is_well(clusters["kcp"])
    lost, later = fresh("lost"), fresh("later")
    with stopped_hub(fabric) as data:
        shutil.copytree(data, tmp_path / "snapshot")
    await create(clusters["east"], queue(lost))
    before = await completed_everywhere_despite(clusters, lost)
    with stopped_hub(fabric) as data:
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "snapshot", data)

    await eventually(lambda: is_quarantined(clusters), "no member trusts the hub")
    await eventually(lambda: shown(clusters["kcp"], lost), "east announces its object again")
    await create(clusters["kcp"], queue(later))
    after = await everywhere(clusters, lost)
    assert all(after[name]["metadata"]["uid"] == before[name]["metadata"]["uid"] for name in ("east", "west"))

    looked = fabric.play_or_fail("accept-hub", "--check", *EMBEDDED)
    assert said(looked) == dict.fromkeys(("east", "west"), WENT_BACK)
    assert await is_quarantined(clusters), "--check accepted something"

    fabric.play_or_fail("accept-hub", "--limit", "hub,east", *EMBEDDED)
    await eventually(lambda: shown(clusters["east"], later), "east takes what the hub has")
    assert (await trust(clusters))["west"] == ("False", "HubRestored")
    assert await shown(clusters["west"], later) is None

    accepted = fabric.play_or_fail("accept-hub", *EMBEDDED)
    assert said(accepted) == {"east": NOTHING, "west": WENT_BACK}
    for name in (later, lost):
        await completed_everywhere(clusters, name)
    await all_is_well(clusters["kcp"])

    again = fabric.play_or_fail("accept-hub", *EMBEDDED)
    assert said(again) == dict.fromkeys(("east", "west"), NOTHING)
    assert set(changed(again).values()) == {0}
    await delete(clusters["east"], lost)
    await delete(clusters["kcp"], later)
    for name in (later, lost):
        await gone_everywhere(clusters, name)
