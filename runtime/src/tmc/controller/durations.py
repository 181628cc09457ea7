# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Durations inside TaskQueue specs, as the CRD admits them: such as 200ms, 30s, 1h30m."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_WHOLE: Final = re.compile(r"(?:[0-9]{1,6}(?:ms|s|m|h))+")
_PART: Final = re.compile(r"([0-9]+)(ms|s|m|h)")


def seconds_of(text: str, name: str) -> float:
    """Seconds; raises ValueError naming `name`."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{name} {text!r} is not a duration such as 30s, 5m or 1h30m (units ms, s, m, h)")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
