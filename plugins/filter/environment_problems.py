# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks the variables that steer the fabric, before anything is started."""

from __future__ import annotations

DOCUMENTATION = r"""
name: environment_problems
short_description: What is wrong with the variables that steer the fabric
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Takes a dictionary of variables, those of the environment and Ansible's C(tmc_*), and returns one sentence for each bad
    value, naming the variable, the value, what is allowed and a fix. An empty list means that all is well.
  - A variable of the environment that is empty counts as not set.
options:
  _input:
    description: Names and values of variables.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse bad values before anything is started
  ansible.builtin.assert:
    that: problems == []
    fail_msg: "{{ problems | join('\n') }}"
  vars:
    values: {DEMO_DEBUG: "{{ lookup('ansible.builtin.env', 'DEMO_DEBUG') }}"}
    problems: "{{ values | tmc.cross_cluster.environment_problems }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem.
  type: list
  elements: str
  sample: ["DEMO_DEBUG='yess' must be true or false; try DEMO_DEBUG=true, or unset it"]
"""

import re
import typing as t

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")

SWITCHES = ("DEMO_DEBUG", "DEMO_SKIP_CLEANUP", "DEMO_PAUSE_STEPS", "tmc_debug")
# name: (least, most, good example)
WORKERS = (1, 64, "5")
NUMBERS = {"CONTROLLER_WORKERS": WORKERS, "tmc_controller_workers": WORKERS, "tmc_failover_after": (30, 86400, "60")}
INTERVAL = ("1s", "1h", "10s")
DURATIONS = {
    "CONTROLLER_SYNC_INTERVAL": INTERVAL,
    "tmc_sync_interval": INTERVAL,
    "CONTROLLER_PROCESSING_DELAY": ("0s", "10m", "2s"),
    "tmc_processing_delay": ("0s", "1h", "2s"),
}
CHOICES = {"tmc_run_as": ("process", "deployment")}


def seconds(text: str) -> float | None:
    """A duration such as ``10s``, ``1m30s`` or ``200ms`` in seconds; None when it is not one."""
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def environment_problems(variables: t.Mapping[str, t.Any]) -> list[str]:
    """One sentence for each variable that has a bad value; empty ones of the environment count as not set."""
    checks = ((SWITCHES, _switch), (NUMBERS, _number), (DURATIONS, _duration), (CHOICES, _choice))
    found = []
    for names, check in checks:
        for name in names:
            value = str(variables.get(name, ""))
            given = name in variables and (value or not name.isupper())
            problem = check(name, value) if given else ""
            if problem:
                found.append(f"{name}='{value}' {problem}, or unset it")
    return found


def _switch(name: str, value: str) -> str:
    return "" if value.lower() in ("true", "false") else f"must be true or false; try {name}=true"


def _number(name: str, value: str) -> str:
    least, most, good = NUMBERS[name]
    if re.fullmatch(r"\d{1,9}", value) and least <= int(value) <= most:
        return ""
    return f"must be an integer {least}-{most}; try {name}={good}"


def _duration(name: str, value: str) -> str:
    least, most, good = DURATIONS[name]
    length = seconds(value)
    if length is None:
        return f"needs a number and a unit (us, ms, s, m or h), {least}-{most}; try {name}={good}"
    if not t.cast(float, seconds(least)) <= length <= t.cast(float, seconds(most)):
        return f"must be {least}-{most}; try {name}={good}"
    return ""


def _choice(name: str, value: str) -> str:
    allowed = CHOICES[name]
    return "" if value in allowed else f"must be {' or '.join(allowed)}; try {name}={allowed[0]}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"environment_problems": environment_problems}
