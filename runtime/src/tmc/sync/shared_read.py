# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""One read for many who ask at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tmc.sync.objects import Object


class SharedRead:
    """Of what `read()` reads; nobody gets an answer from before the question."""

    def __init__(self, read: Callable[[], Awaitable[Object | None]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._begun = self._answered = 0  # reads are counted; the number of the one that `_answer` is from
        self._answer: Object | None = None

    async def fresh(self) -> Object | None:
        """The answer of a read that began after this call. Raises what `read()` raises."""
        asked = self._begun
        async with self._lock:
            if self._answered <= asked:
                self._begun += 1
                self._answer = await self._read()
                self._answered = self._begun
            return self._answer
