# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the module synced_resource says of a kind, and what it leaves of one that is withdrawn."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names
from ansible_collections.tmc.cross_cluster.plugins.modules import synced_resource
from tests.unit.plugins.fakeserver import Answer, client, status
from tests.unit.plugins.running import run_module

SCALE = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


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


@pytest.mark.parametrize(
    ("role", "subresources", "warned"),
    [
        ("hub", {"status": {}, "scale": SCALE}, True),
        ("hub", {"status": {}}, False),
        ("member", {"scale": SCALE}, False),
    ],
)
def test_a_kind_that_can_be_scaled_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, role: str, subresources: dict[str, Any], warned: bool
) -> None:
    versions = [{"name": "v1", "served": True, "subresources": subresources}]
    crd = {
        "spec": {"versions": versions, "names": {"kind": "Widget"}, "scope": "Namespaced"},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }

    def answer(method: str, path: str, _body: Any) -> Answer:
        if method == "POST":
            return 201, {"status": {"allowed": True}}
        known = {"customresourcedefinitions/widgets.example.com": crd, "version": {"gitVersion": "v1.35.0"}}
        known |= {"namespaces/kube-system": {"metadata": {"uid": "u"}}, "namespaces/tmc-system": {"metadata": {}}}
        name = path.partition("?")[0].rpartition("/")[2]
        found = [content for end, content in known.items() if path.partition("?")[0].endswith(f"/{end}")]
        return (200, found[0]) if found else status(404, "NotFound", name=name)

    told: list[str] = []
    monkeypatch.setattr(synced_resource, "connect", lambda _module: client(answer)[0])
    monkeypatch.setattr(synced_resource.AnsibleModule, "warn", lambda _module, text: told.append(text))
    kind = {"group": "example.com", "resource": "widgets", "processor": "west", "cluster_name": "kcp", "role": role}

    ended = run_module(monkeypatch, "synced_resource", **kind, _ansible_check_mode=True)

    assert not ended.failed, ended.result
    assert any("widgets.example.com has a subresource scale" in text for text in told) is warned
