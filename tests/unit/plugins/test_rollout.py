# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""When a Deployment is rolled out, and what is said when it is not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from ansible_collections.tmc.cross_cluster.plugins.modules import rollout
from tests.unit.plugins.fakeserver import Answer, client, status

DONE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def deployment(**changed: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "kcp-syncer", "namespace": "default", "generation": 3},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "kcp-syncer"}}},
        "status": DONE | changed,
    }


@pytest.mark.parametrize(
    ("changed", "lacks"),
    [
        ({}, ""),
        ({"observedGeneration": 2}, "was not seen yet"),
        ({"updatedReplicas": 1}, "1 of 2 replicas are of the newest template"),
        ({"availableReplicas": 1}, "1 of 2 replicas are available"),
        ({"replicas": 3}, "1 older replicas are left"),
    ],
)
def test_every_replica_is_new_and_available_and_alone(changed: dict[str, int], lacks: str) -> None:
    said = rollout.lacks(deployment(**changed))
    assert lacks in said if lacks else said == ""


def test_what_is_missing_altogether_is_said() -> None:
    assert rollout.lacks(None) == "there is none of that name"
    assert "0 of 2" in rollout.lacks(deployment() | {"status": {"observedGeneration": 3}})


def test_the_pods_say_what_they_wait_for() -> None:
    crashed = {
        "ready": False,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": {"reason": "Error", "message": "tmc: no such Secret"}},
    }
    pulling = {"ready": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    pods = [
        {"metadata": {"name": "a"}, "status": {"containerStatuses": [crashed]}},
        {"metadata": {"name": "b"}, "status": {"containerStatuses": [pulling]}},
        {"metadata": {"name": "c"}, "status": {"conditions": [unscheduled]}},
        {"metadata": {"name": "d"}, "status": {"containerStatuses": [{"ready": True, "state": {"running": {}}}]}},
    ]

    def answer(_method: str, path: str, _body: Any) -> Answer:
        return 200, {"items": pods} if "/pods" in path else deployment(availableReplicas=1)

    made, _pool = client(answer)
    with pytest.raises(TmcError) as caught:
        rollout.wait(made, "kcp-syncer", "default", deadline=time.monotonic() - 1)
    said = str(caught.value)
    assert "1 of 2 replicas are available; pod a: Error tmc: no such Secret" in said
    assert "pod b: ImagePullBackOff not found" in said
    assert "pod c: Unschedulable no room" in said
    assert "pod d" not in said


def test_one_that_is_not_there_is_waited_for_until_the_deadline() -> None:
    made, pool = client(lambda *_asked: status(404, "NotFound", name="kcp-syncer"))
    with pytest.raises(TmcError, match="Deployment default/kcp-syncer on 'east' is not rolled out: there is none"):
        rollout.wait(made, "kcp-syncer", "default", deadline=time.monotonic() - 1)
    assert [path for _method, path, _body in pool.requests] == [
        "/apis/apps/v1/namespaces/default/deployments/kcp-syncer"
    ]


def test_images_are_read_without_waiting() -> None:
    pods = {"template": {"spec": {"containers": [{"name": "syncer", "image": "tmc:1"}]}}}
    live = deployment(availableReplicas=0) | {"spec": deployment()["spec"] | pods}
    missing = status(404, "NotFound", name="taskqueue-controller")
    made, pool = client(lambda _method, path, _body: (200, live) if path.endswith("kcp-syncer") else missing)

    assert rollout.images(made, ["kcp-syncer", "taskqueue-controller"], "default") == {"kcp-syncer": "tmc:1"}
    assert len(pool.requests) == 2
