# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The result of one check, and what judging functions have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tmc.validate.observations import Attempt

GROUPS = ("status", "controller", "sync")

# What the API server says when a policy refuses because it cannot be evaluated, and not because of the request.
BROKEN_POLICY = ("resulted in error", "failed to configure")


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict about one cluster. `reason`: all that is wrong, or else what was found. `seconds` 0: not timed."""

    name: str
    group: str
    cluster: str
    ok: bool
    reason: str
    seconds: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)


def verdict(
    where: tuple[str, str, str],
    problems: Sequence[str],
    found: str,
    *,
    seconds: float = 0.0,
    evidence: dict[str, Any] | None = None,
) -> Check:
    """The check `where` = (name, group, cluster): passed with `found`, or failed with all the problems."""
    name, group, cluster = where
    return Check(name, group, cluster, not problems, "; ".join(problems) or found, seconds, evidence or {})


def by_probe(found: Iterable[tuple[str, str]]) -> list[str]:
    """Problems in words, from (origin of the probe, problem): what is wrong with several probes alike is said once."""
    origins: dict[str, list[str]] = {}
    for origin, problem in found:
        origins.setdefault(problem, []).append(origin)
    return [f"{_probes(names)}: {problem}" for problem, names in origins.items()]


def _probes(origins: Sequence[str]) -> str:
    return f"{'probe' if len(origins) == 1 else 'probes'} of {', '.join(origins)}"


def guard_problem(attempt: Attempt | None, policy: str, what: str) -> str:
    """Why a forbidden write was not properly refused, or empty text when the named admission policy refused it."""
    if attempt is None:
        return f"{what} could not be tried: there was no object to try it on"
    if not attempt.refused:
        return f"{what} was ACCEPTED: admission policy {policy} does not guard it"
    # Of several broken policies, which all refuse before they look who asks, an API server names any one.
    if any(sign in attempt.message for sign in BROKEN_POLICY):
        return f"an admission policy is broken and refuses everything: {attempt.message}"
    if f"ValidatingAdmissionPolicy '{policy}'" not in attempt.message:
        return f"{what} failed, but admission policy {policy} did not refuse it: {attempt.status} {attempt.message}"
    return ""


def last_error(trouble: str) -> str:
    """How a problem mentions the last fault met on the cluster while looking."""
    return f" (last error there: {trouble})" if trouble else ""
