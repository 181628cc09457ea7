# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Percentiles, ratios and rows of a result: pure, and without a cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure. `target` is the most it should be (None: there is no target); `n` says of how many it was taken."""

    section: str
    figure: str
    value: float
    unit: str = ""
    n: int | None = None
    target: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where there is no target."""
        if self.target is None:
            return ""
        return "met" if self.value <= self.target else "missed"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that `percent` (0 < percent <= 100) of them do not exceed. Raises ValueError."""
    if not values:
        raise ValueError("a percentile of no values: nothing was measured")
    if not 0 < percent <= 100:
        raise ValueError(f"percent={percent} must be above 0 and at most 100")
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def ratio(ours: Sequence[float], theirs: Sequence[float], percent: float) -> float:
    """Our percentile over theirs: above 1 we are slower."""
    return percentile(ours, percent) / percentile(theirs, percent)


def paired_ratio(ours: Sequence[float], theirs: Sequence[float], percent: float = 50) -> float:
    """A percentile of the quotients round by round, which the machine's drift leaves alone. Raises ValueError."""
    return percentile([a / b for a, b in zip(ours, theirs, strict=True)], percent)


def writes_ratio(writes: float, clusters: int, states: float) -> float:
    """Writes of an object's life over the fewest there could be: each of its states once in each cluster."""
    return writes / (clusters * states)


def difference(before: Mapping[Any, int], after: Mapping[Any, int]) -> dict[Any, int]:
    """What counters have grown by; those that have not are left out."""
    return {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}


def number(value: float) -> str:
    """Three digits that matter, thousands marked."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
