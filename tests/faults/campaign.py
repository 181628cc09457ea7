# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""All plans of a campaign, class by class, and the figures that they reach."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import generate
from tests.faults.lab import Lab
from tests.faults.plans import Plan, load_plan
from tests.faults.run import Outcome, Runner

COMMITTED = Path(__file__).with_name("plans")
BATCH = 15
EVENTS_A_LINK = 40  # fewer than any link carries of one run
HEAL_FLOOR = 5.0  # seconds
# Plans of each class: in full, and of the selection of `make test`. Races: names in all.
FULL = {
    "committed": 1000,
    "crash": 2000,
    "crashes together": 60,
    "stale read": 130,
    "hidden events": 110,
    "odd events": 70,
    "partition": 72,
    "long partition": 6,
    "late write": 60,
    "API fault": 66,
    "absence": 24,
    "freeze": 16,
    "short freeze": 16,
    "race": 11,
    "dead watch": 10,
}
SELECTION = dict.fromkeys(FULL, 0) | {
    "committed": 1000,
    "crash": 12,
    "crashes together": 2,
    "stale read": 5,
    "hidden events": 4,
    "odd events": 7,
    "partition": 4,
    "late write": 4,
    "API fault": 6,
    "absence": 2,
    "short freeze": 1,
    "race": 1,
}
# What the full campaign must have met at least, or it has shown less than it claims.
TARGETS = {"crash": 300, "stale read": 100, "hidden events": 100, "partition": 60, "API fault": 40}
TARGET_RACES, TARGET_OBJECTS, TARGET_TASKS = 1000, 10_000, 5000
MOST_FLOORS_TO_HEAL, MOST_WRITES = 1.2, 2.0  # of a dead watch; of a run with faults, in runs without
QUIET_SECONDS = 60.0  # in one piece, at the end: whoever writes now and then shows
CRASHES = ("before", "withheld")  # when the answer has arrived, the next write is what comes: the same point
RACES_AT_ONCE = {True: 100, False: 30}


@dataclass
class Tally:
    """Of one class: how many plans ran, how many of them met their fault, how many of those survived."""

    ran: int = 0
    reached: int = 0
    survived: int = 0
    races: int = 0
    heals: list[float] = field(default_factory=list)  # in floors
    most_writes: float = 0.0  # of one run, as a multiple of the run without faults


