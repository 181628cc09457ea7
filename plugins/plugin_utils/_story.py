# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change at any time.

"""How the story callback puts things into words: pure functions from values to lines of text."""

from __future__ import annotations

import json
import shlex
import typing as t

import yaml

# What a failure carries besides its message that a person never needs to see.
_NOISE = {
    "ansible_facts",
    "argument_errors",
    "argument_spec_data",
    "validate_args_context",
    "ansible_loop_var",
    "assertion",
    "attempts",
    "changed",
    "delta",
    "end",
    "evaluated_to",
    "exception",
    "failed",
    "failed_when_result",
    "invocation",
    "item",
    "msg",
    "problems",
    "skip_reason",
    "skipped_reason",
    "start",
    "stderr_lines",
    "stdout_lines",
    "warnings",
}
MAX_DETAIL_LINES = 60


def took(seconds: float) -> str:
    """A duration (seconds) as a person says it: ``0.4 s``, ``12.0 s``, ``2 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def heading(title: str, width: int) -> str:
    """A section's headline, filled up to ``width`` columns."""
    text = f"━━ {title} "
    return text + "━" * max(3, width - len(text))


def done_line(title: str, hosts: t.Sequence[str], seconds: float, width: int) -> str:
    """One finished task: what, where, how long; three columns when they fit."""
    where = " ".join(hosts)
    room = max(24, width - len(where) - 16)
    return f"  ✓ {title:<{room}}  {where}  {took(seconds):>8}".rstrip()


def plain_lines(value: t.Any) -> list[str]:
    """What ``debug`` was asked to print, as lines: text as it is, a list line by line, the rest as YAML."""
    if isinstance(value, str):
        return value.splitlines() or [""]
    if isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value):
        return [line for entry in value for line in plain_lines(entry)]
    return _as_yaml(value)


def failure_lines(result: t.Mapping[str, t.Any]) -> list[str]:
    """A failed result as lines: the message first, then whatever else helps, at most ``MAX_DETAIL_LINES``."""
    lines = plain_lines(result.get("msg") or "failed without a message")
    details: list[str] = []
    for key, value in result.items():
        if key in _NOISE or key.startswith("_ansible") or value in (None, "", [], {}):
            continue
        details += _detail(key, value)
    if len(details) > MAX_DETAIL_LINES:
        left = len(details) - MAX_DETAIL_LINES
        details = [*details[:MAX_DETAIL_LINES], f"... and {left} more lines; -v shows everything"]
    return lines + details


def progress(queues: t.Sequence[t.Any]) -> str:
    """How far TaskQueues are, on one line: ``east-data-processing 3/5, west-ml-training 1/4``; empty for other things.

    ``queues`` are the summaries that the module ``taskqueue_info`` returns.
    """
    summaries = [queue for queue in queues if isinstance(queue, t.Mapping) and {"name", "progress"} <= set(queue)]
    return ", ".join(f"{queue['name']} {queue['progress'] or '-'}" for queue in summaries)


def _detail(key: str, value: t.Any) -> list[str]:
    if isinstance(value, str) and "\n" in value.strip():
        return [f"{key}:", *(f"  {line}" for line in value.strip().splitlines())]
    if key == "cmd" and isinstance(value, list):
        value = shlex.join(map(str, value))
    if isinstance(value, (str, int, float, bool)):
        return [f"{key}: {value}"]
    return [f"{key}:", *(f"  {line}" for line in _as_yaml(value))]


def _as_yaml(value: t.Any) -> list[str]:
    # Through JSON first: results hold Ansible's own string types, which the safe YAML dumper does not know.
    plain = json.loads(json.dumps(value, default=str))
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=False, allow_unicode=True, width=110).splitlines()
