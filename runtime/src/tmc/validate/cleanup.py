# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Taking the probes away: ours, and those of validations that were killed before they could."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Conflict, NotFound, Unreachable
from tmc.validate.contract import ORIGIN_LABEL, PROBE_LABEL
from tmc.validate.observations import Object, Probe
from tmc.validate.probes import NAMESPACE, is_abandoned
from tmc.validate.watching import TASKQUEUES


async def remove_probes(clients: dict[str, ApiClient], probes: Sequence[Probe]) -> list[str]:
    """Delete the probes on their origins; returns what could not be asked for, in words.

    A probe whose creation got no answer may exist all the same, so each is looked for by its name.
    """
    left = await asyncio.gather(*(_remove(clients[probe.origin], probe) for probe in probes))
    return [text for text in left if text]


async def _remove(client: ApiClient, probe: Probe) -> str:
    try:
        found = await client.get(TASKQUEUES, probe.name, probe.namespace)
        if (found["metadata"].get("labels") or {}).get(PROBE_LABEL) == probe.nonce:
            await delete_object(client, found)
    except NotFound:
        return ""
    except (ApiError, Unreachable) as error:
        return f"probe {probe.namespace}/{probe.name} may still be on {probe.origin}: {error}"
    return ""


async def delete_object(client: ApiClient, obj: Object) -> None:
    """Ask for its deletion once. Raises ApiError, Unreachable; that it is gone, or another's by now, is well."""
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata:
        return
    try:
        await client.delete(TASKQUEUES, metadata["name"], metadata["namespace"], uid=metadata["uid"])
    except (NotFound, Conflict):
        return


async def remove_abandoned(clients: dict[str, ApiClient]) -> list[str]:
    """Delete probes of validations that are over; returns their names. Copies go when their origins do."""
    removed = await asyncio.gather(*(_remove_abandoned(client) for client in clients.values()))
    return [name for names in removed for name in names]


async def _remove_abandoned(client: ApiClient) -> list[str]:
    removed = []
    for probe in (await client.list(TASKQUEUES, NAMESPACE, label_selector=PROBE_LABEL)).items:
        is_copy = ORIGIN_LABEL in probe["metadata"]["labels"]
        if not is_copy and is_abandoned(probe, datetime.now(UTC)):
            await delete_object(client, probe)
            removed.append(str(probe["metadata"]["name"]))
    return removed
