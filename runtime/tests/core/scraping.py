# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading what Prometheus would read."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


@dataclass
class Scrape:
    """`types` by name as in the text; `samples` by (name, labels)."""

    types: dict[str, str]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= has)

    def labels(self, name: str) -> set[str]:
        """Names of the labels that samples of a metric have, a histogram's `le` apart."""
        names = {name, f"{name}_bucket"}
        return {key for found, has in self.samples if found in names for key, _ in has} - {"le"}


def scrape(source: CollectorRegistry | str) -> Scrape:
    text = source if isinstance(source, str) else generate_latest(source).decode()
    families = list(text_string_to_metric_families(text))
    types = {f.name + ("_total" if f.type == "counter" else ""): f.type for f in families}
    samples = {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}
    return Scrape(types, samples)
