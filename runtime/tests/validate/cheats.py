# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The table of cheats: what is spoilt in a healthy fabric, which check must fail where, and with which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from validate import world
from validate.spoiling import (
    ACCEPTED,
    BROKEN,
    BY_SCHEMA,
    EAST_SYNCER,
    NO_PARAMETERS,
    blind,
    declares,
    everywhere,
    final,
    goes_back,
    managers,
    moved_meanwhile,
    never_crossed,
    no_status_anywhere,
    probe,
    refused,
    released_and_anonymous,
    same_cluster_twice,
    says,
    stale_lease,
)

from tmc.validate.observations import (
    Cluster,
    Comparison,
    Observations,
    Sighting,
)


@dataclass(frozen=True)
class Cheat:
    name: str
    spoil: Callable[[Observations], Any]
    check: str
    cluster: str
    words: str


CHEATS = [
    Cheat(
        "a cluster is dead",
        lambda s: s.clusters.update(east=Cluster("east", False, error="connection refused")),
        "reachable",
        "east",
        "does not answer: connection refused",
    ),
    Cheat("two names, one cluster", same_cluster_twice, "reachable", "east", "one and the same cluster"),
    Cheat("nothing declared", lambda s: s.synced.update(kcp=None), "declaration", "kcp", "nothing is synced"),
    Cheat(
        "processor is nobody we know",
        declares("kcp", processor="north"),
        "declaration",
        "kcp",
        "none of the clusters",
    ),
    Cheat(
        "processor moved meanwhile",
        moved_meanwhile,
        "declaration",
        "kcp",
        "changed while validating, from west, epoch 3 to west, epoch 4",
    ),
    Cheat(
        "a probe is refused",
        refused,
        "probe-created",
        "east",
        "403 no",
    ),
    Cheat("no probes at all", lambda s: s.probes.clear(), "probe-status", "west", "there are no probes"),
    Cheat(
        "member is another cluster",
        lambda s: s.member_uids.update(east="other"),
        "registered",
        "east",
        "has clusterUID other",
    ),
    Cheat(
        "mirror with another processor",
        declares("east", processor="east"),
        "registered",
        "east",
        'spec.processor: "east" is not "west"',
    ),
    Cheat("no mirror", lambda s: s.synced.update(east=None), "registered", "east", "mirror"),
    Cheat("probe never crosses", never_crossed, "probe-crossed", "west", "probe of east: never appeared on west"),
    Cheat(
        "copy of another object",
        lambda s: final(s, "west", "east")["metadata"]["annotations"].update({"tmc.io/origin-uid": "fake"}),
        "probe-crossed",
        "west",
        "annotation tmc.io/origin-uid is 'fake'",
    ),
    Cheat(
        "copy of another cluster",
        lambda s: final(s, "west", "east")["metadata"]["annotations"].update({"tmc.io/origin-cluster-uid": "fake"}),
        "probe-crossed",
        "west",
        "annotation tmc.io/origin-cluster-uid is 'fake'",
    ),
    Cheat(
        "copy with the wrong label",
        lambda s: final(s, "west", "east")["metadata"]["labels"].update({"tmc.io/origin": "kcp"}),
        "probe-crossed",
        "west",
        "label tmc.io/origin is 'kcp'",
    ),
    Cheat(
        "copy is the origin itself",
        lambda s: final(s, "west", "east")["metadata"].update(uid="object-east"),
        "probe-crossed",
        "west",
        "one API server's storage",
    ),
    Cheat(
        "copy with another spec",
        lambda s: final(s, "west", "east")["spec"]["tasks"][0].update(command="true"),
        "probe-crossed",
        "west",
        'spec.tasks[0].command: "true" is not "echo nonceeast-1"',
    ),
    Cheat(
        "copy made by a script",
        lambda s: managers(s, "west", "east", "f:spec")[0].update(manager="kubectl"),
        "copy-writer",
        "west",
        "was written by kubectl, not by tmc-syncer alone",
    ),
    Cheat(
        "copies can be edited",
        lambda s: setattr(s.view("west", probe(s, "east")), "spec_attempt", ACCEPTED),
        "copy-guard",
        "west",
        "was ACCEPTED",
    ),
    Cheat(
        "deletion does not cross",
        lambda s: setattr(s.view("west", probe(s, "east")), "gone_after", None),
        "probe-deleted",
        "west",
        "deleted on its origin and is still on west",
    ),
    Cheat("nobody works", no_status_anywhere, "probe-status", "west", "no controller on west works on it"),
    Cheat(
        "status does not cross",
        lambda s: final(s, "east", "kcp").pop("status"),
        "probe-status",
        "east",
        "which west has",
    ),
    Cheat(
        "one cluster shows another status",
        lambda s: final(s, "east", "kcp")["status"].update(progress="1/2"),
        "probe-status",
        "east",
        'status.progress: "1/2" is not "2/2", which west has',
    ),
    Cheat("never finishes", says(phase="Running"), "probe-status", "kcp", "is Running 2/2 after 4 s, not Completed"),
    Cheat("fails", says(phase="Failed"), "probe-status", "kcp", "is Failed"),
    Cheat(
        "claims a generation that it has not seen",
        lambda s: final(s, "east", "kcp")["status"].update(observedGeneration=2),
        "probe-status",
        "east",
        "observedGeneration is 2, generation here is 1",
    ),
    Cheat(
        "progress goes back",
        goes_back(lambda o: o["status"].update(completedTasks=1, progress="1/2")),
        "progress-forward",
        "east",
        "progress went back from 2/2 to 1/2",
    ),
    Cheat(
        "phase goes back",
        goes_back(lambda o: o["status"].update(phase="Running")),
        "progress-forward",
        "east",
        "phase went back from Completed to Running",
    ),
    Cheat(
        "epoch goes back",
        goes_back(lambda o: o["status"].update(epoch=2)),
        "progress-forward",
        "east",
        "epoch went back from 3 to 2",
    ),
    Cheat(
        "a task is undone",
        goes_back(lambda o: o["status"]["tasks"][0].update(state="Running")),
        "progress-forward",
        "east",
        "task probe-1 was Succeeded and is so no more",
    ),
    Cheat("status vanishes", goes_back(lambda o: o.pop("status")), "progress-forward", "east", "status vanished"),
    Cheat(
        "copy is replaced",
        goes_back(lambda o: o["metadata"].update(uid="other")),
        "progress-forward",
        "east",
        "replaced by another object",
    ),
    Cheat(
        "copy goes too early",
        lambda s: s.view("east", probe(s, "kcp")).sightings.insert(2, Sighting(11.5, None)),
        "progress-forward",
        "east",
        "disappeared before it was deleted",
    ),
    Cheat(
        "observer saw nothing",
        blind,
        "progress-forward",
        "east",
        "no progress was seen here",
    ),
    Cheat(
        "users' TaskQueues differ",
        lambda s: setattr(s, "comparison", Comparison(5, {("east", "default/a"): "status.phase: 1 is not 2"})),
        "existing-status",
        "east",
        "default/a: status.phase: 1 is not 2",
    ),
    Cheat(
        "users' TaskQueues were not compared",
        lambda s: setattr(s, "comparison", None),
        "existing-status",
        "east",
        "could not be compared",
    ),
    Cheat(
        "syncer is dead",
        stale_lease(EAST_SYNCER),
        "lease tmc-system/syncer-east",
        "kcp",
        "was not renewed in 10.0 s",
    ),
    Cheat(
        "controller is dead",
        stale_lease(world.CONTROLLER_LEASE),
        "lease default/taskqueue-controller",
        "west",
        "its holder is not alive",
    ),
    Cheat(
        "controller has no Lease",
        lambda s: s.leases.pop(world.CONTROLLER_LEASE),
        "lease default/taskqueue-controller",
        "west",
        "was never looked at",
    ),
    Cheat(
        "status of another cluster's controller",
        says(processingCluster="east-controller"),
        "processed-by",
        "kcp",
        "processingCluster is 'east-controller', not 'west-controller'",
    ),
    Cheat("status of a former term", says(epoch=2), "processed-by", "west", "status.epoch is 2, not 3"),
    Cheat(
        "status by somebody without the Lease",
        says(processorIdentity="mallory"),
        "processed-by",
        "west",
        "processorIdentity is 'mallory', but host_ab12 holds the Lease",
    ),
    Cheat(
        "status by nobody while nobody holds the Lease",
        released_and_anonymous,
        "processed-by",
        "west",
        "but nobody holds the Lease",
    ),
    Cheat("status for another spec", says(observedSpecHash="0" * 16), "processed-by", "west", "observedSpecHash"),
    Cheat(
        "results made up",
        lambda s: everywhere(s, "kcp", lambda status: status["tasks"][1].update(result="feedfeedfeedfeed")),
        "results",
        "east",
        "result of task probe-2 is 'feedfeedfeedfeed', the work gives",
    ),
    Cheat(
        "results left out",
        lambda s: everywhere(s, "kcp", lambda status: status.pop("tasks")),
        "results",
        "east",
        "result of task probe-1 is None",
    ),
    Cheat(
        "status on the processor by kubectl",
        lambda s: managers(s, "west", "kcp", "f:status")[0].update(manager="kubectl-patch"),
        "status-writer",
        "west",
        "status was written by 'kubectl-patch', not by 'taskqueue-controller'",
    ),
    Cheat(
        "status partly by kubectl",
        lambda s: final(s, "west", "kcp")["metadata"]["managedFields"].append(
            {"manager": "kubectl-patch", "subresource": "status", "fieldsV1": {"f:status": {"f:message": {}}}}
        ),
        "status-writer",
        "west",
        "'kubectl-patch'",
    ),
    Cheat(
        "status elsewhere by the controller itself",
        lambda s: managers(s, "east", "kcp", "f:status")[0].update(manager="taskqueue-controller"),
        "status-writer",
        "east",
        "not by 'tmc-syncer'",
    ),
    Cheat(
        "status past the subresource",
        lambda s: managers(s, "west", "kcp", "f:status")[0].pop("subresource"),
        "status-writer",
        "west",
        "past the status subresource",
    ),
    Cheat(
        "no record of who wrote",
        lambda s: final(s, "west", "kcp")["metadata"].pop("managedFields"),
        "status-writer",
        "west",
        "nobody wrote its status",
    ),
    Cheat(
        "anybody may write status",
        lambda s: setattr(s.view("west", probe(s, "east")), "status_attempt", ACCEPTED),
        "status-guard",
        "west",
        "was ACCEPTED",
    ),
    Cheat(
        "anybody may write status elsewhere",
        lambda s: setattr(s.view("east", probe(s, "east")), "status_attempt", ACCEPTED),
        "status-guard",
        "east",
        "was ACCEPTED",
    ),
    Cheat(
        "refused, but only by the schema",
        lambda s: setattr(s.view("west", probe(s, "east")), "status_attempt", BY_SCHEMA),
        "status-guard",
        "west",
        "did not refuse it: 422 TaskQueue is invalid",
    ),
    Cheat(
        "policy refuses everything because it is broken",
        lambda s: setattr(s.view("west", probe(s, "east")), "status_attempt", BROKEN),
        "status-guard",
        "west",
        "is broken",
    ),
    Cheat(
        "policy refuses everything because it has no parameters",
        lambda s: setattr(s.view("west", probe(s, "east")), "status_attempt", NO_PARAMETERS),
        "status-guard",
        "west",
        "is broken",
    ),
    Cheat(
        "guard could not be tried",
        lambda s: setattr(s.view("west", probe(s, "east")), "status_attempt", None),
        "status-guard",
        "west",
        "could not be tried",
    ),
]
