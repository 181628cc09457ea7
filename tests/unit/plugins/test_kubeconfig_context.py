# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""One context of the user's files as a file of its own: what is taken along, what is refused, what is never touched."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Rules, load_file
from tests.unit.plugins.certificates import authority, kubeconfig, write
from tests.unit.plugins.running import run_module

AUTHORITY = authority()
PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "command": "bin/login", "interactiveMode": "Never"}


def user_file(folder: Path, name: str, **changes: Any) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True, parents=True)
    return write(folder, {**kubeconfig(), **changes}).rename(folder / name)


def extract(monkeypatch: pytest.MonkeyPatch, source: str, folder: Path, **more: Any) -> dict[str, Any]:
    arguments = {"kubeconfig": source, "context": "kind-east", "name": "controller-east", "state_dir": str(folder)}
    ended = run_module(monkeypatch, "kubeconfig_context", **{**arguments, **more})
    return {"failed": ended.failed, **ended.result}


def test_certificate_files_are_taken_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text(AUTHORITY)
    cluster = {"server": "https://10.0.0.1:6443", "certificate-authority": "ca.pem"}
    source = user_file(tmp_path, "config", clusters=[{"name": "c", "cluster": cluster}])
    before = source.read_bytes()
    state = tmp_path / "state"
    assert extract(monkeypatch, str(source), state, _ansible_check_mode=True)["changed"]
    assert not state.exists()

    made = extract(monkeypatch, str(source), state)
    path = Path(made["path"])
    assert path == state / "kubeconfigs" / "controller-east.kubeconfig"
    assert path.stat().st_mode & 0o777 == 0o600
    assert made["server"] == "https://10.0.0.1:6443"
    (tmp_path / "ca.pem").unlink()
    connection = load_file(str(path))
    assert (connection.label, connection.ca_pem) == ("controller-east", AUTHORITY)
    (tmp_path / "ca.pem").write_text(AUTHORITY)
    assert not extract(monkeypatch, str(source), state)["changed"]

    assert extract(monkeypatch, str(source), state, state="absent")["changed"]
    assert not path.exists()
    assert source.read_bytes() == before
    assert not extract(monkeypatch, str(source), state, state="absent")["changed"]


def test_several_files_are_merged_and_the_first_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = user_file(tmp_path / "a", "one", contexts=[], **{"current-context": ""})
    second = user_file(tmp_path / "b", "two", clusters=[{"name": "c", "cluster": {"server": "https://10.9.9.9:1"}}])
    made = extract(monkeypatch, f"{first}{os.pathsep}{second}{os.pathsep}{tmp_path / 'none'}", tmp_path / "state")
    assert made["server"] == kubeconfig()["clusters"][0]["cluster"]["server"]
    assert "does not exist" in extract(monkeypatch, str(tmp_path / "none"), tmp_path / "state")["msg"]


def test_a_program_is_kept_only_when_it_may_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = user_file(tmp_path / "a", "config", users=[{"name": "u", "user": {"exec": PLUGIN}}])
    refused = extract(monkeypatch, str(source), tmp_path / "state")
    assert "would run program" in refused["msg"]
    made = extract(monkeypatch, str(source), tmp_path / "state", allow_exec=True)
    user = yaml.safe_load(Path(made["path"]).read_text())["users"][0]["user"]
    assert user["exec"]["command"] == str(tmp_path / "a" / "bin" / "login"), "a relative program starts at its file"


def test_a_token_file_stays_where_it_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("one")
    source = user_file(tmp_path, "config", users=[{"name": "u", "user": {"tokenFile": "token"}}])
    made = extract(monkeypatch, str(source), tmp_path / "state")
    (tmp_path / "token").write_text("two")
    assert load_file(made["path"], rules=Rules()).token == "two"


def test_files_of_others_are_neither_written_over_nor_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = user_file(tmp_path / "a", "config")
    kept = user_file(tmp_path / "state" / "kubeconfigs", "controller-east.kubeconfig")
    before = kept.read_bytes()
    assert "belongs to another provider" in extract(monkeypatch, str(source), tmp_path / "state")["msg"]
    assert "lies in the state directory" in extract(monkeypatch, str(kept), tmp_path / "state")["msg"]
    assert not extract(monkeypatch, str(source), tmp_path / "state", state="absent")["changed"]
    assert kept.read_bytes() == before


def test_what_is_embedded_is_base64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text(AUTHORITY)
    cluster = {"server": "https://10.0.0.1:6443", "certificate-authority": str(tmp_path / "ca.pem")}
    source = user_file(tmp_path, "config", clusters=[{"name": "c", "cluster": cluster}])
    made = extract(monkeypatch, str(source), tmp_path / "state")
    written = yaml.safe_load(Path(made["path"]).read_text())["clusters"][0]["cluster"]
    assert base64.b64decode(written["certificate-authority-data"]).decode() == AUTHORITY
    assert "certificate-authority" not in written


def test_a_program_that_may_run_excuses_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [{"name": "u", "user": {"exec": PLUGIN}}]
    absent = user_file(tmp_path / "a", "config", users=users, clusters=[])
    assert (
        "refers to cluster 'c' which is not defined"
        in extract(monkeypatch, str(absent), tmp_path / "state", allow_exec=True)["msg"]
    )
    unsafe = {"server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": True}
    source = user_file(tmp_path / "b", "config", users=users, clusters=[{"name": "c", "cluster": unsafe}])
    assert "TLS verification is off" in extract(monkeypatch, str(source), tmp_path / "state", allow_exec=True)["msg"]


@pytest.mark.parametrize(
    "text", ["a: [", "contexts: 5", "contexts: [x]", "- a", "contexts: [{name: a, context: b}]", ""]
)
def test_a_broken_file_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    source = user_file(tmp_path / "a", "config")
    broken = tmp_path / "state" / "kubeconfigs" / "controller-east.kubeconfig"
    broken.parent.mkdir(parents=True)
    broken.write_text(text)
    assert "belongs to another provider" in extract(monkeypatch, str(source), tmp_path / "state")["msg"]
    assert not extract(monkeypatch, str(source), tmp_path / "state", state="absent")["changed"]
    assert broken.read_text() == text


def test_a_state_dir_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = user_file(tmp_path / "a", "config")
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "state", Path("/proc/tmc-nowhere")):
        made = extract(monkeypatch, str(source), folder)
        assert made["failed"]
        assert f"cannot write {folder}/kubeconfigs/controller-east.kubeconfig: " in made["msg"]


def test_what_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state" / "kubeconfigs" / "controller-east.kubeconfig"
    path.mkdir(parents=True)
    made = extract(monkeypatch, str(user_file(tmp_path / "a", "config")), tmp_path / "state", state="absent")
    assert made["failed"]
    assert f"cannot remove {path}: " in made["msg"]


def test_a_binary_file_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state" / "kubeconfigs" / "controller-east.kubeconfig"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff")
    source = str(user_file(tmp_path / "a", "config"))
    assert "belongs to another provider" in extract(monkeypatch, source, tmp_path / "state")["msg"]
    assert not extract(monkeypatch, source, tmp_path / "state", state="absent")["changed"]
