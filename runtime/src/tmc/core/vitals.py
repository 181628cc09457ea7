# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Which parts of this process are at work, and what each says of itself: the ground of /healthz and /readyz.

Alive is a statement about this process alone: a restart would help. An API server that is away never makes a part
stuck, because every attempt that fails is a sign of life. Ready is a statement about now: this replica does its job, or
could take it over at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, Protocol, TypeVar

STUCK_SECONDS = 600.0  # beyond what was promised; far more than any deadline of a request


class Part(Protocol):
    """Something that runs. Both answers are empty when all is well, and otherwise say why not."""

    @property
    def label(self) -> str: ...

    def stuck(self) -> str: ...

    def unready(self) -> str: ...


P = TypeVar("P", bound=Part)
T = TypeVar("T")


class Promises:
    """When each loop of a part is heard of again at the latest, if it lives. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def within(self, loop: str, seconds: float = 0.0) -> None:
        """The loop lives; it says so again in about ``seconds``."""
        self._due[loop] = monotonic() + seconds

    def broken(self) -> str:
        """Which loop has been silent for ``STUCK_SECONDS`` longer than it said; empty: none."""
        now = monotonic()
        late = {loop: now - due for loop, due in self._due.items() if now > due + STUCK_SECONDS}
        return ", ".join(f"{loop}: silent, {seconds:.0f} s too late" for loop, seconds in late.items())


class Vitals:
    """The parts that are at work now. Parts come and go: a standby has fewer of them than a leader."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._counters: dict[tuple[str, ...], Any] = {}

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Everything that is made in the block, and in tasks that begin in it, belongs to these vitals."""
        token = _NOTING.set(self)
        try:
            yield
        finally:
            _NOTING.reset(token)

    @contextmanager
    def at_work(self, part: P) -> Iterator[P]:
        """The part counts until the block is left, however it is left."""
        self._parts.append(part)
        try:
            yield part
        finally:
            self._parts.remove(part)

    def parts(self, kind: type[P]) -> list[P]:
        """All parts of a class that are at work."""
        return [part for part in self._parts if isinstance(part, kind)]

    def counters(self, name: tuple[str, ...], make: Callable[[], T]) -> T:
        """The counters of this name, made once: a counter outlives the part that counts, as terms come and go."""
        found: T = self._counters.setdefault(name, make())
        return found

    def counted(self, what: str) -> dict[tuple[str, ...], Any]:
        """All counters whose name begins with ``what``, by the rest of the name."""
        return {name[1:]: counters for name, counters in self._counters.items() if name[0] == what}

    def stuck(self) -> dict[str, str]:
        """Why this process should be restarted, by part; empty: it should not."""
        return {part.label: why for part in self._parts if (why := part.stuck())}

    def unready(self) -> dict[str, str]:
        """Why this replica cannot do its job at present, by part; empty: it can."""
        if not self._parts:
            return {"process": "nothing is at work yet"}
        return {part.label: why for part in self._parts if (why := part.unready())}

    def labels(self) -> list[str]:
        return sorted(part.label for part in self._parts)


_NOTING: ContextVar[Vitals] = ContextVar("vitals")


def current_vitals() -> Vitals:
    """Those of the process; handed down by context, so that no part can be forgotten. Outside of one: new ones."""
    return _NOTING.get(None) or Vitals()
