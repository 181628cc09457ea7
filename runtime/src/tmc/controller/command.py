# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""`tmc controller`: works on the TaskQueues of the whole fabric, through its own cluster's API server alone."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace

from tmc.api.client import ApiClient
from tmc.api.incluster import connection_from
from tmc.controller.metrics import counting
from tmc.controller.service import Controller
from tmc.controller.settings import add_arguments, read_settings
from tmc.core.credentials import keep_token_file_fresh
from tmc.core.logs import configure_logging
from tmc.core.observed import observed

NAME = "controller"
HELP = "work on the TaskQueues of all clusters, from the one that is their processor"
SERVICE_ACCOUNT = "taskqueue-controller"

__all__ = ["HELP", "NAME", "add_arguments", "run"]


async def run(args: argparse.Namespace) -> int:
    """Until cancelled. Raises SettingsError and KubeconfigError before anything is done."""
    settings = read_settings(args)
    connection = replace(connection_from(settings.kubeconfig), name=settings.cluster)
    configure_logging(args.log_format, cluster=settings.cluster)
    api = ApiClient(connection)
    async with observed(args, NAME, [api]) as registry, counting(registry) as metrics, api as client:
        controller = Controller(client, settings, metrics)
        await controller.prepare()
        async with asyncio.TaskGroup() as group:
            if settings.kubeconfig is not None:  # kubelet renews the token of a pod
                group.create_task(keep_token_file_fresh(client, settings.namespace, SERVICE_ACCOUNT))
            group.create_task(controller.run())
    return 0
