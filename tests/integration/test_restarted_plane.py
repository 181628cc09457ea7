# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""An API server that has just been killed and started again judges writes by our rules from its first request on.

It knows the kinds of CRDs by discovery only, some time after it is ready: a policy whose parameter is of such a kind is
broken until then, and denies everything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import SYNCED_RESOURCE
from tests.integration.admission_lab import (
    ALICE,
    EAST,
    TOMBSTONE,
    Lab,
    copy_of,
    kind_at,
    lab_on,
    own_object,
    refusal,
)
from tests.integration.conftest import free_ports
from tests.integration.throwaway_plane import throwaway_plane

CRASHES = 5  # a server that is quick to know its CRDs hides a broken policy: about one start in three


def test_the_first_writes_after_a_crash_are_judged_by_the_rules(
    binaries: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client, peer, secure = free_ports(3)
    with throwaway_plane(binaries, tmp_path_factory.mktemp("restarted"), (client, peer, secure)) as plane:
        connection = _kubeconfig.load_file(str(plane.kubeconfig))
        with lab_on(connection, repository / "manifests"):
            for _time in range(CRASHES):
                plane.crash()
                lab = Lab(connection)
                everybody_is_let_through(lab)
                rules_refuse(lab)


def everybody_is_let_through(lab: Lab) -> None:
    """One attempt each, and none is repeated."""
    for place, actor, obj in (
        ("east", ALICE, own_object()),
        ("hub", ALICE, own_object()),
        ("hub", EAST, copy_of("east")),
    ):
        error = refusal(lambda: lab.as_actor(actor).create(*_named(lab, place, obj)))  # noqa: B023 - called at once
        assert error is None, f"the first write of {actor.user} at {place} is refused: {error}"


def rules_refuse(lab: Lab) -> None:
    wrong = copy_of("east")
    wrong["metadata"]["annotations"]["tmc.io/origin-cluster-uid"] = "another"
    stone = {"group": "g", "resource": "r", "namespace": "", "name": "n", "originCluster": "east", "pending": []}
    tombstone: dict[str, Any] = {
        "apiVersion": TOMBSTONE.api_version,
        "kind": TOMBSTONE.kind,
        "metadata": {"name": "stone.east"},
    }
    tombstone["spec"] = {**stone, "originClusterUID": "another"}
    move = {"spec": {"processor": "east", "epoch": 2}}
    refused: list[tuple[str, Any]] = [
        ("belong to the fabric", lambda: lab.as_actor(ALICE).create(*_named(lab, "east", copy_of("west")))),
        ("belongs to the hub", lambda: lab.as_actor(EAST).create(*_named(lab, "hub", own_object()))),
        ("uid that Member east joined with", lambda: lab.as_actor(EAST).create(*_named(lab, "hub", wrong))),
        ("one that Member east joined with", lambda: lab.as_actor(EAST).create(TOMBSTONE, tombstone)),
        ("must be those of ConfigMap", lambda: lab.admin.patch(SYNCED_RESOURCE, kind_at("hub", "widgets").name, move)),
    ]
    for words, attempt in refused:
        assert words in str(refusal(attempt))


def _named(lab: Lab, place: str, obj: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return kind_at(place, "widgets"), lab.named(place, "widgets", obj)
