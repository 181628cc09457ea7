# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Plans: data that say which fault happens where. A plan replays the same run.

A plan file is JSON:

    {"name": "crash-syncer-west-12-withheld",
     "faults": [{"on": {"process": "syncer-west", "verb": "WRITE", "nth": 12}, "do": {"kill": "withheld"}}]}

`on` matches calls (`Call`) of the run's own namespace; lists and watches are cluster-wide and count from the start of
the run. `do` names one action and its argument:

| action | argument | what happens |
|---|---|---|
| `kill` | `before`, `withheld`, `answered` | SIGKILL: the server gets nothing; the answer is lost; it arrived |
| `freeze` | seconds (`successor`: true) | SIGSTOP, later SIGCONT; meanwhile another replica takes over |
| `error` | status code (`retry_after`: seconds) | the API server is not asked |
| `cut` | `before`, `withheld` | connection reset: nothing reaches the server, or the answer is lost |
| `delay` | seconds | the call is late |
| `late` | seconds | connection reset at once; the server gets the call that much later all the same |
| `hang` | seconds | accepted and not answered, then reset |
| `truncate` | bytes | the answer ends in the middle |
| `drip` | bytes | the answer comes in pieces of this size, 20 ms apart |
| `snapshot` | name | remember what every cluster's list shows now |
| `stale` | name (`hold`: seconds) | a list is answered from the snapshot; at the first one, watches fall silent |
| `drop`, `twice`, `swap` | true | the event is lost, comes twice, comes after the next one |
| `gone` | true | the stream ends with 410 |
| `half` | true | the stream ends in the middle of this event |
| `mute` | true | the stream stays open and nothing comes any more |
| `partition` | `cut`, `hang`, `answers`, `flap` | `links` (`process>cluster`, * for all) fail for `seconds` |
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.calls import WRITES, Call

ON_CALLS = (
    "kill",
    "freeze",
    "error",
    "cut",
    "delay",
    "late",
    "hang",
    "truncate",
    "drip",
    "snapshot",
    "stale",
    "partition",
)
ON_EVENTS = ("drop", "twice", "swap", "gone", "half", "mute")
ACTIONS = frozenset(ON_CALLS + ON_EVENTS)
SCOPELESS = frozenset({"LIST", "WATCH"})


@dataclass(frozen=True, slots=True)
class Match:
    """Which calls: empty fields match all; `verb` WRITE is any write; `nth` of those that match, `count` in a row."""

    verb: str
    process: str = ""
    cluster: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    event: str = ""
    nth: int = 1
    count: int = 1

    def fits(self, call: Call, namespace: str) -> bool:
        if self.verb != call.verb and not (self.verb == "WRITE" and call.verb in WRITES):
            return False
        if call.verb not in SCOPELESS and not call.concerns(namespace):
            return False
        wanted = {key: value for key, value in self._fields().items() if value}
        return all(getattr(call, key) == value for key, value in wanted.items())

    def _fields(self) -> dict[str, str]:
        return {
            "process": self.process,
            "cluster": self.cluster,
            "resource": self.resource,
            "name": self.name,
            "subresource": self.subresource,
            "event": self.event,
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """`do` is one action with its argument, and the action's options."""

    on: Match
    do: dict[str, Any]

    @property
    def action(self) -> str:
        return next(iter(self.do.keys() & ACTIONS))


@dataclass(frozen=True, slots=True)
class Plan:
    """A name, the story that is played, and what goes wrong meanwhile."""

    name: str
    faults: tuple[Fault, ...] = ()
    story: str = "lives"
    why: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        faults = [{"on": slim(asdict(fault.on)), "do": fault.do} for fault in self.faults]
        document = {"name": self.name, "why": self.why, "story": self.story, "options": self.options, "faults": faults}
        return json.dumps({key: value for key, value in document.items() if value or key == "faults"}, indent=2) + "\n"


def slim(on: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in on.items() if value and not (key in ("nth", "count") and value == 1)}


def parse_plan(document: dict[str, Any]) -> Plan:
    """Raises ValueError, naming the plan and the field, for what no plan says."""
    name = str(document.get("name", ""))
    faults = tuple(parse_fault(name, fault) for fault in document.get("faults", []))
    known = {"name", "faults", "story", "why", "options"}
    if not name or document.keys() - known:
        raise ValueError(f"plan {name!r}: has {sorted(document.keys() - known)}; allowed: {sorted(known)}, with a name")
    return Plan(name, faults, document.get("story", "lives"), document.get("why", ""), document.get("options", {}))


def parse_fault(name: str, fault: dict[str, Any]) -> Fault:
    actions = fault.get("do", {}).keys() & ACTIONS
    if fault.keys() != {"on", "do"} or len(actions) != 1:
        raise ValueError(f"plan {name!r}: a fault has 'on' and 'do' with exactly one of {sorted(ACTIONS)}, got {fault}")
    try:
        return Fault(Match(**fault["on"]), dict(fault["do"]))
    except TypeError as error:
        raise ValueError(f"plan {name!r}: 'on' {fault['on']}: {error}") from error


def load_plan(path: Path) -> Plan:
    return parse_plan(json.loads(path.read_text()))


class Armed:
    """A plan during its run in `namespace`: counts what matches, and says what is to be done now."""

    def __init__(self, plan: Plan, namespace: str) -> None:
        self.plan = plan
        self.namespace = namespace
        self.fired: Counter[int] = Counter()
        self.first_fired = 0.0  # time.monotonic() of the first fault
        self._seen: Counter[int] = Counter()

    def due(self, call: Call) -> list[Fault]:
        """The faults that this call meets; asking counts it. Of an old list only the proxy knows: see `met`."""
        found: list[Fault] = []
        for index, fault in enumerate(self.plan.faults):
            if not fault.on.fits(call, self.namespace):
                continue
            self._seen[index] += 1
            if fault.on.nth <= self._seen[index] < fault.on.nth + fault.on.count:
                found.append(fault)
                if fault.action != "stale":
                    self.met(fault)
        return found

    def met(self, fault: Fault) -> None:
        """It has happened."""
        self.fired[self.plan.faults.index(fault)] += 1
        self.first_fired = self.first_fired or time.monotonic()

    @property
    def all_fired(self) -> bool:
        return len(self.fired) == len(self.plan.faults)
