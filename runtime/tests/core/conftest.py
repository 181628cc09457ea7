# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runtime.tests.core.reflecting import WIDGETS, widget
from runtime.tests.fakeapi import FakeApi
from tmc.core import reflector


@pytest.fixture(autouse=True)
def _fast_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "BACKOFF_BASE", 0.01)
    monkeypatch.setattr(reflector, "BACKOFF_CAP", 0.05)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """An API server with one widget, ``one``."""
    async with FakeApi(WIDGETS) as server:
        server.put(WIDGETS, widget("one"))
        yield server
