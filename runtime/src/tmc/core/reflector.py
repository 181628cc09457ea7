# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Keeps a Store equal to one kind on one API server: consistent list, watch, and a comparison every floor.

The watch makes it fast; the comparison makes it right. Watches hang, drop events and lie; every ``floor`` seconds a
metadata-only list is held against the store by (uid, resourceVersion). What differs, and what the watch does not
deliver within a grace of a tenth of the floor, is fetched, and the stream that kept silent is replaced.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tmc.api.client import PAGE_SIZE, ApiClient, WatchEvent
from tmc.api.errors import ApiError, Gone, NotFound, Unreachable
from tmc.api.pages import Identity, Listed, slices
from tmc.api.resource import Resource
from tmc.core.backoff import Backoff
from tmc.core.diff import Differences, Stamp, Verdict, compare, is_older, judge, vanished
from tmc.core.keys import ObjectKey, key_of
from tmc.core.store import Encoded, Store, Version, encode, version_of
from tmc.core.vitals import Promises, current_vitals

log = logging.getLogger(__name__)

T = TypeVar("T")

BOOKMARK_SILENCE_SECONDS = 90.0  # bookmarks come about every 60 s, so longer silence is a dead stream
WATCH_SECONDS = (300, 600)  # as client-go: the server ends a watch after 5-10 min
HEALTHY_SECONDS = 1.0  # a stream that ends sooner and without an event did not work
BACKOFF_BASE, BACKOFF_CAP = 0.5, 10.0
TEMPO = (0.9, 1.0)  # comparisons in a floor: never less often than each, and no two processes in step for long
SMALLEST_PAGE = 8  # of objects as large as etcd takes 12 MiB
FETCH_ONE_BY_ONE = 50  # more differences than this: one full list is cheaper


class StaleList(Exception):
    """A list older than what was seen already: an API server that lags behind or was restored."""


@dataclass(slots=True)
class ReflectorStats:
    """Counters since the start, for metrics and tests."""

    lists: int = 0
    watches: int = 0
    events: int = 0  # bookmarks apart
    comparisons: int = 0
    differences: int = 0  # comparisons that found one
    healed: int = 0  # keys whose change only the comparison delivered
    streams_replaced: int = 0
    refused_lists: int = 0  # older than the high-water mark
    failures: int = 0
    restarts: Counter[str] = field(default_factory=Counter)  # of the watch: ended, replaced, expired, failed


