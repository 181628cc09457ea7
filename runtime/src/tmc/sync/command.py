# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""`tmc syncer`: connect one member with the hub."""

from __future__ import annotations

import argparse
import asyncio
import logging
from dataclasses import replace

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Unreachable
from tmc.api.incluster import connection_from
from tmc.api.kubeconfig import Connection, load_kubeconfig
from tmc.core import health
from tmc.core.backoff import Backoff
from tmc.core.credentials import TokenSecret, keep_token_file_fresh, keep_token_fresh
from tmc.core.lease import LeaderElector
from tmc.core.logs import configure_logging
from tmc.core.observed import observed
from tmc.core.settings import SettingsError, env_duration, parse_duration
from tmc.core.vitals import current_vitals
from tmc.sync import names
from tmc.sync.ends import Ends
from tmc.sync.hub_memory import HubMemory
from tmc.sync.metrics import SyncMetrics
from tmc.sync.syncer import Syncer, connect

NAME = "syncer"
HELP = "connect one member with the hub: specs travel both ways, status comes back"

TOKEN_KEY = "hub.token"

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--member", required=True, help="name of the member this syncer runs for")
    parser.add_argument("--hub", required=True, help="name of the hub")
    parser.add_argument(
        "--kubeconfig", help="kubeconfig of the member's own cluster (default: that of the pod the syncer runs in)"
    )
    parser.add_argument("--hub-kubeconfig", required=True, help="kubeconfig of the hub")
    parser.add_argument(
        "--hub-token-secret",
        metavar="NAMESPACE/NAME",
        help=f"keep the renewed hub token in key {TOKEN_KEY} of this Secret on the member, not in the hub's token file",
    )
    parser.add_argument("--namespace", default="tmc-system", help="the fabric's namespace on the hub (%(default)s)")
    parser.add_argument(
        "--local-namespace", default="default", help="namespace of the own ServiceAccount (%(default)s)"
    )
    parser.add_argument(
        "--sync-interval",
        help="anti-entropy floor, 1s to 1h: a missed event is healed within about one (CONTROLLER_SYNC_INTERVAL, 10s)",
    )
    parser.add_argument("--log-format", choices=("json", "text"), default="json")
    health.add_arguments(parser)


async def run(args: argparse.Namespace) -> int:
    """Sync until cancelled.

    Raises:
        SettingsError, KubeconfigError: an option or a kubeconfig is of no use.
        SameCluster: both kubeconfigs lead to one cluster.
    """
    configure_logging(args.log_format, member=args.member)
    if args.sync_interval is not None:
        floor = parse_duration(args.sync_interval, name="--sync-interval", minimum=1, maximum=3600)
    else:
        floor = env_duration("CONTROLLER_SYNC_INTERVAL", "10s", minimum=1, maximum=3600)
    local = replace(connection_from(args.kubeconfig), name=args.member)
    remote = replace(load_kubeconfig(args.hub_kubeconfig), name=args.hub)
    member, hub = ApiClient(local), ApiClient(remote)
    secret = _token_secret(args.hub_token_secret, member, remote)
    async with observed(args, NAME, [member, hub]) as registry, member, hub:
        await _Replica(args, floor, member, hub, secret, SyncMetrics(args.member, registry)).run()
    return 0


def _token_secret(text: str | None, member: ApiClient, hub: Connection) -> TokenSecret | None:
    if text is None:
        return None
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise SettingsError(f"--hub-token-secret='{text}' must be NAMESPACE/NAME of a Secret on the member")
    if hub.token_file is None:
        raise SettingsError(
            f"--hub-token-secret='{text}' needs a tokenFile in the kubeconfig of the hub, where the Secret is mounted"
        )
    return TokenSecret(member, namespace, name, TOKEN_KEY, field_manager=names.FIELD_MANAGER)


class _Replica:
    """One process's candidacy. A standby keeps nothing but its connections."""

    def __init__(
        self,
        args: argparse.Namespace,
        floor: float,
        member: ApiClient,
        hub: ApiClient,
        secret: TokenSecret | None,
        metrics: SyncMetrics,
    ) -> None:
        self._args = args
        self._floor = floor
        self._member = member
        self._hub = hub
        self._secret = secret
        self._metrics = metrics
        self._memory = HubMemory(member)
        self._elector = LeaderElector(hub, args.namespace, f"syncer-{args.member}", witness=self._memory.witness)

    async def run(self) -> None:
        args = self._args
        ends, elector = await self._connected(), self._elector
        log.info("connected", extra={"member": ends.member, "hub": ends.hub, "identity": elector.identity})
        async with asyncio.TaskGroup() as group:
            if args.kubeconfig is not None:  # kubelet renews the token of a pod
                group.create_task(keep_token_file_fresh(self._member, args.local_namespace, "tmc-syncer"))
            if self._secret is None:
                group.create_task(keep_token_file_fresh(self._hub, args.namespace, f"syncer-{args.member}"))
            await elector.run(self._lead)

    async def _lead(self) -> None:
        """One term. Who stands at both ends is asked anew: a hub may have been replaced while it was away."""
        async with asyncio.TaskGroup() as group:
            renewal = None
            if self._secret is not None:  # replicas share it: one of them renews
                account = f"syncer-{self._args.member}"
                token = keep_token_fresh(self._hub, self._secret, self._args.namespace, account)
                renewal = group.create_task(token)
            await Syncer(await self._connected(), floor=self._floor, memory=self._memory).run()
            if renewal is not None:
                renewal.cancel()

    async def _connected(self) -> Ends:
        """Try until both clusters answer: a syncer that starts before its clusters waits for them."""
        args, backoff = self._args, Backoff(0.2, 10.0)
        with current_vitals().at_work(_Connecting()) as connecting:
            while True:
                try:
                    ends = await connect(self._member, self._hub, member_name=args.member, hub_name=args.hub)
                    return replace(ends, metrics=self._metrics, leading=lambda: self._elector.leading)
                except (ApiError, Unreachable) as error:
                    connecting.problem = f"not connected yet: {error}"
                    log.warning("not connected yet", extra={"error": str(error)})
                    await asyncio.sleep(backoff.next())


class _Connecting:
    label = "connection"

    def __init__(self) -> None:
        self.problem = "not connected yet"

    def stuck(self) -> str:
        return ""

    def unready(self) -> str:
        return self.problem
