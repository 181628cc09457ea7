# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Plans by the hundred: every write of the fault-free run, and for the rest what a seed chooses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.faults.plans import Fault, Match, Plan

LINKS = ("syncer-east>east", "syncer-east>kcp", "syncer-west>west", "syncer-west>kcp", "controller>west")
SYNCERS = ("syncer-east", "syncer-west")
LONGER_THAN_A_LEASE = 12.0  # seconds
GRACE, LONGER_THAN_GRACE = "1s", 20.0  # and longer than it takes until a syncer is said to be silent
POSITIONS = ("before", "withheld", "answered")


def crashes(writes: Mapping[str, int], positions: Sequence[str] = POSITIONS) -> Iterator[Plan]:
    """A SIGKILL at each of the writes of each process; `writes`: how many a fault-free run has."""
    for process, count in writes.items():
        for nth in range(1, count + 1):
            for position in positions:
                fault = Fault(Match("WRITE", process, nth=nth), {"kill": position})
                yield Plan(f"crash-{process}-{nth}-{position}", (fault,))


def double_crashes(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """Two or three processes die, each at a write of its own."""
    chance = random.Random(f"double crashes {seed}")
    for number in range(count):
        faults = []
        for process in chance.sample(sorted(writes), chance.choice((2, 3))):
            nth = chance.randint(1, writes[process] // 2)
            faults.append(Fault(Match("WRITE", process, nth=nth), {"kill": chance.choice(POSITIONS)}))
        yield Plan(f"crashes-together-{seed}-{number}", tuple(faults))


def stale_reads(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """A process dies and reads an old list when it starts again, or compares with one while it runs."""
    chance = random.Random(f"stale reads {seed}")
    for number in range(count):
        process = chance.choice(sorted(writes))
        nth = chance.randint(2, writes[process] - 2)
        old = max(1, nth - chance.choice((1, 2, 4, 8, 16, 32)))
        cluster = chance.choice([link.partition(">")[2] for link in LINKS if link.startswith(f"{process}>")] + [""])
        snapshot = Fault(Match("WRITE", process, nth=old), {"snapshot": "old"})
        lists = Match("LIST", process, cluster, "taskqueues", nth=1, count=10_000)
        stale = Fault(lists, {"stale": "old", "hold": chance.choice((0.0, 0.3, 1.0))})
        restarts = chance.random() < 0.8
        ending: dict[str, Any] = {"kill": chance.choice(POSITIONS)} if restarts else {"cut": "withheld"}
        again = Fault(Match("WRITE", process, nth=nth), ending)
        yield Plan(f"stale-{process}-{seed}-{number}", (snapshot, again, stale))


def hidden_events(events: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """A window of events that a watch never delivers; `events`: how many each link carries without faults."""
    chance = random.Random(f"hidden events {seed}")
    for number in range(count):
        link = chance.choice(sorted(events))
        process, _, cluster = link.partition(">")
        width = chance.choice((1, 1, 1, 2, 3, 8))
        nth = chance.randint(1, max(1, events[link] - width))
        on = Match("EVENT", process, cluster, "taskqueues", nth=nth, count=width)
        yield Plan(f"hidden-{process}-{cluster}-{seed}-{number}", (Fault(on, {"drop": True}),))


def odd_events(events: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """Events late, twice, in another order; streams that expire, break, or fall silent."""
    chance = random.Random(f"odd events {seed}")
    ways: list[dict[str, Any]] = [
        {"twice": True}, {"swap": True}, {"delay": 0.5}, {"gone": True}, {"half": True}, {"cut": True}, {"mute": True},
    ]  # fmt: skip
    for number in range(count):
        link = chance.choice(sorted(events))
        process, _, cluster = link.partition(">")
        do = ways[number % len(ways)]
        width = 1 if do.keys() & {"mute", "delay"} else chance.choice((1, 2, 4))
        on = Match("EVENT", process, cluster, "taskqueues", nth=chance.randint(1, events[link] // 2), count=width)
        yield Plan(f"odd-{next(iter(do))}-{process}-{cluster}-{seed}-{number}", (Fault(on, do),))


def partitions(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """Links that are cut, hang, lose answers or flap, one or several, for a fraction of a floor to several."""
    chance = random.Random(f"partitions {seed}")
    groups = [[link] for link in LINKS] + [["*>kcp"], ["*>west"], ["*>east"], ["syncer-east"], ["syncer-west"], ["*"]]
    for number in range(count):
        process = chance.choice(sorted(writes))
        do = {
            "partition": ("cut", "flap", "answers", "hang")[number % 4],
            "links": groups[number % len(groups)],
            "seconds": chance.choice((0.3, 1.0, 2.0, 3.0)),
        }
        on = Match("WRITE", process, nth=chance.randint(1, writes[process] - 2))
        yield Plan(f"partition-{do['partition']}-{seed}-{number}", (Fault(on, do),))


def long_partitions(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """Longer than a Lease lasts."""
    chance = random.Random(f"long partitions {seed}")
    groups = [["syncer-west>kcp"], ["syncer-east>kcp"], ["controller>west"], ["*>kcp"], ["*>west"], ["*"]]
    for number in range(count):
        process = chance.choice(sorted(writes))
        do = {"partition": ("cut", "hang")[number % 2], "links": groups[number % len(groups)], "seconds": 12.0}
        on = Match("WRITE", process, nth=chance.randint(1, writes[process] - 2))
        yield Plan(f"partition-long-{do['partition']}-{seed}-{number}", (Fault(on, do),))


def late_writes(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """The process hears of a reset and goes on; the server gets the write later, when it may have been overtaken."""
    chance = random.Random(f"late writes {seed}")
    for number in range(count):
        process = chance.choice(sorted(writes))
        on = Match("WRITE", process, nth=chance.randint(1, writes[process] - 4))
        if number % 2:  # what alone has no precondition
            process, cluster = chance.choice(LINKS[:4]).split(">")
            on = Match("CREATE", process, cluster, "taskqueues", nth=chance.randint(1, 3))
        do = {"late": chance.choice((0.2, 0.6, 1.5, 3.0))}
        yield Plan(f"late-{process}-{seed}-{number}", (Fault(on, do),))


def api_faults(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """Errors, lost answers, answers that are late, cut short or slow."""
    chance = random.Random(f"API faults {seed}")
    ways: list[dict[str, Any]] = [
        {"error": 429, "retry_after": 1}, {"error": 500}, {"error": 503}, {"error": 504}, {"error": 409},
        {"cut": "before"}, {"cut": "withheld"}, {"truncate": 40}, {"drip": 400}, {"delay": 0.7}, {"hang": 1.0},
    ]  # fmt: skip
    verbs = ("WRITE", "WRITE", "WRITE", "GET", "LIST", "WATCH")
    for number in range(count):
        process = chance.choice(sorted(writes))
        verb = chance.choice(verbs)
        nth = chance.randint(1, writes[process] - 4) if verb == "WRITE" else 1
        on = Match(verb, process, nth=nth, count=chance.choice((1, 2, 4)))
        do = ways[number % len(ways)]
        yield Plan(f"api-{'-'.join(map(str, do.values()))}-{verb.lower()}-{process}-{seed}-{number}", (Fault(on, do),))


def races(seed: int, count: int, names: int) -> Iterator[Plan]:
    """Many names at once are deleted and created again, while events get lost and processes die."""
    chance = random.Random(f"races {seed}")
    for number in range(count):
        faults = [
            Fault(Match("WRITE", process, nth=chance.randint(5, 3 * names)), {"kill": chance.choice(POSITIONS)})
            for process in chance.sample(("controller", *SYNCERS), number % 3)
        ]
        for link in chance.sample(LINKS, 2):
            process, _, cluster = link.partition(">")
            on = Match("EVENT", process, cluster, "taskqueues", nth=chance.randint(1, 2 * names), count=names // 4)
            faults.append(Fault(on, {"drop": True}))
        yield Plan(f"races-{seed}-{number}", tuple(faults), "races", options={"names": names, "seed": seed + number})


def freezes(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """SIGSTOP for longer than a Lease lasts: a successor takes over, then the former leader wakes up and goes on.

    In every other plan the write that it was about also arrives that late.
    """
    chance = random.Random(f"freezes {seed}")
    for number in range(count):
        process = chance.choice(sorted(writes))
        on = Match("WRITE", process, nth=chance.randint(1, writes[process] - 2))
        faults = [Fault(on, {"freeze": LONGER_THAN_A_LEASE, "successor": True})]
        if number % 2:
            faults.append(Fault(on, {"delay": LONGER_THAN_A_LEASE}))
        yield Plan(f"freeze-{process}-{seed}-{number}", tuple(faults))


def absences(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """A syncer is dead or cut off for longer than a deletion waits: tombstones tell it when it is back."""
    chance = random.Random(f"absences {seed}")
    for number in range(count):
        process = SYNCERS[number % 2]
        on = Match("WRITE", process, nth=chance.randint(1, writes[process] - 2))
        do: dict[str, Any] = {"kill": chance.choice(POSITIONS), "rest": LONGER_THAN_GRACE}
        if number % 4 > 1:
            links = chance.choice(([f"{process}>kcp"], [process]))
            do = {"partition": chance.choice(("cut", "answers")), "links": links, "seconds": LONGER_THAN_GRACE}
        yield Plan(f"absence-{process}-{seed}-{number}", (Fault(on, do),), options={"grace": GRACE})


def short_freezes(writes: Mapping[str, int], seed: int, count: int) -> Iterator[Plan]:
    """SIGSTOP for a moment: events pile up, requests time out."""
    chance = random.Random(f"short freezes {seed}")
    for number in range(count):
        process = chance.choice(sorted(writes))
        on = Match("WRITE", process, nth=chance.randint(1, writes[process] - 2))
        yield Plan(f"freeze-short-{process}-{seed}-{number}", (Fault(on, {"freeze": chance.choice((0.5, 2.0))}),))


def dead_watches(count: int) -> Iterator[Plan]:
    """A watch that falls silent at the very event that matters."""
    for number in range(count):
        process, _, cluster = LINKS[number % len(LINKS)].partition(">")
        on = Match("EVENT", process, cluster, "taskqueues", name="probe")
        yield Plan(f"dead-watch-{process}-{cluster}-{number}", (Fault(on, {"mute": True}),), "probe")
