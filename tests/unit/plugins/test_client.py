# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the client makes of the answers of a server."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, InvalidInput, NotServed
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Connection
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import NAMESPACE, TASK_QUEUE
from tests.unit.plugins.certificates import KEY_PEM, LOCKED_KEY_PEM, OTHER_KEY_PEM, authority
from tests.unit.plugins.fakeserver import client, status


@pytest.mark.parametrize("page", [(404, "404 page not found"), (200, "<html>hello</html>"), (302, ""), (404, {})])
def test_a_server_that_is_no_kubernetes_is_named(page: tuple[int, Any]) -> None:
    stranger, _pool = client(lambda *_request: page)

    with pytest.raises(InvalidInput, match=r"'https://10.0.0.1:6443' answered but is not a Kubernetes API server"):
        stranger.get(TASK_QUEUE, "a", "default")


def test_a_missing_kind_is_not_a_missing_object() -> None:
    def answer(_method: str, path: str, _body: Any) -> Any:
        return (200, {"gitVersion": "v1.35.4"}) if path == "/version" else (404, "404 page not found")

    with pytest.raises(NotServed, match=r"'east' does not serve /apis/demo.tmc.io/.*: is its CRD installed\?"):
        client(answer)[0].get(TASK_QUEUE, "a", "default")


def test_a_missing_object_is_none() -> None:
    assert client(lambda *_request: status(404, "NotFound", name="a"))[0].get(TASK_QUEUE, "a", "default") is None


def test_a_refusal_carries_the_words_of_the_server() -> None:
    with pytest.raises(ApiError, match="user may not") as refused:
        client(lambda *_request: status(403, "Forbidden", "user may not"))[0].get(NAMESPACE, "a")
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")


def test_rejected_credentials_are_told_as_such() -> None:
    with pytest.raises(ApiError, match="'east' does not accept the credentials"):
        client(lambda *_request: status(401, "Unauthorized"))[0].get(NAMESPACE, "a")


def test_all_pages_are_read() -> None:
    def answer(_method: str, path: str, _body: Any) -> Any:
        if "continue=more" in path:
            return 200, {"items": [{"n": 2}], "metadata": {}}
        return 200, {"items": [{"n": 1}], "metadata": {"continue": "more"}}

    assert client(answer)[0].list(TASK_QUEUE) == [{"n": 1}, {"n": 2}]


def test_an_expired_page_starts_the_list_anew() -> None:
    answers = iter(
        [
            (200, {"items": [{"n": 1}], "metadata": {"continue": "x"}}),
            status(410, "Expired"),
            (200, {"items": [{"n": 9}]}),
        ]
    )

    assert client(lambda *_request: next(answers))[0].list(TASK_QUEUE) == [{"n": 9}]


def test_a_deletion_names_the_uid() -> None:
    server, pool = client(lambda *_request: (200, {}))

    server.delete(TASK_QUEUE, "a", "default", uid="u1")

    assert pool.requests[0][2]["preconditions"] == {"uid": "u1"}


def test_the_environments_certificates_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/nowhere.pem")

    made = Client(Connection("https://127.0.0.1:9", ca_pem=authority()))

    assert len(made._pool.connection_pool_kw["ssl_context"].get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        (authority(), None, "has a client certificate without its key"),
        (None, KEY_PEM, "has a client key without its certificate"),
        (authority(), OTHER_KEY_PEM, "client certificate and key of 'east' cannot be used: .*mismatch"),
        (authority(), "garbage", "client certificate and key of 'east' cannot be used"),
        ("gärbage", KEY_PEM, "client certificate and key of 'east' cannot be used"),
    ],
)
def test_a_certificate_and_a_key_that_are_no_pair(cert: str | None, key: str | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Client(Connection("https://10.0.0.1:6443", "east", cert_pem=cert, key_pem=key))


def test_nobody_is_asked_for_a_pass_phrase(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInput, match="client certificate and key of 'east' cannot be used"):
        Client(Connection("https://10.0.0.1:6443", "east", cert_pem=authority(), key_pem=LOCKED_KEY_PEM))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("proxy", ["socks5://10.0.0.9:1080", "10.0.0.9:3128", "http://[1"])
def test_a_proxy_that_is_none(proxy: str) -> None:
    with pytest.raises(InvalidInput, match="proxy of 'east' must be an http or https URL"):
        Client(Connection("https://10.0.0.1:6443", "east", proxy=proxy))
