# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""`tmc validate`: the command line around the collecting shell and the judgement."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig
from tmc.core.settings import SettingsError, parse_duration
from tmc.validate.collect import Collector
from tmc.validate.judgement import GROUPS, Check, judge
from tmc.validate.observations import Observations
from tmc.validate.report import build_report, write_report
from tmc.validate.story import lines

NAME = "validate"
HELP = "prove that the fabric works: send probes through every cluster and check who did what"

EXIT_PASSED, EXIT_FAILED = 0, 1
_REQUEST_SECONDS = 5.0  # at most; less when there is little time, so that the fault itself is heard of


def _named_kubeconfig(text: str) -> tuple[str, str]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=KUBECONFIG, for example east=/path/to/east.kubeconfig")
    return name, path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    cluster = partial(parser.add_argument, type=_named_kubeconfig, metavar="NAME=KUBECONFIG", required=True)
    cluster("--hub", help="name and (administrator's) kubeconfig of the hub")
    cluster("--member", action="append", help="the same of a member; once for each")
    parser.add_argument("--check", choices=GROUPS, action="append", help="only these checks; once for each (all)")
    parser.add_argument("--timeout", default="60s", help="time for the whole validation, 10s to 1h (%(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the report as JSON to this file")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="what is printed (%(default)s)")


async def run(args: argparse.Namespace) -> int:
    """Validate once: 0 when all checks passed, 1 when one did not or when interrupted.

    Raises:
        SettingsError, KubeconfigError: the command line or a kubeconfig is of no use; nothing was asked of any cluster.
    """
    if args.report is not None:
        _clear(args.report)
    timeout = parse_duration(args.timeout, name="--timeout", minimum=10.0, maximum=3600.0)
    _require_distinct_names([args.hub[0], *(name for name, _ in args.member)])
    connections = {name: load_kubeconfig(path) for name, path in (args.hub, *args.member)}
    seen = Observations(args.hub[0], tuple(name for name, _ in args.member))
    started_at, left = _now(), list[str]()
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(ApiClient(connection, timeout=min(_REQUEST_SECONDS, 0.15 * timeout)))
            for name, connection in connections.items()
        }
        collector = Collector(seen, clients)
        try:
            await collector.run(timeout)
            checks = judge(seen, args.check or GROUPS)
        except asyncio.CancelledError:
            checks = [Check("completed", "clusters", seen.hub, False, "interrupted before the validation was complete")]
        left = collector.left
    report = build_report(seen, checks, started_at, _now())
    return _tell(args, report, left)


def _tell(args: argparse.Namespace, report: dict[str, Any], left: list[str]) -> int:
    """Print and write the report; probes that could not be removed are named on stderr."""
    if args.output == "json":
        print(json.dumps(report, indent=2))
    elif _is_terminal():
        from tmc.validate.terminal import draw  # rich is only loaded when there is somebody to draw for

        draw(report)
    else:
        print("\n".join(lines(report)))
    for text in left:
        print(f"tmc validate: {text}", file=sys.stderr)
    if args.report is not None:
        try:
            write_report(args.report, report)
        except OSError as error:
            print(f"tmc validate: cannot write report {args.report}: {error.strerror}", file=sys.stderr)
            return EXIT_FAILED
    return EXIT_PASSED if report["ok"] else EXIT_FAILED


def _is_terminal() -> bool:
    """Whether there is a terminal to draw on, and rich to draw with: it is optional, images do without."""
    wanted = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
    return wanted and find_spec("rich") is not None


def _require_distinct_names(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"cluster name {twice[0]!r} is given twice: every cluster needs a name of its own")


def _clear(report: Path) -> None:
    """What an earlier run found is not this one's verdict; and a report that cannot be written is told of now."""
    if not os.access(report.parent, os.W_OK):
        raise SettingsError(f"--report {str(report)!r}: {report.parent} is not a directory that can be written to")
    try:
        report.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"--report {str(report)!r}: the one that is there cannot be replaced: {error}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
