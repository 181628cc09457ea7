"""What `tmc controller` can be told: flags win over the environment, the environment over the defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tmc.controller.executor import EXECUTORS
from tmc.core import health
from tmc.core.settings import SettingsError, env_duration, env_int

MIN_WORKERS: Final = 1
MAX_WORKERS: Final = 64
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """`floor` and `processing_delay` are seconds; without a `kubeconfig` the pod's own credentials are used."""

    cluster: str
    kubeconfig: Path | None
    namespace: str
    workers: int
    processing_delay: float
    floor: float
    executor: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cluster", required=True, help="name of the cluster this controller runs for, such as west")
    parser.add_argument(
        "--kubeconfig",
        help="kubeconfig of that cluster, the only one it talks to (default: that of the pod it runs in)",
    )
    parser.add_argument("--namespace", default="default", help="namespace of its Lease and ServiceAccount (default)")
    parser.add_argument("--workers", help="tasks at the same time, 1-64 (CONTROLLER_WORKERS, 5)")
    parser.add_argument(
        "--processing-delay", help="time that a simulated task takes, 0s-1h (CONTROLLER_PROCESSING_DELAY, 2s)"
    )
    parser.add_argument(
        "--sync-interval", help="missed events are healed within this time, 1s-1h (CONTROLLER_SYNC_INTERVAL, 10s)"
    )
    parser.add_argument("--executor", default="simulate", help="what carries tasks out: simulate")
    parser.add_argument("--log-format", choices=("json", "text"), default="json", help="json (default) or text")
    health.add_arguments(parser)


def read_settings(args: argparse.Namespace, env: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError, naming the setting, its value and what is allowed."""
    if args.executor not in EXECUTORS:
        raise SettingsError(f"--executor='{args.executor}' must be one of: {', '.join(sorted(EXECUTORS))}")
    if not args.cluster:
        raise SettingsError("--cluster='' must be the name of the cluster that the kubeconfig leads to")
    name, given = _named("CONTROLLER_WORKERS", "--workers", args.workers, env)
    workers = env_int(name, 5, minimum=MIN_WORKERS, maximum=MAX_WORKERS, env=given)
    name, given = _named("CONTROLLER_PROCESSING_DELAY", "--processing-delay", args.processing_delay, env)
    delay = env_duration(name, "2s", minimum=0.0, maximum=_HOUR, env=given)
    name, given = _named("CONTROLLER_SYNC_INTERVAL", "--sync-interval", args.sync_interval, env)
    floor = env_duration(name, "10s", minimum=1.0, maximum=_HOUR, env=given)
    kubeconfig = Path(args.kubeconfig) if args.kubeconfig is not None else None
    return Settings(args.cluster, kubeconfig, args.namespace, workers, delay, floor, args.executor)


def _named(variable: str, flag: str, value: str | None, env: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Where a setting comes from: the name to blame, and the mapping that holds it."""
    return (variable, env) if value is None else (flag, {flag: value})
