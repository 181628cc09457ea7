# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Do objects cross? Probes must reach every other cluster, by a syncer's hand, unchanged, and go with its origin."""

from __future__ import annotations

from tmc.validate.contract import (
    COPIES_POLICY,
    ORIGIN_CLUSTER_UID,
    ORIGIN_LABEL,
    ORIGIN_UID,
    SYNCER_MANAGER,
    first_difference,
)
from tmc.validate.judgement.check import Check, by_probe, guard_problem, last_error, verdict
from tmc.validate.managers import managers_of
from tmc.validate.observations import Object, Observations, Probe

GROUP = "sync"


def judge_sync(seen: Observations) -> list[Check]:
    checks = [_created(seen, cluster) for cluster in seen.names]
    checks += [_registered(seen, member) for member in seen.members]
    for cluster in seen.names:
        checks += [_copies(seen, cluster), _copy_writers(seen, cluster), _copy_guard(seen, cluster)]
    return checks + [_deletions(seen, cluster) for cluster in seen.names]


def _created(seen: Observations, cluster: str) -> Check:
    errors = [f"a probe could not be created: {probe.error}" for probe in _of(seen, cluster) if probe.stored is None]
    if not _of(seen, cluster):
        errors = ["no probe was created here"]
    names = [f"{probe.namespace}/{probe.name}" for probe in _of(seen, cluster)]
    return verdict(("probe-created", GROUP, cluster), errors, "accepted", evidence={"probes": names})


def _registered(seen: Observations, member: str) -> Check:
    """The hub knows this member as the cluster it is, and the member has the hub's declaration of TaskQueues."""
    problems = []
    known, actual = seen.member_uids.get(member, ""), seen.clusters[member].uid
    if known != actual:
        problems.append(f"Member {member} on {seen.hub} has clusterUID {known or 'nothing'}, the cluster's is {actual}")
    declared = (seen.synced.get(seen.hub) or {}).get("spec")
    difference = first_difference((seen.synced.get(member) or {}).get("spec"), declared, "spec")
    if difference:
        problems.append(f"its mirror of the hub's SyncedResource is not right: {difference}")
    return verdict(("registered", GROUP, member), problems, "as the cluster that it is, with the hub's declaration")


def _copies(seen: Observations, cluster: str) -> Check:
    """Probes of all other clusters arrived here. `seconds`: the slowest crossing."""
    problems: list[tuple[str, str]] = []
    seconds = {}
    for probe in _foreign(seen, cluster):
        first = next((s for s in seen.view(cluster, probe).sightings if s.object is not None), None)
        if first is None or first.object is None:
            trouble = last_error(seen.trouble.get(cluster, ""))
            text = (
                f"never appeared on {cluster} in {seen.followed_for:.0f} s{trouble}: a syncer on the way does not work"
            )
            problems.append((probe.origin, text))
            continue
        seconds[probe.origin] = first.at - probe.created_at
        final = seen.view(cluster, probe).final or first.object
        problems += [(probe.origin, problem) for problem in _copy_problems(seen, probe, final)]
    found = "from every other cluster, with the same spec"
    slowest = max(seconds.values(), default=0.0)
    evidence = {"seconds": seconds}
    return verdict(("probe-crossed", GROUP, cluster), by_probe(problems), found, seconds=slowest, evidence=evidence)


def _copy_problems(seen: Observations, probe: Probe, copy: Object) -> list[str]:
    metadata = copy.get("metadata", {})
    annotations = metadata.get("annotations") or {}
    labels = metadata.get("labels") or {}
    expected = [
        (f"label {ORIGIN_LABEL}", labels.get(ORIGIN_LABEL), probe.origin),
        (f"annotation {ORIGIN_UID}", annotations.get(ORIGIN_UID), probe.uid),
        (f"annotation {ORIGIN_CLUSTER_UID}", annotations.get(ORIGIN_CLUSTER_UID), seen.clusters[probe.origin].uid),
    ]
    problems = [f"{what} is {actual!r}, not {right!r}" for what, actual, right in expected if actual != right]
    if metadata.get("uid") == probe.uid:
        problems.append("is the origin object itself, not a copy: both names lead to one API server's storage")
    difference = first_difference(copy.get("spec"), probe.spec, "spec")
    return [*problems, difference] if difference else problems


def _copy_writers(seen: Observations, cluster: str) -> Check:
    problems, evidence = [], {}
    for probe in _foreign(seen, cluster):
        final = seen.view(cluster, probe).final
        if final is None:
            problems.append((probe.origin, "there is no copy"))
            continue
        writers = evidence[probe.origin] = sorted({writer.manager for writer in managers_of(final, "f:spec")})
        if writers != [SYNCER_MANAGER]:
            wrote = ", ".join(writers) or "nobody"
            problems.append((probe.origin, f"its spec was written by {wrote}, not by {SYNCER_MANAGER} alone"))
    where = ("copy-writer", GROUP, cluster)
    return verdict(where, by_probe(problems), SYNCER_MANAGER, evidence=evidence)


def _copy_guard(seen: Observations, cluster: str) -> Check:
    """A person's edit of a copy's spec is refused by the policy (tried as a dry run)."""
    problems = []
    for probe in _foreign(seen, cluster):
        problem = guard_problem(seen.view(cluster, probe).spec_attempt, COPIES_POLICY, "an edit of the copy")
        problems += [(probe.origin, problem)] if problem else []
    found = f"edits are refused by {COPIES_POLICY}"
    return verdict(("copy-guard", GROUP, cluster), by_probe(problems), found)


def _deletions(seen: Observations, cluster: str) -> Check:
    """Every probe that was deleted on its origin is gone here. `seconds`: the slowest."""
    problems, seconds = [], {}
    for probe in (probe for probe in seen.probes if probe.stored is not None):
        gone = seen.view(cluster, probe).gone_after
        if gone is None:
            problems.append((probe.origin, f"was deleted on its origin and is still on {cluster}"))
        else:
            seconds[probe.origin] = gone
    slowest = max(seconds.values(), default=0.0)
    found = "gone after they were deleted on their origin"
    evidence = {"seconds": seconds}
    return verdict(("probe-deleted", GROUP, cluster), by_probe(problems), found, seconds=slowest, evidence=evidence)


def _of(seen: Observations, cluster: str) -> list[Probe]:
    return [probe for probe in seen.probes if probe.origin == cluster]


def _foreign(seen: Observations, cluster: str) -> list[Probe]:
    return [probe for probe in seen.probes if probe.origin != cluster and probe.stored is not None]
