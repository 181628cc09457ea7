"""`tmc controller`: works on the TaskQueues of the whole fabric, through its own cluster's API server alone."""

from __future__ import annotations

import argparse
import asyncio

from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig
from tmc.controller.service import Controller
from tmc.controller.settings import add_arguments, read_settings
from tmc.core.credentials import keep_token_fresh
from tmc.core.logs import configure_logging

NAME = "controller"
HELP = "work on the TaskQueues of all clusters, from the one that is their processor"
SERVICE_ACCOUNT = "taskqueue-controller"

__all__ = ["HELP", "NAME", "add_arguments", "run"]


async def run(args: argparse.Namespace) -> int:
    """Until cancelled. Raises SettingsError and KubeconfigError before anything is done."""
    settings = read_settings(args)
    connection = load_kubeconfig(settings.kubeconfig)
    configure_logging(args.log_format)
    async with ApiClient(connection) as client, asyncio.TaskGroup() as group:
        group.create_task(keep_token_fresh(client, connection, settings.namespace, SERVICE_ACCOUNT))
        group.create_task(Controller(client, settings).run())
    return 0
