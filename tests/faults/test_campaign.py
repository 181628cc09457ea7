# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The seeded selection of the fault campaign, and the proof that its oracle goes red. `make faults` runs all of it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from tests.faults.admin import Admin, queue_path, session
from tests.faults.campaign import Campaign, table
from tests.faults.lab import Lab, laboratory
from tests.faults.plans import Plan
from tests.faults.run import Runner
from tests.faults.stories import STORIES
from tests.faults.user import User, task

SEED = 1


async def test_the_selection_survives_and_the_oracle_goes_red(
    repository: Path, binaries: Path, short_path: Path
) -> None:
    """One laboratory for both: bringing it up is the larger part of the time."""
    async with laboratory(repository, binaries, short_path / "lab") as lab:
        await lab.start_all()
        figures = await Campaign(lab, seed=SEED, full=False).run()
        print(table(figures))
        assert figures.good, [plan.name for plan, _ in figures.failed]
        assert sum(tally.reached for tally in figures.tallies.values()) >= 40
        await a_rogue_syncer_is_seen(lab)


@asynccontextmanager
async def client(lab: Lab, link: str) -> AsyncIterator[Admin]:
    """With the credential of the process at one end of a link, through its proxy."""
    path = lab.credentials[link]
    document = yaml.safe_load(path.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    authority, token = base64.b64decode(cluster["certificate-authority-data"]), path.with_name(user["tokenFile"])
    async with session(authority, {"Authorization": f"Bearer {token.read_text().strip()}"}) as opened:
        yield Admin(link, cluster["server"], authority, opened)


async def a_rogue_syncer_is_seen(lab: Lab) -> None:
    """Whoever has a syncer's credential may delete a copy: the oracle must tell, for any deletion without a reason."""

    async def rogue(user: User) -> None:
        await user.create("east", "victim", task("a"))
        await user.done_everywhere("east", "victim")
        async with client(lab, "syncer-west>west") as west:
            await west.request("DELETE", queue_path(user.namespace, "victim"))
        await user.until(lambda: user.see("west", "victim") is None, "the rogue has deleted the copy")
        await user.done_everywhere("east", "victim")

    STORIES["rogue"] = rogue
    try:
        outcome = await Runner(lab).run(Plan("rogue", story="rogue"))
    finally:
        del STORIES["rogue"]
    rules = {problem.split(" at ")[0] for problem in outcome.problems}
    assert {"wrongful delete", "unconditional delete"} <= rules, outcome.problems
