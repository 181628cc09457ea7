# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Samples of the Leases that a live fabric renews."""

from __future__ import annotations

import asyncio

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Unreachable
from tmc.api.resource import LEASES
from tmc.validate.judgement.controller import lease_problem
from tmc.validate.observations import LeaseKey, LeaseSample

SAMPLE_SECONDS = 1.0
PATIENCE_SECONDS = 10.0  # a Lease lasts 9 s: one that was not renewed in this time is nobody's


async def sample_until_live(
    clients: dict[str, ApiClient], keys: list[LeaseKey], into: dict[LeaseKey, list[LeaseSample]]
) -> None:
    """Sample every second until all have been seen to be renewed, for at most 10 s."""
    give_up = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        samples = await asyncio.gather(*(_sample(clients[key.cluster], key) for key in keys))
        for key, sample in zip(keys, samples, strict=True):
            into.setdefault(key, []).append(sample)
        if not any(lease_problem(into[key]) for key in keys) or asyncio.get_running_loop().time() >= give_up:
            return
        await asyncio.sleep(SAMPLE_SECONDS)


async def _sample(client: ApiClient, key: LeaseKey) -> LeaseSample:
    now = asyncio.get_running_loop().time()
    try:
        lease = await client.get(LEASES, key.name, key.namespace)
    except (ApiError, Unreachable) as error:
        return LeaseSample(now, error=str(error))
    spec, version = lease.get("spec", {}), lease["metadata"]["resourceVersion"]
    return LeaseSample(now, spec.get("holderIdentity") or "", spec.get("renewTime") or "", version)
