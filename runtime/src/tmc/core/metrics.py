# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics of what every process has: reflectors, queues, leases, requests, CPU and memory.

Read from the parts when they are scraped: nothing is counted twice, and what is not scraped costs nothing. Every
process (and every test) has a registry of its own.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tmc.api.client import ApiClient
from tmc.core.lease import LeaderElector
from tmc.core.reflector import Reflector
from tmc.core.vitals import Vitals
from tmc.core.workqueue import WorkQueue

# They are a second series beside each counter, which nobody reads in the text format.
disable_created_metrics()  # type: ignore[no-untyped-call]

_PLACE = ("cluster", "resource")


def new_registry(program: str, vitals: Vitals, clients: Iterable[ApiClient]) -> CollectorRegistry:
    """A registry with the metrics of this module and of the process itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Core(program, vitals, list(clients)))
    return registry


class _Core(Collector):
    def __init__(self, program: str, vitals: Vitals, clients: list[ApiClient]) -> None:
        self._program = program
        self._vitals = vitals
        self._clients = clients

    def describe(self) -> Iterable[Metric]:
        return list(self.collect())

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("tmc_build_info", "Always 1; what runs here.", labels=("program", "version"))
        info.add_metric((self._program, version("tmc")), 1)
        yield info
        yield self._requests()
        yield from self._reflector_counters()
        yield from self._reflector_gauges()
        yield from self._queues()
        yield from self._leases()

    def _requests(self) -> Metric:
        labels = ("cluster", "verb", "resource")
        family = CounterMetricFamily(
            "tmc_api_requests", "Requests sent to an API server, watches included.", labels=labels
        )
        for client in self._clients:
            for (verb, resource), count in client.requests.items():
                family.add_metric((client.connection.name, verb, resource), count)
        return family

    def _reflector_counters(self) -> Iterator[Metric]:
        families = {
            "events": CounterMetricFamily("tmc_reflector_events", "Watch events, bookmarks apart.", labels=_PLACE),
            "lists": CounterMetricFamily("tmc_reflector_lists", "Full lists read, the first included.", labels=_PLACE),
            "comparisons": CounterMetricFamily("tmc_reflector_comparisons", "Comparisons with a list.", labels=_PLACE),
            "differences": CounterMetricFamily(
                "tmc_reflector_differences", "Comparisons that found what the watch had missed.", labels=_PLACE
            ),
            "healed": CounterMetricFamily(
                "tmc_reflector_healed_objects", "Objects that only a comparison brought up to date.", labels=_PLACE
            ),
        }
        restarts = CounterMetricFamily(
            "tmc_reflector_restarts",
            "Watches that were begun anew: ended, replaced, expired or failed.",
            labels=(*_PLACE, "reason"),
        )
        for place, stats in self._vitals.counted("reflector").items():
            for name, family in families.items():
                family.add_metric(place, getattr(stats, name))
            for reason, count in stats.restarts.items():
                restarts.add_metric((*place, reason), count)
        yield from families.values()
        yield restarts

    def _reflector_gauges(self) -> Iterator[Metric]:
        objects: defaultdict[tuple[str, ...], int] = defaultdict(int)
        ages: defaultdict[tuple[str, ...], float] = defaultdict(float)
        now = time.monotonic()
        for reflector in self._vitals.parts(Reflector):
            place = (reflector.cluster, reflector.resource.name)
            objects[place] += len(reflector.store)
            if reflector.last_contact:
                ages[place] = max(ages[place], now - reflector.last_contact)
        yield _gauge("tmc_reflector_objects", "Objects held in memory.", _PLACE, objects)
        help_text = "Seconds since the API server last gave a sign of life, bookmarks and comparisons included."
        yield _gauge("tmc_reflector_last_contact_age_seconds", help_text, _PLACE, ages)

    def _queues(self) -> Iterator[Metric]:
        depths: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for queue in self._vitals.parts(WorkQueue):
            depths[(queue.name,)] += len(queue)
        handled = CounterMetricFamily("tmc_queue_handled", "Keys that a worker took up.", labels=("queue",))
        failed = CounterMetricFamily("tmc_queue_failures", "Keys whose handling failed.", labels=("queue",))
        for name, stats in self._vitals.counted("queue").items():
            handled.add_metric(name, stats.handled)
            failed.add_metric(name, stats.failed)
        yield _gauge(
            "tmc_queue_depth", "Keys that wait, for a worker or their time, or are worked on.", ("queue",), depths
        )
        yield handled
        yield failed

    def _leases(self) -> Iterator[Metric]:
        leader: dict[tuple[str, ...], float] = {}
        transitions = CounterMetricFamily(
            "tmc_lease_transitions", "How often the Lease changed hands, as it says itself.", labels=("lease",)
        )
        for elector in self._vitals.parts(LeaderElector):
            leader[(elector.name,)] = float(elector.leading)
            transitions.add_metric((elector.name,), elector.transitions)
        yield _gauge("tmc_leader", "1: this process leads, 0: it stands by.", ("lease",), leader)
        yield transitions


def _gauge(name: str, help_text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for place, value in values.items():
        family.add_metric(place, value)
    return family
