# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A market of vendor's operators on one fabric, shared by all tests of a run."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration import taskqueues
from tests.integration.conftest import binaries
from tests.operators.lab import OPERATED, Market, User, market
from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig

__all__ = ["binaries"]  # a fixture


@pytest.fixture(scope="session")
def vendor(repository: Path, binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """The fabric, with every operator at work."""
    with market(repository, binaries, tmp_path_factory.mktemp("market")) as made:
        for kind in OPERATED:
            made.start(kind)
        yield made


@pytest_asyncio.fixture
async def user(vendor: Market) -> AsyncIterator[User]:
    async with AsyncExitStack() as up:
        clients = {
            name: await up.enter_async_context(ApiClient(load_kubeconfig(plane.kubeconfig)))
            for name, plane in vendor.planes.items()
        }
        yield User(clients)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven processes and three API servers on a busy machine; this only ends a hang."""
    monkeypatch.setattr(taskqueues, "DEADLINE", 180.0)


@pytest.fixture
def name() -> str:
    """One that no other test has."""
    return f"n-{uuid.uuid4().hex[:8]}"
