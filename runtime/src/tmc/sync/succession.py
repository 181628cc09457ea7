# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Who takes a kind over when the processor's member is lost, and when: pure values and functions (docs/failover.md).

The only sign of a member is the Lease that its syncer renews on the hub. How long it was silent is measured by whoever
looks, with its own monotonic clock: no clock of another machine is compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Succession:
    """`candidates` are members in their order; the first one waits `after` seconds, the second one twice that."""

    candidates: tuple[str, ...] = ()
    after: float = float(DEFAULT_SECONDS)

    def patience(self, me: str, processor: str) -> float | None:
        """For how many seconds `me` must not have heard of `processor`; None: it never takes over from it."""
        heirs = [name for name in self.candidates if name != processor]
        return (heirs.index(me) + 1) * self.after if me in heirs else None


def succession(spec: Mapping[str, Any]) -> Succession:
    """What the spec of a `SyncedResource` says. Without `failover` there are no candidates."""
    failover = spec.get("failover") or {}
    return Succession(tuple(failover.get("candidates") or ()), float(failover.get("afterSeconds", DEFAULT_SECONDS)))


@dataclass(frozen=True, slots=True)
class Term:
    """A processor and the fencing number of its term."""

    processor: str
    epoch: int


def term_of_fence(data: Mapping[str, str] | None) -> Term | None:
    """The term that a kind's ConfigMap on the hub holds; None: it cannot be read."""
    processor, epoch = (data or {}).get("processor", ""), (data or {}).get("epoch", "")
    return Term(processor, int(epoch)) if processor and epoch.isascii() and epoch.isdecimal() else None


class Silences:
    """For how long members were seen to be silent, in seconds of looking.

    Two looks that are more than `gap` seconds apart count as `gap`: who slept, or had no answer, has not looked.
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._at: float | None = None
        self._versions: dict[str, str] = {}
        self._silent: dict[str, float] = {}

    def looked(self, versions: Mapping[str, str], expected: Collection[str], at: float) -> None:
        """The resourceVersion of each member's Lease, at monotonic time `at`; one that is missing does not change."""
        passed = 0.0 if self._at is None else min(at - self._at, self._gap)
        before, self._at = self._versions, at
        self._versions = {name: versions.get(name, "") for name in expected}
        self._silent = {
            name: self._silent.get(name, 0.0) + passed if before.get(name) == version else 0.0
            for name, version in self._versions.items()
        }

    def lost_sight(self) -> None:
        """The hub did not answer: whoever could not renew meanwhile has the whole time again."""
        self._at = None
        self._versions.clear()
        self._silent.clear()

    def of(self, name: str) -> float:
        return self._silent.get(name, 0.0)

    def longer_than(self, seconds: float) -> frozenset[str]:
        return frozenset(name for name, silent in self._silent.items() if silent > seconds)

    def version(self, name: str) -> str:
        """Of the Lease as it was seen last; empty: there was none."""
        return self._versions.get(name, "")
