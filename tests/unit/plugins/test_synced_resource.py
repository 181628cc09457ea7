# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the module synced_resource takes away when a kind is withdrawn, and what it leaves."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names
from ansible_collections.tmc.cross_cluster.plugins.modules import synced_resource
from tests.unit.plugins.fakeserver import Answer, client
from tests.unit.plugins.running import run_module


def everything_is_there(_method: str, path: str, _body: Any) -> Answer:
    if path.endswith("selfsubjectaccessreviews"):
        return 201, {"status": {"allowed": True}}
    return 200, {"metadata": {"name": path.rpartition("/")[2], "uid": "u", "labels": dict(_names.MANAGED_BY)}}


@pytest.mark.parametrize(("role", "last"), [("hub", "SyncedResource"), ("member", "ConfigMap")])
def test_a_kind_that_is_withdrawn_leaves_the_memory_of_its_term_on_the_hub_alone(
    role: str, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _pool = client(everything_is_there)
    monkeypatch.setattr(synced_resource, "connect", lambda _module: server)

    wish = {"state": "absent", "role": role, "cluster_name": "here", "_ansible_check_mode": True}
    gone = run_module(monkeypatch, "synced_resource", **wish).result["objects"]

    assert gone[-1] == f"delete {last} taskqueues.demo.tmc.io"
    assert sum("ConfigMap" in one for one in gone) == (role == "member")
