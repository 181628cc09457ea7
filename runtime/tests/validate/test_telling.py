# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The verdict as people and machines read it, and the command line around it."""

from __future__ import annotations

import argparse
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from validate import world

from tmc.api.kubeconfig import KubeconfigError
from tmc.core.settings import SettingsError
from tmc.validate import command
from tmc.validate.judgement import judge
from tmc.validate.latency import status_latency
from tmc.validate.observations import Cluster, Observations
from tmc.validate.report import build_report, write_report
from tmc.validate.story import lines, summary
from tmc.validate.terminal import draw


def report_of(seen: Observations) -> dict[str, Any]:
    return build_report(seen, judge(seen), "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z")


def one_dead(error: str) -> Observations:
    seen = world.healthy()
    seen.clusters["west"] = Cluster("west", False, error=error)
    return seen


def test_the_report_has_the_promised_fields() -> None:
    report = report_of(world.healthy())
    assert set(report) == {"ok", "startedAt", "finishedAt", "clusters", "checks", "latency"}
    assert report["ok"] is True
    assert report["clusters"]["west"] == {"reachable": True, "version": "v1.35.4", "uid": "uid-of-west", "error": ""}
    fields = {"name", "group", "cluster", "ok", "reason", "seconds", "evidence"}
    assert all(set(check) == fields for check in report["checks"])
    assert json.loads(json.dumps(report)) == report


def test_a_report_without_checks_is_not_a_success() -> None:
    assert build_report(world.healthy(), [], "", "")["ok"] is False


def test_the_latency_counts_statuses_seen_at_both_ends() -> None:
    latency = status_latency(world.healthy())
    assert set(latency) == {"kcp", "east", "all"}
    assert latency["east"] == {"count": 9, "p50": 20.0, "p99": 20.0}


def test_the_plain_story_has_no_escape_codes_whatever_a_cluster_says() -> None:
    text = "\n".join(lines(report_of(one_dead("refused \x1b[31mred\x07\r\nnew line"))))
    assert "FAIL  west" in text
    assert "refused  [31mred   new line" in text
    assert all(char.isprintable() for char in text.replace("\n", ""))


def test_checks_that_ended_alike_are_one_line() -> None:
    story = list(lines(report_of(world.healthy())))
    assert len([line for line in story if "answers" in line]) == 1
    assert any(line.split()[:4] == ["ok", "kcp", "east", "west"] for line in story)
    assert story[-1].startswith("PASSED: ")


def test_the_summary_begins_with_who_is_not_alive() -> None:
    seen = world.healthy()
    seen.leases.clear()
    seen.view("west", seen.probes[0]).status_attempt = None
    assert "Lease syncer-east" in summary(report_of(seen))


@pytest.mark.parametrize("width", [20, 200])
def test_a_terminal_of_any_width_gets_the_same_reasons(width: int) -> None:
    stream = io.StringIO()
    draw(report_of(one_dead("connection refused")), Console(file=stream, force_terminal=True, width=width))
    assert "refused" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
    ],
)
def test_only_a_real_terminal_is_drawn_on(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], expected: bool
) -> None:
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert command._is_terminal() is expected


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(path, {"ok": True})
    with pytest.raises(TypeError):
        write_report(path, {"ok": object()})
    assert json.loads(path.read_text()) == {"ok": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hub=kcp", "--member=a=b"], "'kcp' must be NAME=KUBECONFIG"),
        (["--hub=kcp=k"], "--member"),
        (["--hub=kcp=k", "--member=a=b", "--check=staus"], "invalid choice: 'staus'"),
    ],
)
def test_bad_usage_exits_with_2_and_says_what_is_allowed(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(*arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--member=kcp=b"], "'kcp' is given twice"),
        (["--member=a=b", "--timeout=5"], "--timeout='5' needs a unit"),
        (["--member=a=b", "--timeout=1s"], "10s to 1h"),
        (["--member=a=b", "--report=/no/such/folder/report.json"], "is not a directory that can be written to"),
    ],
)
async def test_a_useless_setting_is_named_before_any_cluster_is_asked(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        await command.run(parse("--hub=kcp=k", *arguments))
    assert words in str(refused.value)


@pytest.mark.parametrize("useless", ["--timeout=5", "--member=kcp=b", "--member=a=/nowhere/kubeconfig"])
async def test_a_validation_that_cannot_begin_leaves_no_older_verdict(tmp_path: Path, useless: str) -> None:
    report = tmp_path / "report.json"
    write_report(report, {"ok": True})
    with pytest.raises((SettingsError, KubeconfigError)):
        await command.run(parse("--hub=kcp=/nowhere/kubeconfig", "--member=b=b", useless, f"--report={report}"))
    assert not report.exists()


async def test_a_report_that_cannot_be_replaced_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"--report '{tmp_path}': "):
        await command.run(parse("--hub=kcp=k", "--member=a=b", f"--report={tmp_path}"))
