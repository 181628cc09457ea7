"""The command line: bad usage is named, with what was probably meant, and ends with 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tmc.cli import main

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
