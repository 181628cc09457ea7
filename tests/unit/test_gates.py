# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The runner of the gates: it stops at a failure, ends a hang and tells both apart from what passed."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def gates(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """hack/test.py, writing its logs elsewhere."""
    monkeypatch.syspath_prepend(repository / "hack")
    spec = importlib.util.spec_from_file_location("gates_under_test", repository / "hack" / "test.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LOGS", tmp_path)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def run(gates: ModuleType, monkeypatch: pytest.MonkeyPatch, *commands: str, options: tuple[str, ...] = ()) -> int:
    listed = [gates.Gate(f"g{number}", "all", (("sh", "-c", command),)) for number, command in enumerate(commands)]
    monkeypatch.setattr(gates, "GATES", tuple(listed))
    return int(gates.main(list(options)))


def test_all_that_pass_give_zero(
    gates: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gates, monkeypatch, "true", "true") == 0
    assert "2 gates passed, 0 failed, 0 not run" in capsys.readouterr().out


def test_a_failure_shows_its_output_and_stops(
    gates: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gates, monkeypatch, "true", "echo the reason; exit 3", "true") == 1
    output = capsys.readouterr().out
    assert "the reason" in output
    assert "1 gates passed, 1 failed, 1 not run" in output


def test_keep_going_runs_the_rest_and_still_fails(
    gates: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gates, monkeypatch, "false", "true", options=("--keep-going",)) == 1
    assert "1 gates passed, 1 failed, 0 not run" in capsys.readouterr().out


def test_a_hang_is_ended_with_what_it_started(
    gates: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hang = gates.Gate("hang", "all", (("sh", "-c", f"sleep 300 & echo $! > {tmp_path}/child; wait"),), deadline=0.5)
    monkeypatch.setattr(gates, "GATES", (hang,))
    assert gates.main([]) == 1
    assert "deadline" in capsys.readouterr().err
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "cmdline"
    deadline = time.monotonic() + 10
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(child)


def runs(command_line: Path) -> bool:
    return command_line.is_file() and b"sleep" in command_line.read_bytes()


def test_a_gate_that_lacks_something_is_skipped_with_the_reason(
    gates: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = (
        gates.Gate("needy", "all", (("false",),), lacking=lambda: "no engine answers"),
        gates.Gate("other", "all", (("true",),)),
    )
    monkeypatch.setattr(gates, "GATES", listed)
    assert gates.main([]) == 0
    output = capsys.readouterr().out
    assert "no engine answers" in output
    assert "1 gates passed, 0 failed, 0 not run, 1 skipped" in output
