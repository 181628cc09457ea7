# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""When a token is kept, and how credentials lie on the disk."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _tokens
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from tests.unit.plugins.fakeserver import client, status


def token(uid: str = "u1", issued: int = 1000, expires: int = 2000, mark: str = "") -> str:
    claims = {"iat": issued, "exp": expires, "kubernetes.io": {"serviceaccount": {"uid": uid}}, "mark": mark}
    return "h." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".s"


@pytest.mark.parametrize(
    ("kept", "uid", "now", "serves"),
    [
        (token(), "u1", 1000, True),
        (token(), "u1", 1499, True),
        (token(), "u1", 1500, False),
        (token(), "u1", 3000, False),
        (token(), "u2", 1000, False),
        (token() + "\n", "u1", 1000, True),
        (None, "u1", 1000, False),
        ("", "u1", 1000, False),
        ("not.a.token", "u1", 1000, False),
        ("h.W10.s", "u1", 1000, False),
    ],
)
def test_a_token_serves_while_more_than_half_is_left(kept: str | None, uid: str, now: float, serves: bool) -> None:
    assert _tokens.serves(kept, uid, now) is serves


class Accounts:
    """One service account whose tokens last for a day from now."""

    def __init__(self, now: int) -> None:
        self.uid = "u1"
        self.issued = 0
        self._now = now

    def answer(self, method: str, _path: str, _body: Any) -> Any:
        if not self.uid:
            return status(404, "NotFound", name="a")
        if method == "GET":
            return 200, {"metadata": {"uid": self.uid}}
        self.issued += 1
        fresh = token(self.uid, self._now, self._now + 86400, str(self.issued))
        return 201, {"status": {"token": fresh}}


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    monkeypatch.setattr(_tokens.time, "time", lambda: 5000.0)
    return Accounts(5000)


def wish(folder: Path) -> _tokens.Wish:
    return _tokens.Wish(str(folder / "credentials" / "hub.kubeconfig"), "tmc-system", "syncer-east", "kcp", 86400)


def test_files_are_private_and_the_second_time_nothing_changes(accounts: Accounts, tmp_path: Path) -> None:
    api, _pool = client(accounts.answer)
    wanted = wish(tmp_path)

    assert _tokens.ensure(api, wanted)
    assert not _tokens.ensure(api, wanted)

    folder = tmp_path / "credentials"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "hub.kubeconfig": 0o600,
        "hub.token": 0o600,
    }
    document = yaml.safe_load(Path(wanted.path).read_text())
    assert document["users"] == [{"name": "syncer-east", "user": {"tokenFile": "hub.token"}}]
    assert document["current-context"] == "kcp"
    assert accounts.issued == 1


@pytest.mark.parametrize("spoil", ["uid", "token", "mode", "kubeconfig"])
def test_what_no_longer_serves_is_made_anew(accounts: Accounts, tmp_path: Path, spoil: str) -> None:
    api, _pool = client(accounts.answer)
    wanted = wish(tmp_path)
    _tokens.ensure(api, wanted)
    if spoil == "uid":
        accounts.uid = "u2"
    elif spoil == "mode":
        Path(wanted.token_path).chmod(0o644)
    else:
        Path(wanted.token_path if spoil == "token" else wanted.path).write_text("x")

    assert _tokens.ensure(api, wanted)
    assert not _tokens.ensure(api, wanted)


def test_check_mode_writes_nothing(accounts: Accounts, tmp_path: Path) -> None:
    api, _pool = client(accounts.answer)

    assert _tokens.ensure(api, wish(tmp_path), check_mode=True)
    assert list(tmp_path.iterdir()) == []
    assert accounts.issued == 0


def test_an_absent_account_is_named(accounts: Accounts, tmp_path: Path) -> None:
    accounts.uid = ""

    with pytest.raises(TmcError, match="ServiceAccount tmc-system/syncer-east does not exist on 'east'"):
        _tokens.ensure(client(accounts.answer)[0], wish(tmp_path))


@pytest.mark.parametrize("folder", ["file/credentials", "file"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / folder / "hub.token"

    with pytest.raises(TmcError, match=f"cannot write {path}: "):
        _tokens.write_private(str(path), "x")


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "hub.token").mkdir()

    with pytest.raises(TmcError, match=r"cannot write .*/hub.token: "):
        _tokens.write_private(str(tmp_path / "hub.token"), "x")
    assert [path.name for path in tmp_path.iterdir()] == ["hub.token"]


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    wanted = wish(tmp_path)
    Path(wanted.path).mkdir(parents=True)

    with pytest.raises(TmcError, match=f"cannot remove {wanted.path}: "):
        _tokens.remove(wanted)
