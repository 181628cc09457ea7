# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Who did the work? The controller that holds the Lease, under the declared epoch, on the declared cluster."""

from __future__ import annotations

from collections.abc import Iterator

from tmc.validate.contract import (
    CONTROLLER_LEASE,
    CONTROLLER_MANAGER,
    CONTROLLER_NAMESPACE,
    COPIES_POLICY,
    SYNCER_MANAGER,
    SYNCER_NAMESPACE,
    spec_hash,
    syncer_lease,
    task_result,
)
from tmc.validate.judgement.check import Check, by_probe, guard_problem, verdict
from tmc.validate.managers import managers_of
from tmc.validate.observations import Fabric, LeaseKey, LeaseSample, Object, Observations, Probe

GROUP = "controller"
NO_STATUS = "there is no status"


def expected_leases(seen: Observations, fabric: Fabric) -> list[LeaseKey]:
    """The Leases that a live fabric renews: each syncer's on the hub, the controller's on the processor."""
    syncers = [LeaseKey(seen.hub, SYNCER_NAMESPACE, syncer_lease(member)) for member in seen.members]
    return [*syncers, LeaseKey(fabric.processor, CONTROLLER_NAMESPACE, CONTROLLER_LEASE)]


def judge_controller(seen: Observations, fabric: Fabric) -> list[Check]:
    checks = [_lease(key, seen.leases.get(key, [])) for key in expected_leases(seen, fabric)]
    holders = _controller_holders(seen, fabric)
    for cluster in seen.names:
        checks += [
            _identity(seen, fabric, cluster, holders),
            _results(seen, cluster),
            _writers(seen, fabric, cluster),
            _guard(seen, fabric, cluster),
        ]
    return checks


def lease_problem(samples: list[LeaseSample]) -> str:
    """Why these samples of one Lease do not show a live holder; empty text when they do."""
    read = [sample for sample in samples if not sample.error]
    if not read:
        return samples[-1].error if samples else "was never looked at"
    first, last = read[0], read[-1]
    if not last.holder:
        return "nobody holds it (it was released or never taken)"
    if len(read) < 2:
        return f"was read only once: {samples[-1].error}"
    if last.renew_time <= first.renew_time or last.resource_version == first.resource_version:
        held = f"held by {last.holder}, renewTime {last.renew_time or 'empty'}"
        return f"was not renewed in {last.at - first.at:.1f} s ({held}): its holder is not alive"
    return ""


def _lease(key: LeaseKey, samples: list[LeaseSample]) -> Check:
    problem = lease_problem(samples)
    where = (f"lease {key.namespace}/{key.name}", GROUP, key.cluster)
    if problem:
        return verdict(where, [problem], "")
    read = [sample for sample in samples if not sample.error]
    took = read[-1].at - read[0].at
    evidence = {
        "holder": read[-1].holder,
        "renewTime": [read[0].renew_time, read[-1].renew_time],
        "resourceVersion": [read[0].resource_version, read[-1].resource_version],
    }
    return verdict(where, [], f"renewed by {read[-1].holder}", seconds=took, evidence=evidence)


def _controller_holders(seen: Observations, fabric: Fabric) -> set[str]:
    key = LeaseKey(fabric.processor, CONTROLLER_NAMESPACE, CONTROLLER_LEASE)
    return {sample.holder for sample in seen.leases.get(key, []) if sample.holder}


def _identity(seen: Observations, fabric: Fabric, cluster: str, holders: set[str]) -> Check:
    """Status names the processor, its epoch, and the identity that holds the controller's Lease."""
    problems = []
    for probe, status in _statuses(seen, cluster):
        problems += [(probe.origin, text) for text in _identity_problems(status, probe, fabric, holders)]
    found = f"by {', '.join(sorted(holders))} as {fabric.processor}-controller, epoch {fabric.epoch}"
    evidence = {"holders": sorted(holders), "epoch": fabric.epoch}
    return verdict(("processed-by", GROUP, cluster), by_probe(problems), found, evidence=evidence)


