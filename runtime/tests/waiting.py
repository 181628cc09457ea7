# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Waiting in tests: for a condition, with a deadline that only a failure ever reaches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

DEADLINE_SECONDS = 20.0


async def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return when ``condition()`` is true; fail after the deadline."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true within {DEADLINE_SECONDS} s"
        await asyncio.sleep(0.005)
