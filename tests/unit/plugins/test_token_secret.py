# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""When the Secret with a syncer's credential for the hub is written, and what it holds."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _token_secret, _tokens
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from tests.unit.plugins.fakeserver import Answer, client, status
from tests.unit.plugins.test_tokens import token

WHERE = "default/kcp-syncer-hub"
WISH = _tokens.Wish("hub.kubeconfig", "tmc-system", "syncer-east", "kcp", 86400, "https://hub.example:6443")


class Clusters:
    """A hub that issues tokens, and a member that holds at most one Secret."""

    def __init__(self) -> None:
        self.secret: dict[str, Any] | None = None
        self.issued = 0
        self.last = ""
        self.written = 0
        self.hub, _pool = client(self._on_hub)
        self.member, _pool = client(self._on_member)

    def _on_hub(self, method: str, _path: str, _body: Any) -> Answer:
        if method == "GET":
            return 200, {"metadata": {"uid": "u1"}}
        self.issued += 1
        self.last = self.token(left=1.0, mark=f"issued {self.issued}")
        return 201, {"status": {"token": self.last}}

    def _on_member(self, method: str, path: str, body: Any) -> Answer:
        assert path.split("?")[0] == "/api/v1/namespaces/default/secrets/kcp-syncer-hub"
        if method == "PATCH":
            self.written += 1
            self.secret = body
        elif method == "DELETE":
            self.secret = None
            return 200, {}
        return (200, self.secret) if self.secret else status(404, "NotFound", name="kcp-syncer-hub")

    def token(self, *, left: float, mark: str = "", uid: str = "u1") -> str:
        """One with this share of its life left."""
        now = int(time.time())
        return token(uid, now - int(1000 * (1 - left)), now + int(1000 * left), mark)

    def ensure(self, **options: Any) -> bool:
        return _token_secret.ensure(self.hub, self.member, WISH, WHERE, **options)

    def renewed(self, text: str) -> None:
        """As the syncer does it."""
        assert self.secret
        self.secret = self.secret | {"data": self.secret["data"] | {"hub.token": _token_secret.encoded(text)}}


def test_it_holds_a_kubeconfig_that_names_the_token_beside_it() -> None:
    clusters = Clusters()
    assert clusters.ensure()
    kubeconfig = yaml.safe_load(_token_secret.value(clusters.secret, "hub.kubeconfig") or "")
    assert kubeconfig["users"] == [{"name": "syncer-east", "user": {"tokenFile": "hub.token"}}]
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://hub.example:6443"
    assert clusters.last not in str(kubeconfig)
    assert _token_secret.value(clusters.secret, "hub.token") == clusters.last


def test_a_second_time_writes_and_issues_nothing() -> None:
    clusters = Clusters()
    clusters.ensure()
    assert not clusters.ensure()
    assert (clusters.issued, clusters.written) == (1, 1)


@pytest.mark.parametrize(("left", "kept"), [(1.0, True), (0.45, True), (0.2, False), (-1.0, False)])
def test_what_the_syncer_renewed_is_kept_while_it_serves(left: float, kept: bool) -> None:
    clusters = Clusters()
    clusters.ensure()
    clusters.renewed(clusters.token(left=left, mark="renewed"))
    assert clusters.ensure() is not kept
    assert clusters.issued == (1 if kept else 2)


def test_the_token_of_another_account_of_that_name_is_replaced() -> None:
    clusters = Clusters()
    clusters.ensure()
    clusters.renewed(clusters.token(left=1.0, uid="of an account that was deleted"))
    assert clusters.ensure()


def test_a_changed_kubeconfig_is_written_with_the_token_that_is_there() -> None:
    clusters = Clusters()
    clusters.ensure()
    renewed = clusters.token(left=0.9, mark="renewed")
    clusters.renewed(renewed)
    assert clusters.secret
    clusters.secret["data"]["hub.kubeconfig"] = _token_secret.encoded("of an older hub")
    assert clusters.ensure()
    assert clusters.issued == 1
    assert _token_secret.value(clusters.secret, "hub.token") == renewed


def test_what_stands_for_the_kubeconfig_changes_with_the_way_to_the_hub_alone() -> None:
    clusters = Clusters()

    def stands(wish: _tokens.Wish = WISH) -> str:
        return _token_secret.kubeconfig_digest(clusters.hub, wish)

    before = stands()
    clusters.ensure()
    clusters.renewed(clusters.token(left=0.9, mark="renewed"))
    assert stands() == before
    assert stands(replace(WISH, server="https://hub.example:6444")) != before
    clusters.hub.connection = replace(clusters.hub.connection, ca_pem="of another CA")
    assert stands() != before


def test_check_mode_foretells_and_writes_nothing() -> None:
    clusters = Clusters()
    assert clusters.ensure(check_mode=True)
    assert (clusters.issued, clusters.written) == (0, 0)


def test_only_a_secret_of_ours_is_removed() -> None:
    clusters = Clusters()
    assert not _token_secret.remove(clusters.member, WHERE)
    clusters.secret = {"metadata": {"name": "kcp-syncer-hub", "uid": "u9"}}
    assert not _token_secret.remove(clusters.member, WHERE)
    clusters.ensure()
    assert clusters.secret
    clusters.secret["metadata"]["uid"] = "u9"
    assert _token_secret.remove(clusters.member, WHERE, check_mode=True)
    assert clusters.secret
    assert _token_secret.remove(clusters.member, WHERE)
    assert clusters.secret is None


@pytest.mark.parametrize("where", ["", "kcp-syncer-hub", "default/", "/x", "a/b/c"])
def test_a_place_that_is_none_is_refused(where: str) -> None:
    with pytest.raises(InvalidInput, match="must be NAMESPACE/NAME"):
        _token_secret.split(where)


def test_a_hub_that_is_known_as_this_machine_is_refused_before_the_secret_is_written() -> None:
    clusters = Clusters()
    clusters.hub.connection = replace(clusters.hub.connection, server="https://127.0.0.1:37443")
    with pytest.raises(InvalidInput, match=r"hub_server is missing.*https://127\.0\.0\.1:37443, which is themselves"):
        _token_secret.ensure(clusters.hub, clusters.member, replace(WISH, server=None), WHERE)
    assert clusters.written == 0
