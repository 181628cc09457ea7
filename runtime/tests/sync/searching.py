# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Every state of the small model that can be reached within a budget of events, and what all ways from there lead to.

Users' and faults' events cost; what syncers do is free. So a cycle is made of syncers' steps alone: a fabric that
never comes to rest. Without cycles, and with every state of rest judged, every run ends converged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from runtime.tests.sync.judge import Wrong, need
from runtime.tests.sync.small_model import FREE, Model, State
from runtime.tests.sync.truth import judge_rest

Budget = dict[str, int]


@dataclass
class Found:
    """What a search went through."""

    states: int = 0
    steps: int = 0
    at_rest: int = 0
    plans: int = 0
    deepest: int = 0


@dataclass
class Search:
    """All orders of events on `names` names, which share one budget. Names are alike: their order does not count."""

    model: Model
    budget: Budget
    names: int = 1
    limit: int = 10_000_000
    _numbers: dict[State, int] = field(default_factory=dict)
    _states: list[State] = field(default_factory=list)
    _nexts: list[dict[str, list[int]]] = field(default_factory=list)
    _rests: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._full, unit = 0, 1
        self._units: list[tuple[str, int, int]] = []  # event, its place in a number that counts what is left, and base
        for event, most in self.budget.items():
            self._units.append((event, unit, most + 1))
            self._full += most * unit
            unit *= most + 1

    def run(self) -> Found:
        """Depth first, so that a way back to a state that is still under way shows. Raises Wrong, with the way."""
        found = Found()
        start = ((self._number(State()),) * self.names, self._full)
        under_way: dict[tuple[tuple[int, ...], int], Iterator[tuple[tuple[int, ...], int]]] = {
            start: self._after(start)
        }
        path, done = [start], set()
        try:
            while path:
                node = path[-1]
                nxt = next(under_way[node], None)
                if nxt is None:
                    del under_way[path.pop()]
                    done.add(node)
                    self._count(found, node)
                    continue
                found.steps += 1
                if nxt in under_way:
                    need(self._blind(nxt), "the syncers never come to rest")
                elif nxt not in done:
                    need(len(done) + len(path) < self.limit, f"more than {self.limit:,} states: not searched whole")
                    under_way[nxt] = self._after(nxt)
                    path.append(nxt)
                    found.deepest = max(found.deepest, len(path))
        except Wrong as wrong:
            raise Wrong(f"{wrong}\n{self.explain(str(wrong))}") from wrong
        found.plans = self.model.judged
        return found

    def _count(self, found: Found, node: tuple[tuple[int, ...], int]) -> None:
        found.states += 1
        found.at_rest += all(self._rests[number] for number in node[0])

    def _blind(self, node: tuple[tuple[int, ...], int]) -> bool:
        """A syncer that is shown an old state may try in vain until it sees again."""
        return any(self._states[number].frozen for number in node[0])

    def _number(self, state: State) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = len(self._states)
            self._states.append(state)
            self._nexts.append({})
            resting = not self.model.busy(state)
            self._rests.append(resting)
            if resting:
                judge_rest(self.model, state)
        return number

    def _next(self, number: int, event: str) -> list[int]:
        """What follows, for one name."""
        known = self._nexts[number].get(event)
        if known is None:
            followers = {self._number(after) for _, after in self.model.steps(self._states[number], event)}
            known = self._nexts[number][event] = sorted(followers - {number})
        return known

    def _affordable(self, budget: int) -> list[tuple[str, int]]:
        return [(FREE, 0), *((event, unit) for event, unit, base in self._units if budget // unit % base)]

    def _after(self, node: tuple[tuple[int, ...], int]) -> Iterator[tuple[tuple[int, ...], int]]:
        numbers, budget = node
        for event, unit in self._affordable(budget):
            for place, number in enumerate(numbers):
                for after in self._next(number, event):
                    others = (*numbers[:place], after, *numbers[place + 1 :])
                    yield (tuple(sorted(others)) if self.names > 1 else others), budget - unit

    def explain(self, wrong: str) -> str:
        """The shortest way, in one name, to something that is wrong in the same way."""
        start = (State(), self._full)
        parents: dict[tuple[State, int], tuple[tuple[State, int], str] | None] = {start: None}
        queue = deque([start])
        while queue and len(parents) < 400_000:
            node = queue.popleft()
            state, budget = node
            try:
                if not self.model.busy(state):
                    judge_rest(self.model, state)
                for event, unit in self._affordable(budget):
                    for label, after in self.model.steps(state, event):
                        nxt = (after, budget - unit)
                        if nxt not in parents:
                            parents[nxt] = (node, label)
                            queue.append(nxt)
            except Wrong as found:
                if str(found) == wrong:
                    return self._told(parents, node)
        return "(no shortest way found)"

    def _told(
        self, parents: dict[tuple[State, int], tuple[tuple[State, int], str] | None], node: tuple[State, int]
    ) -> str:
        lines: list[str] = []
        last = node[0]
        while (step := parents[node]) is not None:
            node, label = step
            lines.append(label)
        objects = [
            f"{name}: {self.model.object(n)}" for name, n in zip(("kcp", "east", "west"), last.objects, strict=True)
        ]
        return "\n".join(chain(reversed(lines), objects, [f"{last}"]))
