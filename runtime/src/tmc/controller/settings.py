# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What `tmc controller` can be told: flags win over the environment, the environment over the defaults."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tmc.controller.job_manifest import JobOptions
from tmc.core import health
from tmc.core.settings import SettingsError, env_duration, env_int

EXECUTOR_NAMES: Final = ("job", "simulate")
MIN_WORKERS: Final = 1
MAX_WORKERS: Final = 64
_HOUR: Final = 3600.0
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")
_QUANTITY: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?(m|k|M|G|Ki|Mi|Gi)?")


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
    job: JobOptions = field(default_factory=JobOptions)


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
    parser.add_argument(
        "--executor", default="simulate", help="what carries tasks out: simulate (default), or job: one Job an attempt"
    )
    parser.add_argument("--job-image", default="", help="image of all Jobs; needed with --executor=job")
    parser.add_argument("--job-cpu", default="100m", help="CPU that each Job gets, request and limit (100m)")
    parser.add_argument("--job-memory", default="128Mi", help="memory that each Job gets, request and limit (128Mi)")
    parser.add_argument("--log-format", choices=("json", "text"), default="json", help="json (default) or text")
    health.add_arguments(parser)


def read_settings(args: argparse.Namespace, env: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError, naming the setting, its value and what is allowed."""
    if args.executor not in EXECUTOR_NAMES:
        raise SettingsError(f"--executor='{args.executor}' must be one of: {', '.join(EXECUTOR_NAMES)}")
    if not args.cluster:
        raise SettingsError("--cluster='' must be the name of the cluster that the kubeconfig leads to")
    name, given = _named("CONTROLLER_WORKERS", "--workers", args.workers, env)
    workers = env_int(name, 5, minimum=MIN_WORKERS, maximum=MAX_WORKERS, env=given)
    name, given = _named("CONTROLLER_PROCESSING_DELAY", "--processing-delay", args.processing_delay, env)
    delay = env_duration(name, "2s", minimum=0.0, maximum=_HOUR, env=given)
    name, given = _named("CONTROLLER_SYNC_INTERVAL", "--sync-interval", args.sync_interval, env)
    floor = env_duration(name, "10s", minimum=1.0, maximum=_HOUR, env=given)
    kubeconfig = Path(args.kubeconfig) if args.kubeconfig is not None else None
    return Settings(args.cluster, kubeconfig, args.namespace, workers, delay, floor, args.executor, _job_options(args))


def _job_options(args: argparse.Namespace) -> JobOptions:
    image = args.job_image
    if args.executor == "job" and not image:
        raise SettingsError("--executor='job' needs --job-image=IMAGE, the image that all tasks run in")
    if image and not _IMAGE.fullmatch(image):
        raise SettingsError(f"--job-image='{image}' must be an image's name, such as registry.example/tools:1.4")
    for flag, value in (("--job-cpu", args.job_cpu), ("--job-memory", args.job_memory)):
        if not _QUANTITY.fullmatch(value):
            raise SettingsError(f"{flag}='{value}' must be a quantity such as 100m, 2, 128Mi or 1Gi")
    return JobOptions(image, args.job_cpu, args.job_memory)


def _named(variable: str, flag: str, value: str | None, env: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Where a setting comes from: the name to blame, and the mapping that holds it."""
    return (variable, env) if value is None else (flag, {flag: value})
