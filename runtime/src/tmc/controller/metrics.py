# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the controller counts. One object for the whole process: counters outlive a term of leadership."""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tmc.api.client import Object
from tmc.controller.model import Queue
from tmc.controller.writer import Written
from tmc.core.keys import ObjectKey

LEDGER = "tmc.controller.ledger"
UNSTARTED = "Pending"  # as the phase of a TaskQueue that nobody has looked at


class Writer(Protocol):
    async def write(self, queue: Queue, status: dict[str, Any]) -> Written: ...


class ControllerMetrics:
    """The meters of a controller, in ``registry`` if one is given; what they say is in docs/metrics.md."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.attempts = Counter(
            "tmc_taskqueue_attempts", "Attempts of tasks, by what became of them.", ("event",), registry=registry
        )
        self.recorded = Counter(
            "tmc_taskqueue_tasks_recorded", "Outcomes that the API server acknowledged.", ("state",), registry=registry
        )
        self.writes = Counter(
            "tmc_taskqueue_status_writes", "Writes of status, by result.", ("result",), registry=registry
        )
        self._phases: dict[ObjectKey, str] = {}
        if registry is not None:
            registry.register(_Phases(self._phases))

    def seen(self, key: ObjectKey, queue: Object | None) -> None:
        """This is how the TaskQueue is now; None: it is gone."""
        if queue is None:
            self._phases.pop(key, None)
        else:
            self._phases[key] = str((queue.get("status") or {}).get("phase") or UNSTARTED)


@asynccontextmanager
async def counting(registry: CollectorRegistry) -> AsyncIterator[ControllerMetrics]:
    """While the block runs, every line of the ledger is counted, so that the two cannot disagree."""
    metrics = ControllerMetrics(registry)
    reader, ledger = _LedgerReader(metrics), logging.getLogger(LEDGER)
    ledger.addHandler(reader)
    try:
        yield metrics
    finally:
        ledger.removeHandler(reader)


class CountedWriter:
    """A status writer that counts what came of it."""

    def __init__(self, writer: Writer, metrics: ControllerMetrics) -> None:
        self._writer = writer
        self._writes = metrics.writes

    async def write(self, queue: Queue, status: dict[str, Any]) -> Written:
        written = await self._writer.write(queue, status)
        result = "acknowledged" if written.acknowledged else "failed" if written.problem else "overtaken"
        self._writes.labels(result).inc()
        return written


class _LedgerReader(logging.Handler):
    def __init__(self, metrics: ControllerMetrics) -> None:
        super().__init__()
        self._metrics = metrics

    def emit(self, record: logging.LogRecord) -> None:
        fields = vars(record)
        if record.msg == "recorded":
            self._metrics.recorded.labels(str(fields["state"])).inc()
        elif record.msg == "finished":
            self._metrics.attempts.labels(str(fields["outcome"]).lower()).inc()
        else:  # started, resumed
            self._metrics.attempts.labels(str(record.msg)).inc()


class _Phases(Collector):
    def __init__(self, phases: dict[ObjectKey, str]) -> None:
        self._phases = phases

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("tmc_taskqueue_queues", "TaskQueues, by phase.", labels=("phase",))
        for phase, count in Tally(self._phases.values()).items():
            family.add_metric((phase,), count)
        yield family
