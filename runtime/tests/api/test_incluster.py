# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The credentials of a pod: found where Kubernetes puts them, and what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.tests.api.certificates import issue
from tmc.api import incluster
from tmc.api.incluster import connection_from, in_cluster_connection
from tmc.api.kubeconfig import KubeconfigError

ENV = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As kubelet mounts it."""
    (tmp_path / "token").write_text("abc\n")
    (tmp_path / "ca.crt").write_bytes(issue("cluster").certificate_pem)
    (tmp_path / "namespace").write_text("default")
    return tmp_path


def test_all_is_found_where_kubernetes_puts_it(folder: Path) -> None:
    connection = in_cluster_connection(ENV, folder)
    assert (connection.server, connection.namespace) == ("https://10.0.0.1:443", "default")
    assert connection.token is None, "kubelet renews the file, so it is read again"
    assert connection.token_file == folder / "token"
    connection.ssl_context()


def test_an_ipv6_address_gets_its_brackets(folder: Path) -> None:
    env = {**ENV, "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert in_cluster_connection(env, folder).server == "https://[fd00::1]:443"


@pytest.mark.parametrize("name", sorted(ENV))
def test_a_missing_variable_is_named(name: str, folder: Path) -> None:
    with pytest.raises(KubeconfigError, match=f"{name} is not set; run in a pod .* or give --kubeconfig FILE"):
        in_cluster_connection({**ENV, name: " "}, folder)


def test_a_port_that_is_none_is_named(folder: Path) -> None:
    with pytest.raises(KubeconfigError, match="KUBERNETES_SERVICE_PORT is 'https'"):
        in_cluster_connection({**ENV, "KUBERNETES_SERVICE_PORT": "https"}, folder)


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(KubeconfigError, match=f"'{folder}/{name}' cannot be read: No such file.*--kubeconfig FILE"):
        in_cluster_connection(ENV, folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("token", "\n", "token' is empty"),
        ("token", "ä", "has characters that no token and no certificate has"),
        ("ca.crt", "", "is no valid certificate"),
    ],
)
def test_a_file_of_no_use_is_named(name: str, content: str, said: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with pytest.raises(KubeconfigError, match=said):
        in_cluster_connection(ENV, folder)


def test_a_kubeconfig_is_taken_before_the_pod(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incluster, "FOLDER", folder)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    assert connection_from(None).server == "https://10.0.0.1:443"
    with pytest.raises(KubeconfigError, match="nowhere"):
        connection_from(folder / "nowhere")
