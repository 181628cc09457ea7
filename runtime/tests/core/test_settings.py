# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Durations, numbers and switches; logs."""

from __future__ import annotations

import json
import logging

import pytest

from tmc.core.logs import JsonFormatter, TextFormatter, configure_logging
from tmc.core.settings import SettingsError, env_bool, env_duration, env_int, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("200ms", 0.2),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1h2m3s", 3723),
        ("0", 0),
        ("500us", 5e-4),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, name="x", minimum=0, maximum=1e6) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10", "CONTROLLER_SYNC_INTERVAL='10' needs a unit, for example 10s; allowed: 1s to 1h"),
        ("0s", "out of range; allowed: 1s to 1h"),
        ("0", "out of range"),
        ("1us", "out of range"),
        ("999999h", "out of range"),
        ("-5m", "not a duration"),
        ("5 minutes", "not a duration"),
        ("10s ", "not a duration"),
        ("", "not a duration"),
        ("1d", "not a duration"),
        ("٣s", "not a duration"),
        ("nan", "not a duration"),
        ("s", "not a duration"),
        ("1e3s", "not a duration"),
    ],
)
def test_bad_durations(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_duration(text, name="CONTROLLER_SYNC_INTERVAL", minimum=1, maximum=3600)
    assert problem in str(raised.value)
    assert f"CONTROLLER_SYNC_INTERVAL='{text}'" in str(raised.value)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (0.2, "200ms"), (90, "1m30s"), (3600, "1h"), (2.5, "2.5s")])
def test_durations_as_text(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("text", ["five", "0", "65", "10000", "1.5", "1_0", "٣", "0x5"])
def test_bad_numbers(text: str) -> None:
    with pytest.raises(SettingsError, match=rf"WORKERS='{text}' must be an integer 1-64"):
        env_int("WORKERS", 5, minimum=1, maximum=64, env={"WORKERS": text})


def test_numbers_and_defaults() -> None:
    assert env_int("WORKERS", 5, minimum=1, maximum=64, env={"WORKERS": " 7 "}) == 7
    assert env_int("WORKERS", 5, minimum=1, maximum=64, env={}) == 5
    assert env_int("WORKERS", 5, minimum=1, maximum=64, env={"WORKERS": ""}) == 5
    assert env_duration("WAIT", "2s", minimum=0, maximum=9, env={}) == 2
    assert env_duration("WAIT", "2s", minimum=0, maximum=9, env={"WAIT": "3s"}) == 3


def test_switches() -> None:
    assert env_bool("DEBUG", False, env={"DEBUG": "True"}) is True
    assert env_bool("DEBUG", True, env={"DEBUG": "no"}) is False
    assert env_bool("DEBUG", True, env={}) is True
    with pytest.raises(SettingsError, match="DEBUG='yess' must be true or false"):
        env_bool("DEBUG", False, env={"DEBUG": "yess"})


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("tmc.x").makeRecord("tmc.x", logging.INFO, "f", 1, message, args, None, extra=extra)


def test_json_logs_are_one_object_a_line() -> None:
    line = JsonFormatter().format(record("two\nlines %s", "of it", member="east", count=3))
    assert "\n" not in line
    entry = json.loads(line)
    assert entry.pop("ts").endswith("Z")
    expected = {"level": "info", "logger": "tmc.x", "msg": "two\nlines of it", "member": "east", "count": 3}
    assert entry == expected


def test_json_logs_carry_tracebacks() -> None:
    entry = record("failed")
    try:
        raise ValueError("why")
    except ValueError as error:
        entry.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: why" in json.loads(JsonFormatter().format(entry))["error"]


def test_every_line_names_the_process_and_a_line_may_know_better() -> None:
    formatter = JsonFormatter({"member": "east", "level": "nonsense"})
    assert json.loads(formatter.format(record("hello")))["member"] == "east"
    assert json.loads(formatter.format(record("hello", member="west")))["member"] == "west"
    assert json.loads(formatter.format(record("hello")))["level"] == "info"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_tokens_are_masked(formatter: logging.Formatter) -> None:
    line = formatter.format(record("header Bearer abcdef0123456789== and eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJr.c2ln"))
    assert "abcdef" not in line
    assert "eyJ" not in line
    assert "********" in line


def test_logging_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging("json")
        logging.getLogger("tmc.demo").info("hello", extra={"member": "east"})
    finally:
        root.handlers[:], root.level = handlers, level
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["member"] == "east"
