# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a syncer counts. One object for the whole process: counters outlive a term of leadership."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tmc.core.vitals import Vitals, current_vitals
from tmc.sync.latency import Carried, Waiting
from tmc.sync.operations import Side

BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_DIRECTION: dict[Side, str] = {"hub": "up", "member": "down"}


class SyncMetrics:
    """The meters of a syncer, in ``registry`` if one is given; what they say is in docs/metrics.md."""

    def __init__(self, member: str = "", registry: CollectorRegistry | None = None) -> None:
        self.vitals = current_vitals()
        self._writes = Counter(
            "tmc_sync_writes", "Writes that an API server acknowledged.", ("kind", "side", "why"), registry=registry
        )
        self._conflicts = Counter(
            "tmc_sync_conflicts", "Writes that came too late: the view was old.", ("kind", "side"), registry=registry
        )
        self._refused = Counter(
            "tmc_sync_refused",
            "Writes that an API server refuses for what is in them (403, 422, 413).",
            ("kind", "side"),
            registry=registry,
        )
        self._restored = Counter(
            "tmc_sync_drift_restored", "Foreign changes of copies undone.", ("kind", "side"), registry=registry
        )
        self._failovers = Counter(
            "tmc_sync_failovers",
            "Kinds taken over from a member that was lost.",
            ("kind",),
            registry=registry,
        )
        self._seconds = Histogram(
            "tmc_sync_end_to_end_seconds",
            "From a change seen on one side to its write acknowledged on the other.",
            ("kind", "direction", "carried"),
            buckets=BUCKETS,
            registry=registry,
        )
        if registry is not None:
            registry.register(_Lag(member, self.vitals))

    def written(self, kind: str, side: Side, why: str) -> None:
        self._writes.labels(kind, side, why).inc()

    def conflict(self, kind: str, side: Side) -> None:
        self._conflicts.labels(kind, side).inc()

    def refused(self, kind: str, side: Side) -> None:
        self._refused.labels(kind, side).inc()

    def drift_restored(self, kind: str, side: Side) -> None:
        self._restored.labels(kind, side).inc()

    def failed_over(self, kind: str) -> None:
        self._failovers.labels(kind).inc()

    def waiting(self, kind: str) -> Waiting:
        """The clock of one kind's objects."""

        def observe(side: Side, carried: Carried, seconds: float) -> None:
            self._seconds.labels(kind, _DIRECTION[side], carried).observe(seconds)

        return Waiting(kind, observe)


class _Lag(Collector):
    def __init__(self, member: str, vitals: Vitals) -> None:
        self._member = member
        self._vitals = vitals

    def collect(self) -> Iterator[Metric]:
        help_text = "How long the object has waited that waits longest."
        family = GaugeMetricFamily("tmc_sync_lag_seconds", help_text, labels=("member", "kind"))
        for waiting in self._vitals.parts(Waiting):
            family.add_metric((self._member, waiting.kind), waiting.oldest())
        yield family
