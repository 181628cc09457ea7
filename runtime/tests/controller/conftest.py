# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from runtime.tests.controller.stations import Ledger, listening_to_the_ledger
from runtime.tests.fakeapi import FakeApi
from tmc.api.resource import EVENTS, LEASES
from tmc.controller.resources import SYNCED_RESOURCES, TASK_QUEUES


@pytest_asyncio.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(TASK_QUEUES, SYNCED_RESOURCES, LEASES, EVENTS, name="west") as running:
        yield running


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with listening_to_the_ledger() as listened:
        yield listened
