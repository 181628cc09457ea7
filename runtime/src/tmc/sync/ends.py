# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The two clusters a syncer stands between, and who they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tmc.api.client import ApiClient
from tmc.api.resource import NAMESPACES
from tmc.sync.metrics import SyncMetrics
from tmc.sync.objects import uid_of
from tmc.sync.operations import Side


@dataclass(frozen=True, slots=True)
class Ends:
    """`clients` by side; names and identities (the uid of `kube-system`) of the member and of the hub; what counts.

    `leading` says whether this replica's term goes on: a plan of a term that is over is not carried out.
    """

    clients: Mapping[Side, ApiClient]
    member: str
    member_uid: str
    hub: str
    hub_uid: str
    metrics: SyncMetrics = field(default_factory=SyncMetrics, compare=False, repr=False)
    leading: Callable[[], bool] = field(default=lambda: True, compare=False, repr=False)


async def cluster_uid(client: ApiClient) -> str:
    """The identity of a cluster: the uid of its `kube-system` namespace."""
    return uid_of(await client.get(NAMESPACES, "kube-system"))
