"""`tmc syncer`: connect one member with the hub."""

from __future__ import annotations

import argparse
import asyncio
import logging

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Unreachable
from tmc.api.kubeconfig import load_kubeconfig
from tmc.core.backoff import Backoff
from tmc.core.credentials import keep_token_fresh
from tmc.core.lease import LeaderElector
from tmc.core.logs import configure_logging
from tmc.core.settings import env_duration, parse_duration
from tmc.sync.ends import Ends
from tmc.sync.syncer import Syncer, connect

NAME = "syncer"
HELP = "connect one member with the hub: specs travel both ways, status comes back"

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--member", required=True, help="name of the member this syncer runs for")
    parser.add_argument("--hub", required=True, help="name of the hub")
    parser.add_argument("--kubeconfig", required=True, help="kubeconfig of the member's own cluster")
    parser.add_argument("--hub-kubeconfig", required=True, help="kubeconfig of the hub")
    parser.add_argument("--namespace", default="tmc-system", help="the fabric's namespace on the hub (%(default)s)")
    parser.add_argument(
        "--local-namespace", default="default", help="namespace of the own ServiceAccount (%(default)s)"
    )
    parser.add_argument(
        "--sync-interval",
        help="anti-entropy floor, 1s to 1h: a missed event is healed within about one (CONTROLLER_SYNC_INTERVAL, 10s)",
    )
    parser.add_argument("--log-format", choices=("json", "text"), default="json")


async def run(args: argparse.Namespace) -> int:
    """Sync until cancelled.

    Raises:
        SettingsError, KubeconfigError: an option or a kubeconfig is of no use.
        SameCluster: both kubeconfigs lead to one cluster.
    """
    configure_logging(args.log_format)
    if args.sync_interval is not None:
        floor = parse_duration(args.sync_interval, name="--sync-interval", minimum=1, maximum=3600)
    else:
        floor = env_duration("CONTROLLER_SYNC_INTERVAL", "10s", minimum=1, maximum=3600)
    local, remote = load_kubeconfig(args.kubeconfig), load_kubeconfig(args.hub_kubeconfig)
    async with ApiClient(local) as member, ApiClient(remote) as hub:
        ends = await _connected(member, hub, args)
        elector = LeaderElector(hub, args.namespace, f"syncer-{args.member}")
        log.info("connected", extra={"member": ends.member, "hub": ends.hub, "identity": elector.identity})
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_token_fresh(member, local, args.local_namespace, "tmc-syncer"))
            group.create_task(keep_token_fresh(hub, remote, args.namespace, f"syncer-{args.member}"))
            await elector.run(lambda: _lead(member, hub, args, floor))
    return 0


async def _lead(member: ApiClient, hub: ApiClient, args: argparse.Namespace, floor: float) -> None:
    """One term. Who stands at both ends is asked anew: a hub may have been replaced while it was away."""
    await Syncer(await _connected(member, hub, args), floor=floor).run()


async def _connected(member: ApiClient, hub: ApiClient, args: argparse.Namespace) -> Ends:
    """Try until both clusters answer: a syncer that starts before its clusters waits for them."""
    backoff = Backoff(0.2, 10.0)
    while True:
        try:
            return await connect(member, hub, member_name=args.member, hub_name=args.hub)
        except (ApiError, Unreachable) as error:
            log.warning("not connected yet", extra={"error": str(error)})
            await asyncio.sleep(backoff.next())
