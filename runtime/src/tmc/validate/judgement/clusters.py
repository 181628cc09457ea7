# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Do the clusters answer, are they different clusters, and what does the hub declare about TaskQueues?"""

from __future__ import annotations

from collections import Counter

from tmc.validate.contract import RESOURCE_NAME
from tmc.validate.judgement.check import Check, verdict
from tmc.validate.observations import Fabric, Observations, fabric_of


def judge_clusters(seen: Observations) -> list[Check]:
    """One check a cluster: it answers, and no other name stands for the same cluster."""
    uids = Counter(cluster.uid for cluster in seen.clusters.values() if cluster.uid)
    checks = []
    for cluster in seen.clusters.values():
        problems = []
        if not cluster.reachable:
            problems.append(f"does not answer: {cluster.error or 'no answer'}")
        elif uids[cluster.uid] > 1:
            twins = sorted(other.name for other in seen.clusters.values() if other.uid == cluster.uid)
            problems.append(f"{', '.join(twins)} are one and the same cluster ({cluster.uid}), not a fabric of several")
        evidence = {"version": cluster.version, "uid": cluster.uid}
        checks.append(
            verdict(("reachable", "clusters", cluster.name), problems, f"answers, {cluster.version}", evidence=evidence)
        )
    return checks


def judge_fabric(seen: Observations) -> list[Check]:
    """One check about the hub's declaration of TaskQueues: it is there, names a cluster we know, and did not move."""
    where = ("declaration", "clusters", seen.hub)
    fabric = seen.fabric()
    if fabric is None:
        problem = f"no SyncedResource {RESOURCE_NAME} with processor and epoch on {seen.hub}: nothing is synced"
        return [verdict(where, [problem + _trouble(seen)], "")]
    problems = []
    if fabric.processor not in seen.names:
        problems.append(f"processor {fabric.processor!r} is none of the clusters asked about: {', '.join(seen.names)}")
    elif seen.synced_after is not None and (after := fabric_of(seen.synced_after)) != fabric:
        problems.append(f"changed while validating, from {_words(fabric)} to {_words(after)}: validate again")
    evidence = {"processor": fabric.processor, "epoch": fabric.epoch, "statusWriters": list(fabric.status_writers)}
    return [verdict(where, problems, f"TaskQueues are processed on {_words(fabric)}", evidence=evidence)]


def _words(fabric: Fabric | None) -> str:
    return f"{fabric.processor}, epoch {fabric.epoch}" if fabric else "nothing"


def _trouble(seen: Observations) -> str:
    error = seen.trouble.get(seen.hub, "")
    return f" ({error})" if error else ""
