# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Is the status the same everywhere, does it get to its end, and does it never go back at any observer?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tmc.validate.contract import TERMINAL_PHASES, comparable_status, first_difference
from tmc.validate.judgement.check import Check, by_probe, last_error, verdict
from tmc.validate.observations import Comparison, Fabric, Observations, Probe, Sighting

GROUP = "status"
SHOWN_DIFFERENCES = 10
_PHASE_RANK = {"": 0, "Pending": 1, "Running": 2, "Completed": 3, "Failed": 3}


def judge_status(seen: Observations, fabric: Fabric) -> list[Check]:
    checks = []
    for cluster in seen.names:
        checks += [_completed(seen, fabric, cluster), _forward(seen, cluster), _existing(seen, cluster)]
    return checks


def _completed(seen: Observations, fabric: Fabric, cluster: str) -> Check:
    """Every probe is seen Completed here, with the processor's status. `seconds`: the slowest to get there."""
    found, seconds = [], {}
    for probe in (probe for probe in seen.probes if probe.stored is not None):
        problem = _completion_problem(seen, fabric, cluster, probe)
        if problem:
            found.append((probe.origin, problem))
        else:
            seconds[probe.origin] = _completed_at(seen.view(cluster, probe).sightings) - probe.created_at
    slowest = max(seconds.values(), default=0.0)
    summary = f"{len(seconds)} of {len(seen.probes)} Completed, with the same status as on {fabric.processor}"
    evidence = {"seconds": seconds}
    problems = by_probe(found) if seen.probes else ["there are no probes"]
    return verdict(("probe-status", GROUP, cluster), problems, summary, seconds=slowest, evidence=evidence)


def _completion_problem(seen: Observations, fabric: Fabric, cluster: str, probe: Probe) -> str:
    final = seen.view(cluster, probe).final
    trouble = last_error(seen.trouble.get(cluster, ""))
    if final is None:
        return f"not on {cluster}{trouble}"
    here, there = comparable_status(final), comparable_status(seen.view(fabric.processor, probe).final)
    if not here and seen.view(fabric.processor, probe).final is None:
        return f"no status, for it never reached {fabric.processor}{trouble}"
    if not here and not there:
        return f"no status after {seen.followed_for:.0f} s{trouble}: no controller on {fabric.processor} works on it"
    difference = first_difference(here, there, "status")
    if difference:
        return f"{difference}, which {fabric.processor} has{trouble}"
    if here.get("phase") != "Completed":
        at = f"{here.get('phase')} {here.get('progress', '')}".strip()
        return f"is {at} after {seen.followed_for:.0f} s, not Completed: {here.get('message', 'no message')}"
    return _generation_problem(final)


def _generation_problem(obj: Mapping[str, Any]) -> str:
    """`observedGeneration` must be this cluster's generation once all is processed: never newer, never behind."""
    observed, generation = obj["status"].get("observedGeneration"), obj["metadata"].get("generation")
    return "" if observed == generation else f"status.observedGeneration is {observed}, generation here is {generation}"


def _completed_at(sightings: Sequence[Sighting]) -> float:
    times = [s.at for s in sightings if s.object and (s.object.get("status") or {}).get("phase") in TERMINAL_PHASES]
    return min(times, default=sightings[-1].at if sightings else 0.0)


def _forward(seen: Observations, cluster: str) -> Check:
    found: list[tuple[str, str]] = []
    steps = {}
    for probe in (probe for probe in seen.probes if probe.stored is not None):
        sightings = [
            s for s in seen.view(cluster, probe).sightings if seen.deletion_at is None or s.at < seen.deletion_at
        ]
        steps[probe.origin] = _progress(sightings)
        found += [(probe.origin, step_back) for step_back in _steps_back(sightings)]
    problems = by_probe(found)
    if not any(steps.values()):
        problems.append("no progress was seen here")
    where = ("progress-forward", GROUP, cluster)
    return verdict(where, problems, "no step back was seen", evidence={"progress": steps})


def _progress(sightings: Sequence[Sighting]) -> list[str]:
    """The distinct values of `status.progress` in the order in which they were seen."""
    values = [(s.object or {}).get("status", {}).get("progress", "") for s in sightings]
    return list(dict.fromkeys(value for value in values if value))


def _steps_back(sightings: Sequence[Sighting]) -> Iterator[str]:
    for before, after in pairwise(sightings):
        if after.object is None:
            yield "disappeared before it was deleted on its origin"
        elif before.object is not None:
            if before.object["metadata"].get("uid") != after.object["metadata"].get("uid"):
                yield "was replaced by another object of the same name"
            yield from _status_steps_back(before.object.get("status") or {}, after.object.get("status") or {})


def _status_steps_back(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if before and not after:
        yield "its status vanished"
        return
    if after.get("epoch", 0) < before.get("epoch", 0):
        yield f"status.epoch went back from {before['epoch']} to {after.get('epoch')}"
    if after.get("observedSpecHash") != before.get("observedSpecHash"):
        return
    if after.get("completedTasks", 0) < before.get("completedTasks", 0):
        yield f"progress went back from {before.get('progress')} to {after.get('progress')}"
    if _PHASE_RANK.get(after.get("phase", ""), 0) < _PHASE_RANK.get(before.get("phase", ""), 0):
        yield f"phase went back from {before.get('phase')} to {after.get('phase')}"
    done = {task["name"] for task in before.get("tasks", []) if task.get("state") == "Succeeded"}
    still = {task["name"] for task in after.get("tasks", []) if task.get("state") == "Succeeded"}
    if done - still:
        yield f"task {', '.join(sorted(done - still))} was Succeeded and is so no more"


def _existing(seen: Observations, cluster: str) -> Check:
    """All TaskQueues that users have: what this cluster shows is what the processor shows."""
    comparison = seen.comparison or Comparison(error="they were not compared")
    problems = [f"TaskQueues could not be compared: {comparison.error}"] if comparison.error else []
    differing = {name: text for (where, name), text in sorted(comparison.unresolved.items()) if where == cluster}
    problems += [f"{name}: {text}" for name, text in list(differing.items())[:SHOWN_DIFFERENCES]]
    if len(differing) > SHOWN_DIFFERENCES:
        problems.append(f"and {len(differing) - SHOWN_DIFFERENCES} more of {comparison.compared}")
    found = f"{comparison.compared} besides the probes, with the same status everywhere"
    return verdict(("existing-status", GROUP, cluster), problems, found, evidence={"compared": comparison.compared})