@dataclass
class Figures:
    """What a campaign has shown."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    failed: list[tuple[Plan, list[str]]] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    short_of: list[str] = field(default_factory=list)  # targets that were missed

    @property
    def good(self) -> bool:
        met = any(tally.reached for tally in self.tallies.values())
        return met and not self.failed and not self.short_of


class Campaign:
    """`seed` chooses; `full` or the selection; `only` the classes named."""

    def __init__(self, lab: Lab, *, seed: int, full: bool, only: Iterable[str] = ()) -> None:
        self.lab = lab
        self.runner = Runner(lab)
        self.figures = Figures()
        self._seed = seed
        self._full = full
        self._only = set(only)
        self._unfinished: list[Plan] = []
        self._usual_writes = 1

    async def run(self) -> Figures:
        """Fault-free first: that is what everything is compared with."""
        began = time.monotonic()
        writes = await self.prepare()
        for name, plans in self._classes(writes).items():
            if not plans or (self._only and name not in self._only):
                continue
            if name == "dead watch":
                await self._end_batch()
                await self.lab.set_floor(HEAL_FLOOR)
            await self._class(name, plans)
        await self._end_batch(QUIET_SECONDS if self._full else 0.0)
        self.figures.seconds = time.monotonic() - began
        self._sum_up()
        if self._full and not self._only:
            self.figures.short_of = short_of(self.figures)
        return self.figures

    async def prepare(self) -> dict[str, int]:
        """The reference: two fault-free runs that end alike. Writes of each process, the lower number of both."""
        first = await self._reference()
        self.runner.references["lives"] = first.state
        second = await self._reference()
        self._usual_writes = second.writes.total()
        return {process: min(first.writes[process], second.writes[process]) for process in first.writes}

    async def _reference(self) -> Outcome:
        outcome = await self.runner.run(Plan("no-fault"))
        if outcome.problems:
            raise RuntimeError("the run without faults failed:\n" + "\n".join(outcome.problems))
        return outcome

    async def replay(self, plan: Plan) -> Outcome:
        """One plan alone."""
        await self.prepare()
        outcome = await self.runner.run(plan)
        outcome.problems += await self.runner.end_batch()
        return outcome

    def _classes(self, writes: Mapping[str, int]) -> dict[str, list[Plan]]:
        sizes, seed = FULL if self._full else SELECTION, self._seed
        events = dict.fromkeys(generate.LINKS, EVENTS_A_LINK)
        names = RACES_AT_ONCE[self._full]
        found: dict[str, Iterable[Plan]] = {
            "committed": (load_plan(path) for path in sorted(COMMITTED.glob("*.json"))),
            "crash": generate.crashes(writes, CRASHES),
            "crashes together": generate.double_crashes(writes, seed, sizes["crashes together"]),
            "stale read": generate.stale_reads(writes, seed, sizes["stale read"]),
            "hidden events": generate.hidden_events(events, seed, sizes["hidden events"]),
            "odd events": generate.odd_events(events, seed, sizes["odd events"]),
            "partition": generate.partitions(writes, seed, sizes["partition"]),
            "long partition": generate.long_partitions(writes, seed, sizes["long partition"]),
            "late write": generate.late_writes(writes, seed, sizes["late write"]),
            "API fault": generate.api_faults(writes, seed, sizes["API fault"]),
            "absence": generate.absences(writes, seed, sizes["absence"]),
            "freeze": generate.freezes(writes, seed, sizes["freeze"]),
            "short freeze": generate.short_freezes(writes, seed, sizes["short freeze"]),
            "race": generate.races(seed, sizes["race"], names),
            "dead watch": generate.dead_watches(sizes["dead watch"]),
        }
        chance = random.Random(f"selection {seed}")
        return {name: chosen(list(plans), sizes[name], chance) for name, plans in found.items()}

    async def _class(self, name: str, plans: list[Plan]) -> None:
        tally = self.figures.tallies.setdefault(name, Tally())
        for plan in plans:
            outcome = await self.runner.run(plan)
            self._unfinished.append(plan)
            self._count(tally, outcome)
            if len(self._unfinished) >= BATCH:
                await self._end_batch()
        print(f"{name}: {tally.survived} of {tally.reached} survived ({tally.ran} plans)", flush=True)

    def _count(self, tally: Tally, outcome: Outcome) -> None:
        tally.ran += 1
        tally.reached += outcome.reached
        tally.survived += outcome.reached and outcome.survived
        tally.races += outcome.plan.options.get("names", 0) if outcome.reached else 0
        if outcome.plan.story == "lives":
            tally.most_writes = max(tally.most_writes, outcome.writes.total() / self._usual_writes)
        if outcome.plan.story == "probe" and outcome.reached:
            tally.heals.append(outcome.heal_seconds / self.lab.floor)
        print(
            f"  {outcome.plan.name}: {outcome.seconds:.1f} s{'' if outcome.reached else ', fault not met'}", flush=True
        )
        if outcome.problems:
            self._fail(outcome.plan, outcome.problems, list(self.lab.audit.history[outcome.namespace]))

    def _fail(self, plan: Plan, problems: list[str], history: list[str]) -> None:
        self.figures.failed.append((plan, problems))
        for text in (f"FAILED {plan.name}", *problems[:20], "what the clusters showed:", *history[-80:]):
            print(f"    {text}", file=sys.stderr)
        print(f"replay with: python -m tests.faults replay FILE, where FILE has\n{plan.to_json()}", file=sys.stderr)

    async def _end_batch(self, quiet_seconds: float = 0.0) -> None:
        problems = await self.runner.end_batch(quiet_seconds)
        if problems:
            suspects = ", ".join(plan.name for plan in self._unfinished)
            self._fail(Plan("batch", why=f"after {suspects}"), problems, [])
        self._unfinished.clear()

    def _sum_up(self) -> None:
        judge, totals = self.lab.audit.judge, self.figures.totals
        totals["events observed"] = judge.events
        totals["processes killed"] = self.lab.kills
        totals["tasks recorded"] = self.runner.ledger.recorded
        totals["objects created"] = self.runner.created
        totals["quiet seconds"] = int(self.runner.quiet_seconds)
        for rule in ("wrongful delete", "regression", "leak", "resurrection", "done twice", "lost", "restless"):
            totals[rule] = sum(text.startswith(rule) for _, problems in self.figures.failed for text in problems)


def short_of(figures: Figures) -> list[str]:
    """The targets of the full campaign that were not met."""
    tallies, totals = figures.tallies, figures.totals
    found = {f"{name}: plans that met their fault": (tallies[name].reached, least) for name, least in TARGETS.items()}
    found["names created anew"] = (tallies["race"].races, TARGET_RACES)
    found["objects created"] = (totals["objects created"], TARGET_OBJECTS)
    found["tasks recorded"] = (totals["tasks recorded"], TARGET_TASKS)
    too_few = [f"{what}: {count}, at least {least} wanted" for what, (count, least) in found.items() if count < least]
    highest = {
        "floors until a dead watch was healed": (max(tallies["dead watch"].heals, default=0), MOST_FLOORS_TO_HEAL),
        "writes of a run with faults": (max(tally.most_writes for tally in tallies.values()), MOST_WRITES),
    }
    too_many = [
        f"{what}: {value:.2f}, at most {most} wanted" for what, (value, most) in highest.items() if value > most
    ]
    return too_few + too_many


def chosen(plans: list[Plan], count: int, chance: random.Random) -> list[Plan]:
    """So many of them, in their own order."""
    if count >= len(plans):
        return plans
    picked = sorted(chance.sample(range(len(plans)), count))
    return [plans[index] for index in picked]


def table(figures: Figures) -> str:
    """For people."""
    lines = [f"{'class':<18}{'plans':>7}{'met':>7}{'survived':>10}"]
    lines += [
        f"{name:<18}{tally.ran:>7}{tally.reached:>7}{tally.survived:>10}"
        + (f"  {tally.races} names created anew" if tally.races else "")
        + (f"  at most {tally.most_writes:.2f} times the writes" if tally.most_writes else "")
        + (f"  healed in {max(tally.heals):.2f} floors at most" if tally.heals else "")
        for name, tally in figures.tallies.items()
    ]
    lines += [f"{name:<24}{count:>9}" for name, count in figures.totals.items()]
    lines += [f"SHORT OF ITS TARGET: {each}" for each in figures.short_of]
    return "\n".join([*lines, f"{figures.seconds:.0f} s"])


def as_json(figures: Figures) -> dict[str, Any]:
    """For benchmarks/results/faults.json."""
    classes: dict[str, dict[str, Any]] = {
        name: {"plans": tally.ran, "met": tally.reached, "survived": tally.survived}
        | ({"names": tally.races} if tally.races else {})
        | ({"heals_in_floors": [round(each, 2) for each in tally.heals]} if tally.heals else {})
        for name, tally in figures.tallies.items()
    }
    for name, tally in figures.tallies.items():
        if tally.most_writes:
            classes[name]["most_writes_of_a_run"] = round(tally.most_writes, 2)
    failed = [plan.name for plan, _ in figures.failed]
    return {
        "classes": classes,
        "totals": dict(figures.totals),
        "failed": failed,
        "short_of": figures.short_of,
        "seconds": round(figures.seconds),
    }