def _identity_problems(status: Object, probe: Probe, fabric: Fabric, holders: set[str]) -> Iterator[str]:
    if not status:
        yield NO_STATUS
        return
    expected = {
        "processingCluster": f"{fabric.processor}-controller",
        "epoch": fabric.epoch,
        "observedSpecHash": spec_hash(probe.spec),
    }
    for name, right in expected.items():
        if status.get(name) != right:
            yield f"status.{name} is {status.get(name)!r}, not {right!r}"
    identity = status.get("processorIdentity")
    if not identity or identity not in holders:
        holder = " or ".join(sorted(holders)) or "nobody"
        yield f"status.processorIdentity is {identity!r}, but {holder} holds the Lease"


def _results(seen: Observations, cluster: str) -> Check:
    """Each task's result is the one that follows from the probe's nonce and uid."""
    problems, checked = [], 0
    for probe, status in _statuses(seen, cluster):
        checked += len(probe.spec.get("tasks", []))
        problem = _result_problem(status, probe) if status else NO_STATUS
        problems += [(probe.origin, problem)] if problem else []
    found = f"{checked} task results follow from the nonces of the probes"
    return verdict(("results", GROUP, cluster), by_probe(problems), found, evidence={"results": checked})


def _result_problem(status: Object, probe: Probe) -> str:
    results = {task.get("name"): task.get("result") for task in status.get("tasks", [])}
    messages = {task.get("name"): task.get("message") for task in status.get("tasks", [])}
    tasks = probe.spec.get("tasks", [])
    right = {task["name"]: task_result(probe.uid, task["name"], task["command"]) for task in tasks}
    wrong = [name for name in right if results.get(name) != right[name]]
    if not wrong:
        return ""
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    said = f"; it says: {messages[wrong[0]]}" if messages.get(wrong[0]) else ""
    return f"result of task {wrong[0]} is {results.get(wrong[0])!r}, the work gives {right[wrong[0]]!r}{more}{said}"


def _writers(seen: Observations, fabric: Fabric, cluster: str) -> Check:
    """managedFields: the controller on the processor, the syncer elsewhere, both through the status subresource."""
    right = CONTROLLER_MANAGER if cluster == fabric.processor else SYNCER_MANAGER
    problems, evidence = [], {}
    for probe in (probe for probe in seen.probes if probe.stored is not None):
        writers = managers_of(seen.view(cluster, probe).final, "f:status")
        evidence[probe.origin] = [f"{writer.manager}/{writer.subresource or 'main'}" for writer in writers]
        problems += [] if writers else [(probe.origin, "nobody wrote its status")]
        for writer in writers:
            if writer.manager != right:
                problems.append((probe.origin, f"status was written by {writer.manager!r}, not by {right!r}"))
            elif writer.subresource != "status":
                problems.append((probe.origin, f"{writer.manager} wrote status past the status subresource"))
    found = f"{right}, through the status subresource"
    return verdict(("status-writer", GROUP, cluster), by_probe(problems), found, evidence=evidence)


def _guard(seen: Observations, fabric: Fabric, cluster: str) -> Check:
    """An administrator's status is refused by the policy (tried as a dry run on every probe here)."""
    where = ("status-guard", GROUP, cluster)
    if cluster == fabric.processor and not fabric.status_writers:
        return verdict(where, [], "not tried: spec.statusWriters is empty, so anybody whom RBAC lets may write")
    problems, messages = [], {}
    for probe in (probe for probe in seen.probes if probe.stored is not None):
        attempt = seen.view(cluster, probe).status_attempt
        problem = guard_problem(attempt, COPIES_POLICY, "a forged status")
        problems += [(probe.origin, problem)] if problem else []
        messages[probe.origin] = attempt.message if attempt else ""
    found = f"forgeries are refused by {COPIES_POLICY}"
    return verdict(where, by_probe(problems), found, evidence={"refusals": messages})


def _statuses(seen: Observations, cluster: str) -> Iterator[tuple[Probe, Object]]:
    for probe in (probe for probe in seen.probes if probe.stored is not None):
        final = seen.view(cluster, probe).final
        yield probe, dict((final or {}).get("status") or {})
