# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Who gets the free workers. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from tmc.core.keys import ObjectKey


class Demand(NamedTuple):
    """One queue that could use `wanted` workers. Sorts by priority (0 is critical), then age, then name."""

    rank: int
    created: str  # RFC 3339, so that text order is time order
    key: ObjectKey
    wanted: int


def schedule(demands: Iterable[Demand], free: int) -> dict[ObjectKey, int]:
    """Grants by key. The first in order takes what it wants, the next what is left. Nobody running is pushed out."""
    grants: dict[ObjectKey, int] = {}
    # Whoever is granted anything takes at least one worker, so more than `free` demands need not be looked at.
    for demand in heapq.nsmallest(max(0, free), (demand for demand in demands if demand.wanted > 0)):
        if free <= 0:
            break
        grants[demand.key] = min(demand.wanted, free)
        free -= grants[demand.key]
    return grants
