# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The ConfigMap that is the parameter of a kind's admission policies on the member (docs/protocol.md, "Admission").

It follows from the hub's `SyncedResource`. Policies read it and not the mirror, because an API server that has just
started knows ConfigMaps from its first request on, but kinds of CRDs only up to 30 s later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmc.api.client import ApiClient
from tmc.api.errors import NotFound
from tmc.api.resource import Resource
from tmc.sync import names
from tmc.sync.objects import Object
from tmc.sync.patches import guarded
from tmc.sync.succession import succession

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", has_status=False)
NAMESPACE = "tmc-system"


def parameters(spec: Mapping[str, Any]) -> dict[str, str]:
    """`data` of the ConfigMap; `spec` is that of a `SyncedResource`. A comma is in no name of `statusWriters`."""
    data = {
        "processor": spec["processor"],
        "epoch": str(spec["epoch"]),
        "statusWriters": ",".join(spec.get("statusWriters") or ()),
    }
    candidates = succession(spec).candidates
    return data | ({"failover": ",".join(candidates)} if candidates else {})


async def keep_parameters(client: ApiClient, kind: Object) -> None:
    """Make the ConfigMap of `kind` (a `SyncedResource`) say what its spec says; one read, and a write if it differs.

    Raises:
        Conflict, AlreadyExists: somebody else writes it, too; try again.
        NotFound: there is no namespace `tmc-system`.
    """
    name, data = kind["metadata"]["name"], parameters(kind["spec"])
    try:
        live = await client.get(CONFIG_MAPS, name, NAMESPACE)
    except NotFound:
        metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(names.MANAGED_BY)}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        await client.create(CONFIG_MAPS, body, field_manager=names.FIELD_MANAGER)
        return
    if live.get("data") != data:
        ops = guarded([{"op": "add", "path": "/data", "value": data}], live)
        await client.patch(CONFIG_MAPS, name, NAMESPACE, ops, field_manager=names.FIELD_MANAGER)
