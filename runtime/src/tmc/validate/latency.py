# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""How long a status change takes from the processor to each other observer (pure)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from tmc.validate.contract import comparable_status
from tmc.validate.observations import Observations, Sighting


def status_latency(seen: Observations) -> dict[str, Any]:
    """`{cluster: {"count", "p50", "p99"}}` in milliseconds, all together as `all`; only clusters with samples.

    Only statuses seen at both ends count: changes that came fast after each other are rightly coalesced.
    """
    fabric = seen.fabric()
    if fabric is None:
        return {}
    samples: dict[str, list[float]] = {}
    for cluster in seen.names:
        for probe in seen.probes if cluster != fabric.processor else []:
            source = _first_seen(seen.view(fabric.processor, probe).sightings)
            here = _first_seen(seen.view(cluster, probe).sightings)
            samples.setdefault(cluster, []).extend(
                max(0.0, here[key] - source[key]) for key in here.keys() & source.keys()
            )
    samples["all"] = [sample for values in list(samples.values()) for sample in values]
    return {name: _summary(values) for name, values in samples.items() if values}


def _first_seen(sightings: Sequence[Sighting]) -> dict[str, float]:
    first: dict[str, float] = {}
    for sighting in sightings:
        status = comparable_status(sighting.object)
        if status:
            first.setdefault(json.dumps(status, sort_keys=True), sighting.at)
    return first


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {"count": len(values), "p50": _percentile(values, 50), "p99": _percentile(values, 99)}


def _percentile(values: Sequence[float], percent: int) -> float:
    """Nearest rank, in milliseconds."""
    ranked = sorted(values)
    return round(1000 * ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)], 1)
