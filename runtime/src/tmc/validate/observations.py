# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the validator looked at: plain values, filled by the collecting shell and read by the judgement.

Times (`at`, `created_at`, ...) are seconds on the validator's own monotonic clock, so clocks of clusters do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster of the fabric: whether its API server answered, and as whom (`uid` is that of `kube-system`)."""

    name: str
    reachable: bool
    version: str = ""
    uid: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Fabric:
    """What the hub's SyncedResource declares about TaskQueues."""

    processor: str
    epoch: int
    status_writers: tuple[str, ...]


@dataclass(slots=True)
class Probe:
    """One TaskQueue of ours. `stored`: the origin object as the API server answered; `error`: why it did not."""

    nonce: str
    origin: str
    namespace: str
    name: str
    stored: Object | None = None
    created_at: float = 0.0
    error: str = ""

    @property
    def uid(self) -> str:
        return str((self.stored or {}).get("metadata", {}).get("uid", ""))

    @property
    def spec(self) -> Object:
        return dict((self.stored or {}).get("spec", {}))


@dataclass(frozen=True, slots=True)
class Sighting:
    """One version of an object as an observer saw it; `object` is None when it was seen to go."""

    at: float
    object: Object | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """Answer to a forbidden write, tried as a dry run. `status` 0 means that no answer came."""

    refused: bool
    status: int
    message: str


@dataclass(slots=True)
class ProbeView:
    """One probe on one cluster. `gone_after`: seconds from the request to delete its origin until it was gone here."""

    sightings: list[Sighting] = field(default_factory=list)
    final: Object | None = None
    status_attempt: Attempt | None = None
    spec_attempt: Attempt | None = None
    gone_after: float | None = None


@dataclass(frozen=True, slots=True)
class LeaseKey:
    cluster: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class LeaseSample:
    """A Lease at one moment; all fields empty and `error` set when it could not be read."""

    at: float
    holder: str = ""
    renew_time: str = ""
    resource_version: str = ""
    error: str = ""


@dataclass(slots=True)
class Comparison:
    """All TaskQueues, compared until each agreed once. `unresolved`: (cluster, "namespace/name") -> difference."""

    compared: int = 0
    unresolved: dict[tuple[str, str], str] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class Observations:
    """Everything of one validation."""

    hub: str
    members: tuple[str, ...]
    clusters: dict[str, Cluster] = field(default_factory=dict)
    synced: dict[str, Object | None] = field(default_factory=dict)
    synced_after: Object | None = None
    member_uids: dict[str, str] = field(default_factory=dict)
    probes: list[Probe] = field(default_factory=list)
    views: dict[tuple[str, str], ProbeView] = field(default_factory=dict)
    leases: dict[LeaseKey, list[LeaseSample]] = field(default_factory=dict)
    comparison: Comparison | None = None
    trouble: dict[str, str] = field(default_factory=dict)
    followed_for: float = 0.0
    deletion_at: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.hub, *self.members)

    def view(self, cluster: str, probe: Probe) -> ProbeView:
        """What was seen of the probe on the cluster; an empty view when nothing was."""
        return self.views.get((cluster, probe.name), ProbeView())

    def record(self, cluster: str, name: str) -> ProbeView:
        """The view to fill, made on first use."""
        return self.views.setdefault((cluster, name), ProbeView())

    def fabric(self) -> Fabric | None:
        """The hub's declaration, None when there is none or it is not whole."""
        return fabric_of(self.synced.get(self.hub))


def fabric_of(synced_resource: Object | None) -> Fabric | None:
    """Read `spec.processor`, `spec.epoch` and `spec.statusWriters`; None when the first two are not there."""
    spec = (synced_resource or {}).get("spec", {})
    if not spec.get("processor") or not isinstance(spec.get("epoch"), int):
        return None
    return Fabric(spec["processor"], spec["epoch"], tuple(spec.get("statusWriters") or ()))
