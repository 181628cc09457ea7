# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The command line: bad usage is named, with what was probably meant, and ends with 2."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tmc.cli import main
from tmc.controller import command as controller

SYNCER = ["syncer", "--member", "east", "--hub", "kcp", "--kubeconfig", "A", "--hub-kubeconfig", "B"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sincer"], "did you mean syncer?"),
        (["validate", "--hub", "a=b", "--member", "c=d", "--chek", "status"], "did you mean --check?"),
        (["validate", "--hub", "a=b", "--member", "c=d", "--check", "staus"], "did you mean status?"),
        ([*SYNCER, "--sync-intervall", "3s"], "did you mean --sync-interval?"),
        ([], "COMMAND"),
    ],
)
def test_bad_usage_is_named(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--sync-interval", "10"], "10s"),
        (["--sync-interval", "0s"], "--sync-interval"),
        (["--sync-interval", "1us"], "--sync-interval"),
        (["--sync-interval", "2h"], "1h"),
    ],
)
def test_a_bad_interval_is_named_before_anything_is_opened(
    option: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SYNCER, *option]) == 2
    assert said in capsys.readouterr().err


def test_a_bad_interval_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTROLLER_SYNC_INTERVAL", "10")
    assert main(SYNCER) == 2
    assert "CONTROLLER_SYNC_INTERVAL" in capsys.readouterr().err


def test_a_missing_kubeconfig_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = str(tmp_path / "absent")
    assert main(["syncer", "--member", "e", "--hub", "k", "--kubeconfig", absent, "--hub-kubeconfig", absent]) == 2
    assert absent in capsys.readouterr().err


IN_CLUSTER = ["syncer", "--member", "east", "--hub", "kcp", "--hub-kubeconfig", "B"]


@pytest.mark.parametrize("argv", [IN_CLUSTER, ["controller", "--cluster", "west"]])
def test_without_a_kubeconfig_outside_of_a_pod(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(argv) == 2
    assert "KUBERNETES_SERVICE_HOST is not set; run in a pod" in capsys.readouterr().err


def kubeconfig(folder: Path, user: str) -> str:
    file = folder / "kubeconfig"
    file.write_text(
        f"clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\nusers: [{{name: u, user: {user}}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
    )
    return str(file)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--hub-token-secret=kcp-syncer-hub", "must be NAMESPACE/NAME"),
        ("--hub-token-secret=a/b/c", "must be NAMESPACE/NAME"),
        ("--hub-token-secret=default/s", "needs a tokenFile in the kubeconfig of the hub"),
        ("--health-address=8080", "--health-address='8080' cannot be used; it must be HOST:PORT"),
        ("--health-file=x", "--health-file='x' needs --health-address"),
    ],
)
def test_options_of_no_use_are_named(
    option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = kubeconfig(tmp_path, "{token: abc}")
    assert main(["syncer", "--member=e", "--hub=k", f"--kubeconfig={file}", f"--hub-kubeconfig={file}", option]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_ends_it_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = kubeconfig(tmp_path, "{token: abc}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["controller", "--cluster=w", f"--kubeconfig={file}", f"--health-address={address}"]) == 2
    assert f"--health-address='{address}' cannot be used: another program listens there" in capsys.readouterr().err


def test_a_defect_is_a_line_of_the_log_and_says_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("Bearer s3cret-s3cret")

    monkeypatch.setattr(controller, "keep_token_file_fresh", broken)
    file = kubeconfig(tmp_path, "{token: abc}")
    assert main(["controller", "--cluster=w", f"--kubeconfig={file}"]) == 1
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["level"], line["cluster"]) == ("critical", "w")
    assert "RuntimeError" in line["error"]
    assert "s3cret" not in line["error"]
