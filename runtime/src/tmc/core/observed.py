# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A process that can be looked at while it works: its health, and its metrics."""

from __future__ import annotations

import argparse
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest

from tmc.api.client import ApiClient
from tmc.core.health import serving
from tmc.core.metrics import new_registry
from tmc.core.vitals import Vitals


@asynccontextmanager
async def observed(
    args: argparse.Namespace, program: str, clients: Sequence[ApiClient]
) -> AsyncIterator[CollectorRegistry]:
    """Whatever is made while the block runs belongs to the health and the metrics that ``args`` ask to be served.

    ``args`` are those of ``health.add_arguments``. Raises SettingsError. Gives the registry for further metrics.
    """
    gc.freeze()  # what has been loaded stays: the collector need not go through it, and hold all else up, ever again
    vitals = Vitals()
    registry = new_registry(program, vitals, clients)
    with vitals.noting():
        async with serving(args, vitals, partial(generate_latest, registry)):
            yield registry
