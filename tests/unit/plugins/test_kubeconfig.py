# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a kubeconfig must not be, and what the user is told: the place, the bad value, what is allowed, the fix."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, KubeconfigMissing
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Rules, load_file
from tests.unit.plugins.certificates import KEY_PEM, LOCKED_KEY_PEM, authority, encoded, kubeconfig, write


def with_user(**user: Any) -> dict[str, Any]:
    return {**kubeconfig(), "users": [{"name": "u", "user": user}]}


def with_context(**context: Any) -> dict[str, Any]:
    return {**kubeconfig(), "contexts": [{"name": "kind-east", "context": context}]}


EXEC = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "steal-things"}}

BAD: list[tuple[str, Any, str]] = [
    ("empty", "", "is not a kubeconfig: the top level must be a mapping, got nothing"),
    ("a list", "- a\n- b\n", "top level must be a mapping, got a list"),
    ("not YAML", "a: 1\nb: [\nc: }\n", r"is not a kubeconfig: line 3: "),
    ("binary", "\x00\x01", "is not a kubeconfig"),
    ("no contexts", {"current-context": "x"}, "context 'x' not found .*; available: none"),
    ("no current context", {**kubeconfig(), "current-context": ""}, "no current-context: .*kind-east"),
    ("contexts of a wrong shape", {**kubeconfig(), "contexts": "x"}, "contexts must be a list of mappings"),
    ("an absent cluster", with_context(cluster="a", user="u"), "'kind-east' refers to cluster 'a' .* not defined.*: c"),
    ("an absent user", with_context(cluster="c", user="b"), "'kind-east' refers to user 'b' .* not defined.*: u"),
    ("a key with a pass phrase", with_user(**{"client-key-data": encoded(LOCKED_KEY_PEM)}),
     "user 'u'.client-key-data is encrypted.*openssl pkey"),
    ("a key with a pass phrase, the older way", with_user(**{"client-key-data": encoded(
        KEY_PEM.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n", 1))}), "client-key-data is encrypted"),
    ("bad base64", kubeconfig(**{"certificate-authority-data": "%%%"}),
     "cluster 'c'.certificate-authority-data is not base64"),
    ("bad base64 of the user", with_user(**{"client-certificate-data": "%%%"}),
     "user 'u'.client-certificate-data is not base64"),
    ("a key for a certificate", kubeconfig(**{"certificate-authority-data": encoded(KEY_PEM)}),
     "got PRIVATE KEY where CERTIFICATE is expected"),
    ("a certificate for a key", with_user(**{"client-key-data": encoded(authority())}),
     "got CERTIFICATE where PRIVATE KEY is expected"),
    ("no PEM", kubeconfig(**{"certificate-authority-data": encoded("hello")}), "got no PEM block where CERTIFICATE"),
    ("a damaged certificate", kubeconfig(**{"certificate-authority-data": encoded(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}), "is not a readable certificate"),
    ("an expired CA", kubeconfig(**{"certificate-authority-data": encoded(authority(expires=2002))}),
     "CA expired on Jan  1 .* 2002"),
    ("a CA file that is not there", kubeconfig(**{"certificate-authority-data": None, "certificate-authority": "no"}),
     "names the file .*no'.* cannot be read"),
    ("no verification", kubeconfig(**{"insecure-skip-tls-verify": True}),
     "refused: TLS verification is off for cluster 'c'"),
    ("a program to run", with_user(**EXEC), "user 'u' would run program 'steal-things'.*set allow_exec"),
    ("an auth provider", with_user(**{"auth-provider": {"name": "gcp"}}), "user 'u' would run program"),
    ("a token file that is not there", with_user(tokenFile="no.token"), "tokenFile names the file .*no.token"),
    ("a number for the current context", {**kubeconfig(), "current-context": 1},
     "current-context 1 must be a text: put it into quotes"),
    ("a number for a name", {**kubeconfig(), "users": [{"name": 1, "user": {}}]},
     r"users\[0\].name must be a text: put it into quotes"),
    *(
        (f"a text for the {kind}", {**kubeconfig(), f"{kind}s": [{"name": "kind-east", kind: "c"}, *more]},
         f"{kind} 'kind-east' must be a mapping, got str")
        for kind, more in (("context", []), ("cluster", kubeconfig()["clusters"]), ("user", kubeconfig()["users"]))
    ),
    ("a text for a program", with_user(exec="login"), "user 'u'.exec must be a mapping, got str"),
    ("numbers for arguments", with_user(exec={"command": "a", "args": [1]}),
     "user 'u'.exec.args must be a list of texts"),
    ("a number in the environment", with_user(exec={"command": "a", "env": [{"name": "A", "value": 1}]}),
     r"user 'u'.exec.env\[0\].value must be a text, got int: put it into quotes"),
    *(
        (f"a number for {field}", with_user(**{field: 4711}), f"user 'u'.{field} must be a text, got int: put it into")
        for field in ("token", "tokenFile", "client-certificate", "client-key-data")
    ),
    ("a number for the CA", kubeconfig(**{"certificate-authority-data": None, "certificate-authority": 1}),
     "cluster 'c'.certificate-authority must be a text"),
    ("a text for a switch", kubeconfig(**{"insecure-skip-tls-verify": "false"}),
     "cluster 'c'.insecure-skip-tls-verify must be true or false, got str"),
    *(
        (f"server {server}", kubeconfig(server=server), f"server {re.escape(repr(server))} must be an https URL")
        for server in (
            "http://127.0.0.1:6443", "127.0.0.1:6443", "https://", "https://:6443", "https://host/path",
            "https://host:port", "https://user:pass@host", "ftp://host", None,
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("document", "message"), [pytest.param(d, m, id=title) for title, d, m in BAD])
def test_refused(tmp_path: Path, document: Any, message: str) -> None:
    path = write(tmp_path, document)

    with pytest.raises(InvalidInput, match=message) as refused:
        load_file(str(path))

    assert "kubeconfig" in str(refused.value)
    assert "secret-token" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, kubeconfig(), mode)

    with pytest.raises(InvalidInput, match=rf"mode 0{mode:o}, .*run chmod 600 .*allow_insecure_mode"):
        load_file(str(path))
    assert load_file(str(path), rules=Rules(allow_insecure_mode=True)).token == "secret-token"


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigMissing, match=r"kubeconfig '.*/nowhere' does not exist"):
        load_file(str(tmp_path / "nowhere"))


def test_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a directory"):
        load_file(str(tmp_path))


def test_an_absent_context_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"context 'kind-west' not found in .*; available: kind-east"):
        load_file(str(write(tmp_path, kubeconfig())), "kind-west")


def test_a_good_one_gives_its_connection(tmp_path: Path) -> None:
    connection = load_file(str(write(tmp_path, kubeconfig())))

    assert (connection.server, connection.label, connection.verify) == ("https://127.0.0.1:6443", "kind-east", True)
    assert connection.ca_pem is not None
    assert "secret-token" not in repr(connection)


def test_a_token_file_is_looked_for_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "hub.token").write_text("from-the-file\n")

    assert load_file(str(write(tmp_path, with_user(tokenFile="hub.token")))).token == "from-the-file"


def test_a_bundle_serves_while_one_of_its_cas_does(tmp_path: Path) -> None:
    bundle = encoded(authority(expires=2002) + authority())

    assert load_file(str(write(tmp_path, kubeconfig(**{"certificate-authority-data": bundle})))).ca_pem


def test_what_is_refused_can_be_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, kubeconfig(**{"insecure-skip-tls-verify": True}))

    assert load_file(str(path), rules=Rules(allow_insecure_tls=True)).verify is False


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "No such file or directory"),
        ("echo session expired >&2; exit 1", "session expired"),
        ("echo hello", "failed to decode"),
        ("echo 1", "not iterable"),
        ("""echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":1}'""", "got int"),
    ],
)
def test_a_program_that_fails_is_named(tmp_path: Path, script: str | None, message: str) -> None:
    program = tmp_path / "login"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program)}}

    with pytest.raises(InvalidInput, match=rf"user 'u': program '.*/login' gave no credentials: .*{message}"):
        load_file(str(write(tmp_path, with_user(**user))), rules=Rules(allow_exec=True))


def test_a_program_needs_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.config", None)

    with pytest.raises(InvalidInput, match=r"program 'steal-things' cannot be run without .* kubernetes"):
        load_file(str(write(tmp_path, with_user(**EXEC))), rules=Rules(allow_exec=True))


def test_an_allowed_program_gives_the_token(tmp_path: Path) -> None:
    program = tmp_path / "login"
    program.write_text(
        '#!/bin/sh\necho \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"from-a-program"}}\'\n'
    )
    program.chmod(0o700)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program)}}

    assert load_file(str(write(tmp_path, with_user(**user))), rules=Rules(allow_exec=True)).token == "from-a-program"
