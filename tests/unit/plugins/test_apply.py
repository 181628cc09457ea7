# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Looking first, checking rights, writing only what differs."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _apply, _fabric
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from tests.unit.plugins.fakeserver import client, status


@pytest.mark.parametrize(
    ("live", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({}, {"a": 1}, False),
        ({"a": [{"x": 1, "default": True}]}, {"a": [{"x": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({}, {"a": []}, True),
        ({"a": "x"}, {"a": {"b": 1}}, False),
    ],
)
def test_contains(live: Any, wanted: Any, same: bool) -> None:
    assert _apply.contains(live, wanted) is same


@pytest.mark.parametrize(
    ("version", "fine"), [("v1.28.3", False), ("v1.29.9+k3s1", False), ("v1.30.0", True), ("v2.0", True)]
)
def test_an_old_server_is_refused(version: str, fine: bool) -> None:
    server, _pool = client(lambda *_request: (200, {"gitVersion": version}))
    if fine:
        assert _apply.require_server(server) == version
        return
    with pytest.raises(
        TmcError, match=rf"server 'east' is {version.replace('+', '.')} and lacks Validating.*1.30 or newer"
    ):
        _apply.require_server(server)


class Server:
    """Holds objects by path; refuses the verbs in `forbidden`."""

    def __init__(self, *forbidden: str) -> None:
        self.objects: dict[str, Any] = {}
        self.forbidden = forbidden
        self.writes: list[str] = []

    def answer(self, method: str, path: str, body: Any) -> Any:
        bare = path.split("?")[0]
        if bare.endswith("selfsubjectaccessreviews"):
            return 201, {"status": {"allowed": body["spec"]["resourceAttributes"]["verb"] not in self.forbidden}}
        if bare.endswith("selfsubjectreviews"):
            return 201, {"status": {"userInfo": {"username": "bob"}}}
        if method == "GET":
            return (200, self.objects[bare]) if bare in self.objects else status(404, "NotFound", name="x")
        self.writes.append(f"{method} {bare}")
        if method == "PATCH":
            self.objects[bare] = body
        return 200, body or {}


def test_the_second_time_nothing_is_written() -> None:
    server = Server()
    api, _pool = client(server.answer)
    wanted = _fabric.hub_identity("east", "uid-of-east")

    _apply.carry_out(api, _apply.plan_present(api, wanted))
    written = len(server.writes)

    assert written == len(wanted)
    assert _apply.plan_present(api, wanted) == []


def test_a_missing_right_is_found_before_anything_is_written() -> None:
    server = Server("create")
    api, _pool = client(server.answer)

    with pytest.raises(TmcError, match="user 'bob' may not create clusterrolebindings on 'east'"):
        _apply.carry_out(api, _apply.plan_present(api, _fabric.hub_identity("east", "uid-of-east")))
    assert server.writes == []


def test_a_stranger_of_the_same_name_is_not_removed() -> None:
    server = Server()
    account = _fabric.service_account("syncer-east", "tmc-system")
    server.objects["/api/v1/namespaces/tmc-system/serviceaccounts/syncer-east"] = {
        "metadata": {"name": "syncer-east", "uid": "u", "labels": {}}
    }
    api, _pool = client(server.answer)

    with pytest.raises(TmcError, match=r"does not carry the label app.kubernetes.io/managed-by=tmc.cross_cluster"):
        _apply.plan_absent(api, [account])
