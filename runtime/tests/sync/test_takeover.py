# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A pass over the objects of a kind makes its copies level for the term that it was begun in, and for no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from runtime.tests.waiting import eventually
from tmc.core.keys import ObjectKey
from tmc.sync.takeover import TakeOver

FIRST, SECOND = ObjectKey("default", "first"), ObjectKey("default", "second")


@dataclass
class Hub:
    """What the hub says of the one kind; it lists two objects."""

    epoch: int | None = 3  # None: it is not trusted
    is_level: int | None = None  # the epoch that the mirror on the member may say
    passes: int = 0
    looks: list[ObjectKey] = field(default_factory=list)

    def takes_over(self, _name: str) -> bool:
        return self.is_level is None or self.is_level != self.epoch

    def term(self, _name: str) -> int | None:
        return self.epoch

    async def stand_by(self, _name: str) -> None:
        await asyncio.sleep(0)

    def levelled(self, _name: str, epoch: int) -> None:
        self.is_level = epoch

    async def read(self) -> list[ObjectKey]:
        self.passes += 1
        return [FIRST, SECOND]


@asynccontextmanager
async def taking_over(hub: Hub) -> AsyncIterator[TakeOver]:
    take_over = TakeOver("widgets.example.org", hub, hub.read, hub.looks.append)
    task = asyncio.create_task(take_over.run())
    take_over.notice()
    try:
        yield take_over
        assert not task.done(), "it ended by itself"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def quiet() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_was_looked_at_in_the_term_is_level() -> None:
    hub = Hub()
    async with taking_over(hub) as take_over:
        await eventually(lambda: hub.looks == [FIRST, SECOND], "all are looked at")
        take_over.looked_at(FIRST, level=True)
        assert hub.is_level is None
        take_over.looked_at(SECOND, level=False)
        assert hub.is_level == 3, "one that is in trouble does not hold up the others"
        assert (take_over.holds(FIRST), take_over.holds(SECOND)) == (False, True)
        await quiet()
        assert hub.passes == 1


async def test_a_pass_that_outlasts_its_term_is_made_again() -> None:
    """East was the processor in between, and wrote to the object that this pass was done with."""
    hub = Hub()
    async with taking_over(hub) as take_over:
        await eventually(lambda: hub.looks == [FIRST, SECOND], "all are looked at")
        take_over.looked_at(FIRST, level=True)
        hub.epoch = 5
        take_over.notice()
        await quiet()
        take_over.looked_at(SECOND, level=True)
        assert hub.is_level is None, "nobody has looked at the first object in this term"
        await eventually(lambda: hub.looks == [FIRST, SECOND] * 2, "all are looked at once more")
        assert take_over.holds(FIRST)
        for key in (FIRST, SECOND):
            take_over.looked_at(key, level=True)
        assert hub.is_level == 5
        await quiet()
        assert hub.passes == 2


async def test_a_pass_is_of_no_use_while_the_hub_is_not_trusted() -> None:
    """Nothing comes down in quarantine: who was looked at then is not level, though the hub is accepted by now."""
    hub = Hub()
    async with taking_over(hub) as take_over:
        await eventually(lambda: hub.looks == [FIRST, SECOND], "all are looked at")
        hub.epoch = None
        take_over.notice()
        take_over.looked_at(FIRST, level=True)
        hub.epoch = 3
        take_over.notice()
        take_over.looked_at(SECOND, level=True)
        assert hub.is_level is None
        await eventually(lambda: hub.looks == [FIRST, SECOND] * 2, "all are looked at once more")
        for key in (FIRST, SECOND):
            take_over.looked_at(key, level=True)
        assert hub.is_level == 3


async def test_no_pass_begins_before_the_hub_is_accepted() -> None:
    hub = Hub(epoch=None)
    async with taking_over(hub) as take_over:
        await quiet()
        assert hub.passes == 0, "it would come to nothing"
        assert take_over.holds(FIRST)
        hub.epoch = 3
        take_over.notice()
        await eventually(lambda: hub.looks == [FIRST, SECOND], "all are looked at")
        for key in (FIRST, SECOND):
            take_over.looked_at(key, level=True)
        assert hub.is_level == 3


async def test_a_term_that_changes_while_the_hub_is_read_is_noticed() -> None:
    hub = Hub()
    read = hub.read

    async def read_while_it_moves() -> list[ObjectKey]:
        keys = await read()
        hub.epoch = 5 if hub.passes == 1 else hub.epoch
        return [] if hub.passes == 1 else keys

    hub.read = read_while_it_moves  # type: ignore[method-assign]
    async with taking_over(hub) as take_over:
        await eventually(lambda: hub.looks == [FIRST, SECOND], "the second pass")
        assert hub.is_level is None, "what was read is of another term"
        for key in (FIRST, SECOND):
            take_over.looked_at(key, level=True)
        assert hub.is_level == 5
