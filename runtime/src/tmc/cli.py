# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The console script `tmc`: one sub-command for each part of the runtime."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import logging
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from types import ModuleType
from typing import NoReturn

from tmc.api.kubeconfig import KubeconfigError
from tmc.controller import command as controller
from tmc.core.settings import SettingsError
from tmc.sync import command as syncer
from tmc.sync.syncer import SameCluster
from tmc.validate import command as validate

COMMANDS: tuple[ModuleType, ...] = (syncer, controller, validate)
EXIT_DEFECT = 1
EXIT_USAGE = 2
USAGE_ERRORS = (SettingsError, KubeconfigError, SameCluster)

log = logging.getLogger(__name__)


class Parser(argparse.ArgumentParser):
    """An argument parser that names what was probably meant."""

    def error(self, message: str) -> NoReturn:
        """Print usage, the message and a suggestion; exit with 2."""
        wrong = re.search(r"(?:unrecognized arguments:|invalid choice:) '?([^\s'=]+)", message)
        close = difflib.get_close_matches(wrong.group(1), list(self._words()), n=1) if wrong else []
        super().error(f"{message}; did you mean {close[0]}?" if close else message)

    def _words(self) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action.choices, dict):
                for name, sub in action.choices.items():
                    yield name
                    yield from sub._words()
            elif action.choices:
                yield from map(str, action.choices)


def build_parser() -> Parser:
    parser = Parser(prog="tmc", description="One transparent fabric of N Kubernetes clusters.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=version("tmc"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        sub = commands.add_parser(module.NAME, help=module.HELP, description=module.HELP, allow_abbrev=False)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; the exit code is the command's own, 2 for bad usage, 130 after Ctrl-C, 1 for a defect."""
    args = build_parser().parse_args(argv)
    try:
        return asyncio.run(_until_signalled(args))
    except USAGE_ERRORS as error:
        return _bad_usage(args.command, error)
    except Exception as error:
        usage = error.subgroup(USAGE_ERRORS) if isinstance(error, ExceptionGroup) else None
        if usage is not None:
            return _bad_usage(args.command, _first(usage))
        log.critical("ended by a defect", exc_info=True)  # as a line of the log, in which secrets are masked
        return EXIT_DEFECT


def _bad_usage(command: str, error: Exception) -> int:
    print(f"tmc {command}: {error}", file=sys.stderr)
    return EXIT_USAGE


def _first(error: Exception) -> Exception:
    """The first of a group of errors; tasks that belong together end in such groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _until_signalled(args: argparse.Namespace) -> int:
    """Run the command; SIGTERM and SIGINT cancel it, so that leases are released and probes removed."""
    task: asyncio.Future[int] = asyncio.ensure_future(args.run(args))
    received: set[signal.Signals] = set()

    def stop(number: signal.Signals) -> None:
        received.add(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        return 128 + signal.SIGINT if signal.SIGINT in received else 0


if __name__ == "__main__":
    sys.exit(main())