class Reflector:
    """See the module. ``on_change`` is called with the key of whatever may have changed: look at the store, not at why.

    ``resource_version`` is the high-water mark: what the API server has shown at most; it never goes back.
    ``last_contact``: ``time.monotonic()`` of the last sign of life.
    ``tempo``, ``phase``: comparisons are ``tempo`` of a floor apart (0.9 to 1; chosen at random unless given).
    Reflectors that start together with one tempo and different phases (0 to 1) do not compare at the same moment.
    ``on_deleted`` gets an object that was held as it was at its end, when a watch has told of that.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        *,
        on_change: Callable[[ObjectKey], None],
        floor: float,
        namespace: str = "",
        inactivity: float = BOOKMARK_SILENCE_SECONDS,
        field_selector: str = "",
        label_selector: str = "",
        tempo: float | None = None,
        phase: float = 0.0,
        on_deleted: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.resource = resource
        self.cluster = client.connection.name
        self.store = Store()
        self.resource_version = 0
        self.last_contact = 0.0
        self._vitals = current_vitals()
        self._promises = Promises()
        self.stats = self._vitals.counters(("reflector", self.cluster, resource.name), ReflectorStats)
        self._client = client
        self._on_change = on_change
        self._on_deleted = on_deleted
        self._floor = floor
        self._namespace = namespace
        self._selectors = {"field_selector": field_selector, "label_selector": label_selector}
        self._tempo = any_tempo() if tempo is None else tempo
        self._phase = phase
        self._inactivity = inactivity
        self._grace = min(1.0, floor / 10)
        self._synced = asyncio.Event()
        self._page_size = PAGE_SIZE
        self._position = 0  # the store is complete up to here: where the next watch starts
        self._stream_scope: asyncio.Timeout | None = None
        self._proves_healthy: asyncio.TimerHandle | None = None
        self._backoff = Backoff(BACKOFF_BASE, BACKOFF_CAP)
        self._expiries = 0  # since a stream worked
        self._faults = {"follow": "", "compare": ""}  # one for each of the two loops

    @property
    def fault(self) -> str:
        """Why the kind cannot be followed or compared at present; empty when all is well."""
        return self._faults["follow"] or self._faults["compare"]

    async def wait_synced(self) -> None:
        """Return when the first consistent list is in the store."""
        await self._synced.wait()

    async def run(self) -> None:
        """Follow the kind until cancelled. No fault of the API server or the network ends it."""
        with self._vitals.at_work(self):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._compare_for_ever())

    # -- health

    @property
    def label(self) -> str:
        return f"{self.resource.name} on {self.cluster}"

    def stuck(self) -> str:
        """A loop that neither succeeded nor failed for long; an API server that is away makes it fail, not stick."""
        return self._promises.broken()

    def unready(self) -> str:
        return self.fault or ("" if self._synced.is_set() else "not listed yet")

    # -- list and watch

    async def _follow(self) -> None:
        expired = True
        while True:
            self._promises.within("follow")
            try:
                if expired:
                    await self._relist()
                    expired = False
                self.stats.restarts[await self._stream()] += 1
                continue
            except (ApiError, Unreachable, StaleList) as error:
                self.stats.restarts["expired" if isinstance(error, Gone) else "failed"] += 1
                if isinstance(error, Gone):
                    expired = True
                    self._expiries += 1
                # A version too old is in the ordinary course once: list at once. Again and again it is a fault.
                at_once = isinstance(error, Gone) and self._expiries == 1
                delay = max(self._backoff.next(), _retry_after(error))
                if at_once:
                    log.info("listing %s on %s anew: %s", self.resource.name, self._client.connection.name, error)
                else:
                    self._failed("follow", error)
            self._promises.within("follow", delay)
            await asyncio.sleep(0 if at_once else delay)

    def _failed(self, what: str, error: Exception) -> None:
        """Count a fault; log it when it is not the same as last time."""
        self.stats.failures += 1
        text = f"{type(error).__name__}: {error}"
        level = logging.DEBUG if text == self._faults[what] else logging.WARNING
        log.log(level, "cannot %s %s on %s: %s", what, self.resource.name, self._client.connection.name, text)
        self._faults[what] = text

    def _works(self, what: str) -> None:
        if self._faults[what]:
            log.info("can %s %s on %s again", what, self.resource.name, self._client.connection.name)
            self._faults[what] = ""

    def _contact(self) -> None:
        self.last_contact = time.monotonic()

    def _healthy(self) -> None:
        self._backoff.reset()
        self._expiries = 0
        self._works("follow")

    async def _list(self) -> Listed[Encoded]:
        """Whole objects. Pages that take too long, because the objects are large, are smaller the next time."""
        size = self._page_size
        lists = self._client.list_as(encode, self.resource, self._namespace, page_size=size, **self._selectors)
        try:
            listed = await self._not_stale(lists)
        except Unreachable as error:
            if type(error.__cause__) is TimeoutError:  # not one of aiohttp's: those are of connections
                self._page_size = max(size // 4, SMALLEST_PAGE)
            raise
        self._page_size = min(size * 2, PAGE_SIZE)
        return listed

    async def _list_stamps(self) -> Listed[Stamp]:
        lists = self._client.list_identities(_stamp, self.resource, self._namespace, **self._selectors)
        return await self._not_stale(lists)

    async def _not_stale(self, answer: Awaitable[Listed[T]]) -> Listed[T]:
        """A list that is not older than anything seen before it was asked for. Raises StaleList."""
        mark = self.resource_version  # events that arrive meanwhile may rightly be newer than the list
        result = await answer
        self._contact()
        if result.resource_version < mark:
            self.stats.refused_lists += 1
            raise StaleList(f"list has version {result.resource_version}, version {mark} was seen before")
        self.resource_version = max(self.resource_version, result.resource_version)
        return result

    async def _relist(self) -> None:
        listed = await self._list()
        self.stats.lists += 1
        changed = await self._take_list(listed)
        self._complete_up_to(listed.resource_version)
        self._synced.set()
        await self._tell(changed)

    async def _take_list(self, listed: Listed[Encoded]) -> list[ObjectKey]:
        """Make the store what the list says, but for what is newer than the list. The keys that changed."""
        changed, untold, seen = list[ObjectKey](), list[ObjectKey](), set[ObjectKey]()
        for part in slices(listed.items):
            for new in part:
                seen.add(new.key)
                match judge(self.store, new.key, new.version, listed.resource_version):
                    case Verdict.DIFFERENT:
                        self.store.replace(new)
                        changed.append(new.key)
                    case Verdict.EQUAL:
                        untold.append(new.key)
            await asyncio.sleep(0)
        gone = await vanished(self.store, seen, listed.resource_version)
        gone = self._drop(gone, listed.resource_version)
        return [*changed, *gone, *self.store.announce(untold)]

    def _drop(self, keys: list[ObjectKey], resource_version: int) -> list[ObjectKey]:
        """Let go of what a list did not have, but for what has come since. What is gone."""
        gone = [key for key in keys if is_older(self.store, key, resource_version)]
        for key in gone:
            self.store.remove(key, resource_version)
        return gone

    async def _stream(self) -> str:
        """One watch, until the server ends it or the comparison replaces it: returns which.

        Raises Gone, ApiError, Unreachable.
        """
        started, events = time.monotonic(), 0
        self.stats.watches += 1
        stream = self._client.watch(
            self.resource,
            self._position,
            self._namespace,
            timeout_seconds=random.randint(*WATCH_SECONDS),
            inactivity=self._inactivity,
            on_open=self._opened,
            **self._selectors,
        )
        try:
            async with asyncio.timeout(None) as scope, aclosing(stream):
                self._stream_scope = scope
                async for event in stream:
                    events += 1
                    self._healthy()
                    self._take_event(event)
        except TimeoutError:
            return "replaced"
        finally:
            self._stream_scope = None
            if self._proves_healthy is not None:
                self._proves_healthy.cancel()
        if not events and time.monotonic() - started < HEALTHY_SECONDS:
            raise Unreachable("the watch ended at once", ambiguous=False)
        self._healthy()
        return "ended"

    def _opened(self) -> None:
        """The server took the watch; if the stream then lives for a moment, silent or not, it works."""
        self._contact()
        self._promises.within("follow", self._inactivity)
        self._proves_healthy = asyncio.get_running_loop().call_later(HEALTHY_SECONDS, self._healthy)

    def _take_event(self, event: WatchEvent) -> None:
        self._contact()
        self._promises.within("follow", self._inactivity)
        if event.type == "BOOKMARK":
            self._complete_up_to(int(event.object["metadata"]["resourceVersion"]))
            return
        self.stats.events += 1
        key, version = key_of(event.object), version_of(event.object)
        if event.type == "DELETED":
            news = self.store.observe_deletion(key, version)
            if news and self._on_deleted is not None:
                self._on_deleted(event.object)
        else:
            news = self.store.observe(event.object)
        self._complete_up_to(version.resource_version)
        if news:
            self._on_change(key)

    def _complete_up_to(self, resource_version: int) -> None:
        self._position = max(self._position, resource_version)
        self.resource_version = max(self.resource_version, resource_version)

    async def _tell(self, keys: Sequence[ObjectKey]) -> None:
        for part in slices(keys):
            for key in part:
                self._on_change(key)
            await asyncio.sleep(0)

    # -- comparison

    async def _compare_for_ever(self) -> None:
        clock, began = asyncio.get_running_loop().time, asyncio.get_running_loop().time()
        await self._synced.wait()
        while True:
            self._promises.within("compare", self._floor)
            await asyncio.sleep(next_beat(began, self._floor * self._tempo, self._phase, clock()) - clock())
            try:
                await self._compare()
            except (ApiError, Unreachable, StaleList) as error:
                self._failed("compare", error)
                self._promises.within("compare", _retry_after(error))
                await asyncio.sleep(_retry_after(error))
            else:
                self._works("compare")

    async def _compare(self) -> None:
        listed = await self._list_stamps()
        self.stats.comparisons += 1
        found = await compare(self.store, listed)
        if found:
            await asyncio.sleep(self._grace)  # what is merely under way may arrive
            found = await compare(self.store, listed)
        await self._tell(self.store.announce(found.untold))
        if found:
            await self._heal(found, listed.resource_version)
        self._complete_up_to(listed.resource_version)
        if found:
            self._replace_stream()

    async def _heal(self, found: Differences, resource_version: int) -> None:
        """Do what the watch failed to do."""
        log.warning(
            "the watch of %s on %s missed %d changes", self.resource.name, self._client.connection.name, len(found)
        )
        self.stats.differences += 1
        self.stats.healed += len(found)
        await self._tell(self._drop(found.vanished, resource_version))
        if len(found.different) > FETCH_ONE_BY_ONE:
            await self._tell(await self._take_list(await self._list()))
        else:
            for key in found.different:
                await self._fetch(key, resource_version)

    async def _fetch(self, key: ObjectKey, resource_version: int) -> None:
        """Read one object that was found different as of ``resource_version`` and take it in, unless overtaken."""
        before = self.store.version(key)
        try:
            obj: dict[str, Any] = await self._client.get(self.resource, key.name, key.namespace)
        except NotFound:
            return  # gone since the list: the new stream or the next comparison tells
        version, now = version_of(obj), self.store.version(key)
        overtaken = now != before and now is not None and now.resource_version >= version.resource_version
        if overtaken or self.store.deleted_at(version.uid) > resource_version:
            return
        self.store.replace(encode(obj))
        self._on_change(key)

    def _replace_stream(self) -> None:
        if self._stream_scope is not None and not self._stream_scope.expired():
            self.stats.streams_replaced += 1
            self._stream_scope.reschedule(asyncio.get_running_loop().time())


def any_tempo() -> float:
    """How far apart the comparisons of a reflector, or of those that are to keep out of each other's way, are."""
    return random.uniform(*TEMPO)


def next_beat(began: float, period: float, phase: float, now: float) -> float:
    """The first moment after ``now`` of those that lie a period apart, shifted by a ``phase`` of 0 to 1 of a period."""
    return began + (math.floor((now - began) / period - phase) + 1 + phase) * period


def _stamp(identity: Identity) -> Stamp:
    key = ObjectKey(sys.intern(identity.namespace), identity.name)
    return key, Version(identity.uid, int(identity.resourceVersion))


def _retry_after(error: Exception) -> float:
    return (isinstance(error, ApiError) and error.retry_after) or 0.0
