# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""K8S_AUTH_* of the environment: for tasks that name no cluster, and never against a kubeconfig that a task names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Connection
from tests.unit.plugins.certificates import kubeconfig, write
from tests.unit.plugins.running import run_module

QUEUE = {"metadata": {"name": "a"}, "spec": {"region": "r", "tasks": [{"name": "t", "command": "c"}]}}
HERE, ELSEWHERE = "https://127.0.0.1:9", "https://127.0.0.1:8"


def said(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> str:
    """What the module ends with, when nobody is asked."""

    def client(connection: Connection, **_options: Any) -> None:
        raise InvalidInput(f"'{connection.label}' at {connection.server} through {connection.proxy}")

    monkeypatch.setattr(_client, "Client", client)
    ended = run_module(monkeypatch, "taskqueue", definition=QUEUE, **arguments)
    assert ended.failed
    return str(ended.result["msg"])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOST", ELSEWHERE),
        ("CONTEXT", "prod"),
        ("KUBECONFIG", "/nowhere/else"),
        ("PROXY", "http://127.0.0.1:8"),
        ("SSL_CA_CERT", "/nowhere/ca.pem"),
        ("VERIFY_SSL", "perhaps"),
    ],
)
@pytest.mark.parametrize("option", ["kubeconfig", "kubeconfig_content"])
def test_a_kubeconfig_that_is_named_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str, variable: str, value: str
) -> None:
    document = kubeconfig(server=HERE)
    monkeypatch.setenv(f"K8S_AUTH_{variable}", value)

    given = str(write(tmp_path, document)) if option == "kubeconfig" else document
    message = said(monkeypatch, **{option: given})

    assert message == f"'kind-east' at {HERE} through None"


def test_verification_stays_on_for_a_kubeconfig_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("K8S_AUTH_VERIFY_SSL", "false")
    path = write(tmp_path, kubeconfig(**{"insecure-skip-tls-verify": True}))

    assert "TLS verification is off" in said(monkeypatch, kubeconfig=str(path))


def test_a_task_without_a_kubeconfig_goes_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", str(write(tmp_path, kubeconfig(server=ELSEWHERE))))
    assert f"'kind-east' at {ELSEWHERE}" in said(monkeypatch)

    monkeypatch.setenv("K8S_AUTH_HOST", HERE)
    assert f"'kind-east' at {HERE}" in said(monkeypatch)
    assert f"'kind-east' at {ELSEWHERE}" in said(monkeypatch, host=ELSEWHERE)

    monkeypatch.setenv("K8S_AUTH_CONTEXT", "prod")
    assert "context 'prod' not found" in said(monkeypatch)


@pytest.mark.parametrize("variable", ["VERIFY_SSL", "ALLOW_EXEC"])
def test_a_switch_that_is_neither_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(f"K8S_AUTH_{variable}", "perhaps")
    if variable == "VERIFY_SSL":
        message = said(monkeypatch, host=HERE)
    else:
        ended = run_module(monkeypatch, "manifests", kubeconfig="/nowhere/kubeconfig", files=[])
        assert ended.failed
        message = ended.result["msg"]
    assert f"K8S_AUTH_{variable} is 'perhaps': it must be true or false" in message
