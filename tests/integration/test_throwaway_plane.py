# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The fixtures themselves: what they hand out is a real, working API server."""

from __future__ import annotations

import asyncio

from tests.integration.throwaway_plane import Plane
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import NAMESPACES


def test_plane_serves_the_runtimes_own_client(plane: Plane) -> None:
    async def namespaces() -> set[str]:
        async with ApiClient(load_kubeconfig(plane.kubeconfig)) as client:
            return {item["metadata"]["name"] for item in (await client.list(NAMESPACES)).items}

    assert "kube-system" in asyncio.run(namespaces())


def test_kubeconfig_is_its_owners_alone(plane: Plane) -> None:
    assert plane.kubeconfig.stat().st_mode & 0o077 == 0
