# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Leader election on a Lease, with client-go's semantics (tools/leaderelection).

Only the own monotonic clock counts: another's term runs from when *we* last saw its Lease change, ours from before we
sent the renewal that succeeded. So a wrong clock takes nothing over early, and a leader stops before another starts.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from tmc.api.client import ApiClient
from tmc.api.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from tmc.api.resource import LEASES
from tmc.core.vitals import Promises, current_vitals

log = logging.getLogger(__name__)

RELEASE_SECONDS = 2.0


class LeaderElector:
    """Campaigns for one Lease. ``duration`` and ``renew`` in seconds; ``identity`` is fresh at each start.

    ``witness(replaced, written)`` is told of each write that the server took: the resourceVersion of the Lease that it
    replaced (of a new Lease: its own), and the one it made. The server itself has compared the former.
    """

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        name: str,
        *,
        duration: float = 9.0,
        renew: float = 3.0,
        field_manager: str = "tmc",
        witness: Callable[[int, int], None] = lambda replaced, written: None,
    ) -> None:
        if not 0 < renew < duration:
            raise ValueError(f"renew {renew} must be more than 0 and less than duration {duration}")
        self.identity = f"{socket.gethostname()}_{secrets.token_hex(5)}"
        self.duration = duration
        self.renew = renew
        self._client = client
        self._namespace = namespace
        self._name = name
        self._field_manager = field_manager
        self._witness = witness
        self._lease: dict[str, Any] | None = None  # as last seen
        self._seen_at = 0.0
        self._stale = False  # a write was begun and its answer not seen: the Lease may not be what it was
        self._held_until = 0.0
        self._answered_at = 0.0  # when the API server last told us of the Lease
        self._promises = Promises()
        self._vitals = current_vitals()

    @property
    def leading(self) -> bool:
        """The term that was won has not run out, by the own clock; False at once after a long freeze."""
        return time.monotonic() < self._held_until

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Campaign for ever; while leading run ``lead()``, and cancel it when the Lease is lost.

        What ``lead()`` raises ends the campaign; when it returns, the Lease is released and campaigned for again.
        """
        with self._vitals.at_work(self):
            while True:
                await self._acquire()
                log.info("%s leads %s/%s", self.identity, self._namespace, self._name)
                try:
                    await self._term(lead)
                finally:
                    await self._release()
                await asyncio.sleep(self.renew)

    @property
    def label(self) -> str:
        return f"lease {self.name}"

    @property
    def name(self) -> str:
        return f"{self._namespace}/{self._name}"

    @property
    def transitions(self) -> int:
        """How often the Lease changed hands, as it says itself."""
        return int((self._lease or {}).get("spec", {}).get("leaseTransitions") or 0)

    def stuck(self) -> str:
        """Nobody asks for the Lease any more; one that cannot be had does not make it so."""
        return self._promises.broken()

    def unready(self) -> str:
        if not self._answered_at:
            return "not read yet"
        silence = time.monotonic() - self._answered_at
        return f"not read for {silence:.0f} s" if silence > self.duration else ""

    async def _acquire(self) -> None:
        told = ""
        while not await self._try():
            holder = self._holder()
            if holder not in ("", told):  # who reads the log of a standby learns whose to read
                log.info("%s stands by: %s holds %s", self.identity, holder, self.name)
                told = holder
            await asyncio.sleep(self.renew * random.uniform(0.8, 1.2))

    async def _term(self, lead: Callable[[], Awaitable[None]]) -> None:
        leading = asyncio.ensure_future(_call(lead))
        keeping = asyncio.ensure_future(self._keep())
        try:
            await asyncio.wait({leading, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            keeping.cancel()
            leading.cancel()
            # Also on cancellation: the Lease is given up only when lead() has really stopped.
            await asyncio.wait({leading, keeping})
        if not leading.cancelled():
            leading.result()
        if not keeping.cancelled():
            keeping.result()

    async def _keep(self) -> None:
        """Renew; return when the Lease is lost or the term has run out."""
        while True:
            await asyncio.sleep(min(self.renew, max(0.0, self._held_until - time.monotonic())))
            if not self.leading:
                break
            if not await self._try() and self._holder() not in ("", self.identity):
                break
        why = f"held by {self._holder()}" if self._holder() not in ("", self.identity) else "not renewed in time"
        log.warning("%s lost %s/%s: %s", self.identity, self._namespace, self._name, why)
        self._held_until = 0.0

    async def _try(self) -> bool:
        """Acquire or renew once; False when another holds it or the API server could not be asked."""
        started = time.monotonic()
        self._promises.within("campaign", self.renew)
        try:
            async with asyncio.timeout(self.renew):
                held = await self._acquire_or_renew()
        except (ApiError, Unreachable, TimeoutError) as error:
            log.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "timed out")
            return False
        self._answered_at = time.monotonic()
        if held:
            self._held_until = started + self.duration
        return held

    async def _acquire_or_renew(self) -> bool:
        lease = self._lease
        if lease is None or self._stale or self._holder() != self.identity:
            lease = await self._read()
            if lease is None:
                return await self._create()
            if self._holder() not in ("", self.identity) and time.monotonic() < self._seen_at + self._term_of(lease):
                return False
        try:
            self._see(await self._write(lease, self._spec(lease)))
        except Conflict:  # somebody was faster: who?
            await self._read()
            return False
        return True

    async def _read(self) -> dict[str, Any] | None:
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            self._lease = None
            return None
        self._see(lease)
        return lease

    def _see(self, lease: dict[str, Any]) -> None:
        self._stale = False
        if self._lease is None or _record(lease) != _record(self._lease):
            self._seen_at = time.monotonic()
        self._lease = lease

    def _holder(self) -> str:
        return str((self._lease or {}).get("spec", {}).get("holderIdentity") or "")

    def _term_of(self, lease: dict[str, Any]) -> float:
        return float(lease.get("spec", {}).get("leaseDurationSeconds") or self.duration)

    def _spec(self, lease: dict[str, Any] | None) -> dict[str, Any]:
        before = (lease or {}).get("spec") or {}
        spec: dict[str, Any] = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self.duration),
            "renewTime": _now(),
        }
        if before.get("holderIdentity") != self.identity:
            spec["acquireTime"] = spec["renewTime"]
            # A Lease made anew starts at 0, as client-go's does.
            spec["leaseTransitions"] = int(before.get("leaseTransitions") or 0) + 1 if lease is not None else 0
        return spec

    async def _create(self) -> bool:
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(None),
        }
        try:
            created = await self._client.create(LEASES, lease, field_manager=self._field_manager)
        except AlreadyExists:
            return False
        self._see(created)
        self._witness(_version(created), _version(created))
        return True

    async def _write(self, lease: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        """Compare-and-swap: raises Conflict when the Lease is not the one that was seen."""
        self._stale = True  # until its answer is seen; also when it is cancelled half-way
        patch = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": spec}
        written = await self._client.patch(
            LEASES, self._name, self._namespace, patch, field_manager=self._field_manager
        )
        self._witness(_version(lease), _version(written))
        return written

    async def _release(self) -> None:
        """Let a successor start at once. Best effort: without it the term runs out."""
        self._held_until = 0.0
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                lease = await self._read() if self._stale else self._lease
                if lease is not None and self._holder() == self.identity:
                    spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                    self._see(await self._write(lease, spec))
        except (ApiError, Unreachable, TimeoutError) as error:
            log.info("lease %s/%s was not released: %s", self._namespace, self._name, str(error) or "timed out")


async def _call(lead: Callable[[], Awaitable[None]]) -> None:
    await lead()


def _record(lease: dict[str, Any]) -> tuple[Any, ...]:
    spec = lease.get("spec") or {}
    return (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("acquireTime"), spec.get("leaseTransitions"))


def _version(lease: dict[str, Any]) -> int:
    return int(lease["metadata"]["resourceVersion"])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
