# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Ways to spoil what was seen of a healthy fabric; the rows of `cheats` are made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from validate import world

from tmc.validate.observations import (
    Attempt,
    LeaseKey,
    Object,
    Observations,
    Probe,
    ProbeView,
    Sighting,
)


def probe(seen: Observations, origin: str) -> Probe:
    return next(probe for probe in seen.probes if probe.origin == origin)


def final(seen: Observations, cluster: str, origin: str) -> Object:
    obj = seen.view(cluster, probe(seen, origin)).final
    assert obj is not None
    return obj


def everywhere(seen: Observations, origin: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the final status on all clusters alike: consistent, and still a lie."""
    for cluster in seen.names:
        change(final(seen, cluster, origin)["status"])


def says(**fields: Any) -> Callable[[Observations], None]:
    """All clusters show these fields in the status of the hub's probe."""
    return lambda seen: everywhere(seen, "kcp", lambda status: status.update(fields))


def managers(seen: Observations, cluster: str, origin: str, field: str) -> list[dict[str, Any]]:
    return [e for e in final(seen, cluster, origin)["metadata"]["managedFields"] if field in e["fieldsV1"]]


def no_status_anywhere(seen: Observations) -> None:
    for view in seen.views.values():
        view.sightings = [
            Sighting(s.at, {k: v for k, v in s.object.items() if k != "status"} if s.object else None)
            for s in view.sightings
        ]
        view.final = {k: v for k, v in (view.final or {}).items() if k != "status"}


def never_crossed(seen: Observations) -> None:
    seen.views[("west", probe(seen, "east").name)] = ProbeView()


def moved_meanwhile(seen: Observations) -> None:
    assert seen.synced_after is not None
    seen.synced_after["spec"]["epoch"] = 4


def declares(cluster: str, **fields: Any) -> Callable[[Observations], None]:
    """Another SyncedResource on the cluster than the one that all have."""

    def spoil(seen: Observations) -> None:
        synced = seen.synced[cluster]
        assert synced is not None
        synced["spec"].update(fields)

    return spoil


def refused(seen: Observations) -> None:
    probe(seen, "east").stored, probe(seen, "east").error = None, "403 no"


def blind(seen: Observations) -> None:
    for one in seen.probes:
        seen.view("east", one).sightings.clear()


def released_and_anonymous(seen: Observations) -> None:
    seen.leases.pop(world.CONTROLLER_LEASE)
    everywhere(seen, "kcp", lambda status: status.update(processorIdentity=""))


def same_cluster_twice(seen: Observations) -> None:
    seen.clusters["east"] = replace(seen.clusters["east"], uid=seen.clusters["west"].uid)


def goes_back(change: Callable[[dict[str, Any]], None]) -> Callable[[Observations], None]:
    """Insert, before the object goes, a later sighting on east in which something went back."""

    def spoil(seen: Observations) -> None:
        sightings = seen.view("east", probe(seen, "kcp")).sightings
        back = world.object_on("east", probe(seen, "kcp"), 2, 200)
        change(back)
        sightings.insert(-1, Sighting(14.0, back))

    return spoil


def stale_lease(key: LeaseKey) -> Callable[[Observations], None]:
    return lambda seen: seen.leases.update({key: [seen.leases[key][0], replace(seen.leases[key][0], at=20.0)]})


EAST_SYNCER = LeaseKey("kcp", "tmc-system", "syncer-east")
ACCEPTED = Attempt(False, 200, "accepted")
BY_SCHEMA = Attempt(True, 422, "TaskQueue is invalid: status.epoch: Required value")
BROKEN = Attempt(
    True, 422, f"ValidatingAdmissionPolicy '{world.POLICY}' denied request: expression 'x' resulted in error: no key"
)
NO_PARAMETERS = Attempt(
    True,
    403,
    # The one that is named need not be the one that is asked about: all that match miss theirs.
    f"ValidatingAdmissionPolicy '{world.POLICY.replace('copies', 'syncers')}' denied request: failed to configure"
    " binding: no params found",
)
