# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings from flags and environment variables: parsed once, refused with the name, the value and what is allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


class SettingsError(Exception):
    """A setting cannot be used; the message names it, its value, what is allowed and the fix."""


def parse_duration(text: str, *, name: str, minimum: float, maximum: float) -> float:
    """Seconds of a Go-style duration: ``10s``, ``1m30s``, ``200ms``. Raises SettingsError; limits are in seconds."""
    allowed = f"{format_duration(minimum)} to {format_duration(maximum)}"
    if text != "0" and not _WHOLE.fullmatch(text):
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            raise SettingsError(f"{name}='{text}' needs a unit, for example {text}s; allowed: {allowed}")
        raise SettingsError(f"{name}='{text}' is not a duration such as 10s, 1m30s or 200ms; allowed: {allowed}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if not minimum <= seconds <= maximum:
        raise SettingsError(f"{name}='{text}' is out of range; allowed: {allowed}")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest Go-style text: 90 -> ``1m30s``, 0.2 -> ``200ms``."""
    if seconds == 0:
        return "0s"
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{number:g}{unit}" for number, unit in parts if number)


def env_int(name: str, default: int, *, minimum: int, maximum: int, env: Mapping[str, str] = os.environ) -> int:
    """An integer from the environment; unset or empty means ``default``. Raises SettingsError."""
    text = env.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[+-]?[0-9]+", text) or not minimum <= int(text) <= maximum:
        raise SettingsError(f"{name}='{text}' must be an integer {minimum}-{maximum}")
    return int(text)


def env_bool(name: str, default: bool, *, env: Mapping[str, str] = os.environ) -> bool:
    """A boolean from the environment: true or false (also 1/0, yes/no, on/off). Raises SettingsError."""
    text = env.get(name, "").strip().lower()
    if not text:
        return default
    if text not in _TRUE | _FALSE:
        raise SettingsError(f"{name}='{env[name]}' must be true or false")
    return text in _TRUE


def env_duration(
    name: str, default: str, *, minimum: float, maximum: float, env: Mapping[str, str] = os.environ
) -> float:
    """Seconds of a duration from the environment; unset or empty means ``default``. Raises SettingsError."""
    return parse_duration(env.get(name, "").strip() or default, name=name, minimum=minimum, maximum=maximum)
