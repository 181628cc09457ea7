# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates: made once, checked always, mended where broken."""

from __future__ import annotations

import base64
import datetime
import json
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _embedded_pki as pki


@pytest.fixture
def made(tmp_path: Path) -> Path:
    assert pki.ensure_pki(tmp_path, "east")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def handshake(folder: Path, authority: Path, host: str) -> None:
    """A TLS handshake in memory, both sides verifying. Raises ssl.SSLError."""
    client = ssl.create_default_context(cafile=str(authority / "ca.crt"))
    client.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.crt"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(folder / "server.crt", folder / "server.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_client_and_server_trust_each_other(made: Path) -> None:
    handshake(made, made, "127.0.0.1")
    handshake(made, made, "localhost")


def test_another_name_is_refused(made: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, made, "192.0.2.1")


def test_another_clusters_authority_is_refused(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    pki.ensure_pki(other, "west")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, other, "127.0.0.1")


def test_identities_are_what_rbac_knows(made: Path) -> None:
    def subject(name: str) -> str:
        return x509.load_pem_x509_certificate((made / name).read_bytes()).subject.rfc4514_string()

    assert subject("admin.crt") == "CN=tmc-admin,O=system:masters"
    assert subject("controller-manager.crt") == "CN=system:kube-controller-manager"


def test_files_are_private(made: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o600}


def test_a_second_run_changes_nothing(made: Path) -> None:
    before = contents(made)
    assert not pki.ensure_pki(made, "east")
    assert contents(made) == before


@pytest.mark.parametrize("name", ["server.key", "admin.crt", "controller-manager.key"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_broken_leaf_is_mended_and_the_authority_stays(made: Path, name: str, damage: str) -> None:
    before = contents(made)
    if damage == "missing":
        os.unlink(made / name)
    else:
        (made / name).write_bytes(before[name][:100])
    assert pki.ensure_pki(made, "east")
    handshake(made, made, "127.0.0.1")
    after = contents(made)
    assert {n for n in before if before[n] != after[n]} == {
        f"{name.split('.')[0]}{suffix}" for suffix in (".crt", ".key")
    }


def test_a_lost_authority_signs_everything_anew_but_tokens_stay_valid(made: Path) -> None:
    before = contents(made)
    os.unlink(made / "ca.key")
    assert pki.ensure_pki(made, "east")
    handshake(made, made, "127.0.0.1")
    assert contents(made)["sa.key"] == before["sa.key"]


def test_what_is_about_to_expire_is_renewed(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(made)
    later = datetime.datetime.now(datetime.UTC) + pki.LEAF_LIFETIME - datetime.timedelta(days=1)
    monkeypatch.setattr(pki, "_now", lambda: later)
    assert pki.ensure_pki(made, "east")
    after = contents(made)
    assert after["ca.crt"] == before["ca.crt"]
    assert after["admin.crt"] != before["admin.crt"]


def test_the_kubeconfig_has_everything_embedded(made: Path) -> None:
    document = json.loads(pki.kubeconfig(made, "controller-east", "https://127.0.0.1:37444", pki.ADMIN))
    assert document["current-context"] == document["contexts"][0]["name"] == "controller-east"
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    assert cluster["server"] == "https://127.0.0.1:37444"
    assert base64.b64decode(cluster["certificate-authority-data"]) == (made / "ca.crt").read_bytes()
    assert base64.b64decode(user["client-key-data"]) == (made / "admin.key").read_bytes()
