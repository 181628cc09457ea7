# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""One run: a story in a namespace of its own, a plan of faults, and the judgement."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.faults.admin import Refused
from tests.faults.calls import Entry
from tests.faults.lab import CLUSTERS, FABRIC, HUB, MEMBERS, PROCESSOR, PROGRAMS, Lab
from tests.faults.normal import State, differences, normal_state
from tests.faults.plans import Armed, Plan
from tests.faults.rules import origin_uid
from tests.faults.stories import STORIES
from tests.faults.traffic import Ledger, complaints, judge_traffic
from tests.faults.user import PATIENCE, User

SETTLED_FLOORS = 2.5  # after the last fault: conditions tell within two that it is over
DEFAULT_GRACE = "5m"
QUIET_FLOORS = 2.0


@dataclass
class Outcome:
    """What became of a run. `reached`: all faults of the plan happened; only then it counts."""

    plan: Plan
    namespace: str
    reached: bool = False
    seconds: float = 0.0
    heal_seconds: float = 0.0  # since the first fault
    problems: list[str] = field(default_factory=list)
    state: State = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)

    @property
    def survived(self) -> bool:
        return not self.problems


class Runner:
    """Runs plans in a lab, one after the other, against the end state of the fault-free run."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.references: dict[str, State] = {}
        self.users: list[User] = []
        self.ledger = Ledger(lab.processes.log("controller"))
        self.created = 0
        self.quiet_seconds = 0.0
        self._runs = 0
        self._told = 0  # violations that were told of
        self._log_ends = dict.fromkeys(PROGRAMS, 0)

    async def run(self, plan: Plan) -> Outcome:
        """Play the plan's story under its faults."""
        self._runs += 1
        user = User(self.lab, f"run-{self._runs}", plan.options)
        self.users.append(user)
        outcome = Outcome(plan, user.namespace)
        began, journal_from = time.monotonic(), len(self.lab.journal)
        await user.enter()
        await self.lab.set_grace(plan.options.get("grace", DEFAULT_GRACE))
        self.lab.armed = Armed(plan, user.namespace)
        try:
            await STORIES[plan.story](user)
            await self.lab.jobs_done()
            await self._settle(plan, user, outcome)
        except* (TimeoutError, Refused) as late:
            outcome.problems += [str(each) for each in flat(late)]
        outcome.reached = self.lab.armed.all_fired
        outcome.heal_seconds = time.monotonic() - self.lab.armed.first_fired
        await self.lab.jobs_done()
        self.lab.calm()
        added = self.lab.journal[journal_from:]
        outcome.writes = Counter(entry.call.process for entry in added if entry.call.concerns(user.namespace))
        outcome.problems += [str(each) for each in self.lab.audit.judge.violations[self._told :]]
        self._told = len(self.lab.audit.judge.violations)
        outcome.problems += [str(each) for each in judge_traffic(added, HUB, f"syncer-{PROCESSOR}")]
        outcome.problems += [str(each) for each in self.ledger.read_on()]
        outcome.problems += await self._processes_fell_over()
        outcome.problems += self.lab.defects
        self.lab.defects.clear()
        outcome.seconds = time.monotonic() - began
        return outcome

    def state(self, user: User) -> State:
        return normal_state({cluster: self.lab.audit.of(cluster, user.namespace) for cluster in CLUSTERS})

    async def _settle(self, plan: Plan, user: User, outcome: Outcome) -> None:
        """Wait until the state is that of the fault-free run; what is different when it never is."""
        reference = self.references.get(plan.story)
        if reference is None:
            outcome.state = self.state(user)
            return
        try:
            await self.lab.audit.until(lambda: self.state(user) == reference, "the end state", PATIENCE)
        except TimeoutError:
            outcome.problems += differences(reference, self.state(user))
        outcome.state = self.state(user)

    async def end_batch(self, quiet_seconds: float = 0.0) -> list[str]:
        """Nothing is lost or written any more, and what its users delete goes everywhere; then start afresh.

        `quiet_seconds`: for at least so long nothing is written.
        """
        problems = [text for user in self.users for text in lost(user)]
        problems += await self._restless(quiet_seconds)
        problems += await self._clean_up()
        problems += [str(each) for each in self.lab.audit.judge.violations[self._told :]]
        self._told = 0
        self.lab.audit.judge.violations.clear()
        self.lab.audit.judge.forget()
        self.lab.journal.clear()
        self.users.clear()
        return problems

    async def _restless(self, seconds: float) -> list[str]:
        """Writes that come after everything has settled: all members are ready again, and then nothing is written."""
        if unready := await self._await_ready():
            return [f"not ready again: {each}" for each in unready]
        await self._await_silence(SETTLED_FLOORS * self.lab.floor)
        since = time.monotonic()
        await asyncio.sleep(max(seconds, QUIET_FLOORS * self.lab.floor))
        self.quiet_seconds += time.monotonic() - since
        return [f"restless: {entry.call}" for entry in self.lab.journal if entry.at > since and is_news(entry)]

    async def _await_ready(self) -> list[str]:
        """A link that was broken for long is tried again only every few seconds: no process is done before that."""
        ends = time.monotonic() + PATIENCE
        while unready := await self._unready():
            if time.monotonic() > ends:
                break
            await asyncio.sleep(self.lab.floor / 4)
        return unready

    async def _unready(self) -> list[str]:
        """What the hub says of members that cannot do their work."""
        found = []
        for name in MEMBERS:
            member = await self.lab.admins[HUB].get(f"{FABRIC}/members/{name}") or {}
            conditions = member.get("status", {}).get("conditions", [])
            ready = next((each for each in conditions if each["type"] == "Ready"), {"status": "", "message": "unsaid"})
            if ready["status"] != "True":
                found.append(f"{name}: {ready['message']}")
        return found

    async def _await_silence(self, seconds: float) -> None:
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE:
            last = max([began, *(entry.at for entry in self.lab.journal if is_news(entry))])
            left = last + seconds - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(left)

    async def _clean_up(self) -> list[str]:
        kept = [(user, *place) for user in self.users for place in user.acknowledged]
        self.created += sum(user.created for user in self.users)
        for user, cluster, name in kept:
            await user.release(cluster, name)
        spaces = {user.namespace for user in self.users}
        left = self._left(spaces)
        while left:  # as long as it goes on, slow is no fault
            count = len(left)
            try:
                await self.lab.audit.until(lambda count=count: len(self._left(spaces)) < count, "a deletion", PATIENCE)
            except TimeoutError:
                return [f"not deleted everywhere: {each}" for each in self._left(spaces)]
            left = self._left(spaces)
        return []

    def _left(self, namespaces: set[str]) -> list[str]:
        keys = [(cluster, *key) for cluster in CLUSTERS for key in self.lab.audit.objects[cluster]]
        return ["/".join(key) for key in keys if key[1] in namespaces]

    async def _processes_fell_over(self) -> list[str]:
        found = [f"{name} has ended by itself" for name in await self.lab.processes.ended()]
        for name in PROGRAMS:
            lines, self._log_ends[name] = complaints(self.lab.processes.log(name), self._log_ends[name])
            found += [f"{name} logged: {line[:2000]}" for line in lines]
        return found


def lost(user: User) -> list[str]:
    """What users have created and not deleted, and a cluster does not have."""
    found = []
    for (cluster, name), uid in user.acknowledged.items():
        for each in CLUSTERS:
            obj = user.see(each, name)
            if obj is None or origin_uid(obj) != uid:
                found.append(f"lost: {user.namespace}/{name} of {cluster} is not on {each}")
    return found


def is_news(entry: Entry) -> bool:
    return entry.call.resource != "leases"


def flat(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for each in group.exceptions:
        found += flat(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
