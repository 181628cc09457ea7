# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Kubeconfigs: what is read, and what is refused in which words."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.tests.api.certificates import issue
from tmc.api.kubeconfig import KubeconfigError, load_kubeconfig

CA = issue("ca")
CLIENT = issue("client", by=CA)
EXPIRED = issue("old", days=-2)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


GOOD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [
        {
            "name": "c",
            "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": b64(CA.certificate_pem)},
        }
    ],
    "users": [{"name": "u", "user": {"token": "s3cret-token"}}],
    "contexts": [{"name": "kind-east", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "kind-east",
}

Change = Callable[[dict[str, Any]], Any]


def write(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "config"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def cluster(**fields: Any) -> Change:
    return lambda document: document["clusters"][0]["cluster"].update(fields)


def user(**fields: Any) -> Change:
    return lambda document: document["users"][0].update(user=fields)


def context(**fields: Any) -> Change:
    return lambda document: document["contexts"][0]["context"].update(fields)


def top(**fields: Any) -> Change:
    return lambda document: document.update(fields)


def test_reads_the_current_context(tmp_path: Path) -> None:
    connection = load_kubeconfig(write(tmp_path, GOOD))
    assert (connection.name, connection.server) == ("kind-east", "https://127.0.0.1:6443")
    assert (connection.token, connection.namespace) == ("s3cret-token", "default")
    assert len(connection.ssl_context().get_ca_certs()) == 1


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    assert "s3cret" not in repr(load_kubeconfig(write(tmp_path, GOOD)))


def test_reads_the_named_context(tmp_path: Path) -> None:
    document = copy.deepcopy(GOOD)
    document["contexts"].append({"name": "other", "context": {"cluster": "c", "user": "u", "namespace": "n"}})
    assert load_kubeconfig(write(tmp_path, document), "other").namespace == "n"


def test_files_are_relative_to_the_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ca.crt").write_bytes(CA.certificate_pem)
    document = copy.deepcopy(GOOD)
    document["clusters"][0]["cluster"] = {"server": "https://h", "certificate-authority": "ca.crt"}
    document["users"][0]["user"] = {"tokenFile": "token", "token": "ignored: the file wins"}
    write(tmp_path / "home", document)
    monkeypatch.chdir(tmp_path)
    connection = load_kubeconfig("home/config")
    assert connection.ca == CA.certificate_pem
    assert (connection.token, connection.token_file) == (None, tmp_path / "home" / "token")


def test_client_certificates_leave_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = copy.deepcopy(GOOD)
    document["users"][0]["user"] = {
        "client-certificate-data": b64(CLIENT.certificate_pem),
        "client-key-data": b64(CLIENT.key_pem),
    }
    connection = load_kubeconfig(write(tmp_path, document))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    connection.ssl_context()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", "not a kubeconfig: line 2: "),
        ("", "is empty; the top level must be a mapping"),
        ("# only a comment\n", "is empty"),
        ("- a\n- b\n", "the top level must be a mapping, got a list"),
        ("just words", "the top level must be a mapping, got a str"),
        ("\x00\x01", "not a kubeconfig: not YAML text"),
    ],
)
def test_not_a_kubeconfig(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(KubeconfigError) as raised:
        load_kubeconfig(path)
    assert str(raised.value).startswith(f"kubeconfig '{path}': {message}")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(KubeconfigError, match="not a kubeconfig: not YAML text"):
        load_kubeconfig(tmp_path / "config")


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=r"kubeconfig '.*/nowhere': does not exist"):
        load_kubeconfig(tmp_path / "nowhere")
    with pytest.raises(KubeconfigError, match="is a directory; give the path of a file"):
        load_kubeconfig(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(KubeconfigError, match="cannot be read: Not a directory"):
        load_kubeconfig(tmp_path / "file" / "config")


REFUSED: list[tuple[str, Change, str]] = [
    ("no current context", top(**{"current-context": ""}), "has no current-context; name one of: kind-east"),
    ("context missing", top(**{"current-context": "kind-west"}), "context 'kind-west' not found; available: kind-east"),
    ("no contexts", top(contexts=None), "context 'kind-east' not found; available: none"),
    ("contexts a mapping", top(contexts={"a": 1}), "contexts must be a list, got a dict"),
    ("nameless entry", top(users=[{"user": {}}]), "users[0] must be a mapping with a name"),
    ("entry a text", top(clusters=["c"]), "clusters[0] must be a mapping with a name"),
    ("user undefined", context(user="x"), "context 'kind-east' refers to user 'x' which is not defined"),
    ("cluster undefined", context(cluster="x"), "context 'kind-east' refers to cluster 'x' which is not defined"),
    ("no user named", context(user=None), "context 'kind-east' names no user"),
    (
        "bad base64",
        cluster(**{"certificate-authority-data": "%%%"}),
        "certificate-authority-data of cluster 'c' is not base64",
    ),
    (
        "a key for a CA",
        cluster(**{"certificate-authority-data": b64(CA.key_pem)}),
        "certificate-authority of cluster 'c': expected CERTIFICATE in PEM, got PRIVATE KEY",
    ),
    (
        "no PEM",
        cluster(**{"certificate-authority-data": b64(b"hello")}),
        "expected CERTIFICATE in PEM, got no PEM block",
    ),
    (
        "broken PEM",
        cluster(
            **{"certificate-authority-data": b64(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}
        ),
        "certificate-authority of cluster 'c' is no valid certificate",
    ),
    ("expired CA", cluster(**{"certificate-authority-data": b64(EXPIRED.certificate_pem)}), "cluster 'c' expired on "),
    (
        "CA file missing",
        cluster(**{"certificate-authority-data": None, "certificate-authority": "/no/ca"}),
        "certificate-authority '/no/ca' of cluster 'c' cannot be read: No such file",
    ),
    ("insecure", cluster(**{"insecure-skip-tls-verify": True}), "refused: TLS verification is off for cluster 'c'"),
    ("proxy", cluster(**{"proxy-url": "http://p"}), "cluster 'c' has a proxy-url, which is not supported"),
    (
        "http",
        cluster(server="http://127.0.0.1:6443"),
        "server of cluster 'c' is 'http://127.0.0.1:6443'; it must be an https URL",
    ),
    ("no host", cluster(server="https://"), "it must be an https URL with a host"),
    ("path", cluster(server="https://h/path"), "it must be an https URL with a host and no path"),
    ("password", cluster(server="https://a:b@h"), "it must be an https URL"),
    ("port", cluster(server="https://h:99999"), "it must be an https URL"),
    ("no server", cluster(server=None), "server of cluster 'c' is None; it must be an https URL"),
    ("exec", user(**{"exec": {"command": "aws"}}), "refused: user 'u' would run program 'aws'"),
    ("basic", user(username="a", password="b"), "refused: user 'u' uses username"),
    ("auth provider", user(**{"auth-provider": {"name": "gcp"}}), "refused: user 'u' uses auth-provider"),
    ("impersonation", user(**{"as": "admin", "token": "t"}), "refused: user 'u' uses as;"),
    ("no credential", user(), "user 'u' has no credential; give a token, a tokenFile or a client certificate"),
    ("control character", user(token="a\nb"), "token of user 'u' has characters that no token has"),
    (
        "certificate without key",
        user(**{"client-certificate-data": b64(CLIENT.certificate_pem)}),
        "user 'u' needs both client-certificate and client-key, or neither",
    ),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(tmp_path: Path, change: Change, message: str) -> None:
    document = copy.deepcopy(GOOD)
    change(document)
    with pytest.raises(KubeconfigError) as raised:
        load_kubeconfig(write(tmp_path, document))
    assert message in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_certificate_and_key_that_do_not_fit(tmp_path: Path) -> None:
    document = copy.deepcopy(GOOD)
    document["users"][0]["user"] = {
        "client-certificate-data": b64(CLIENT.certificate_pem),
        "client-key-data": b64(CA.key_pem),
    }
    with pytest.raises(KubeconfigError, match="do not fit together"):
        load_kubeconfig(write(tmp_path, document)).ssl_context()
