# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The executors that there are, by the name that `--executor` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tmc.api.client import ApiClient
from tmc.controller.executor import Executor
from tmc.controller.job import JobExecutor
from tmc.controller.settings import Settings
from tmc.controller.simulate import SimulateExecutor

EXECUTORS: Final[Mapping[str, Callable[[ApiClient, Settings], Executor]]] = {
    "simulate": lambda _client, settings: SimulateExecutor(settings.processing_delay),
    "job": lambda client, settings: JobExecutor(client, settings.job, floor=settings.floor),
}
