"""The console script `tmc`: one sub-command for each part of the runtime."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType

from tmc.api.kubeconfig import KubeconfigError
from tmc.controller import command as controller
from tmc.core.settings import SettingsError
from tmc.sync import command as syncer
from tmc.sync.syncer import SameCluster
from tmc.validate import command as validate

COMMANDS: tuple[ModuleType, ...] = (syncer, controller, validate)
EXIT_USAGE = 2


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tmc", description="One transparent fabric of N Kubernetes clusters.")
    parser.add_argument("--version", action="version", version=version("tmc"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        sub = (
            commands.add_parser(module.NAME, help=module.HELP, description=module.HELP, suggest_on_error=True)
            if (sys.version_info >= (3, 14))
            else commands.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; the exit code is the command's own, 2 for bad usage, 130 after Ctrl-C."""
    args = build_parser().parse_args(argv)
    try:
        return asyncio.run(_until_signalled(args))
    except (SettingsError, KubeconfigError, SameCluster) as error:
        print(f"tmc {args.command}: {error}", file=sys.stderr)
        return EXIT_USAGE


async def _until_signalled(args: argparse.Namespace) -> int:
    """Run the command; SIGTERM and SIGINT cancel it, so that leases are released and probes removed."""
    task = asyncio.ensure_future(args.run(args))
    received: list[int] = []
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda n=number: (received.append(n), task.cancel()))
    try:
        return int(await task)
    except asyncio.CancelledError:
        return 128 + signal.SIGINT if signal.SIGINT in received else 0


if __name__ == "__main__":
    sys.exit(main())
