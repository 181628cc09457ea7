# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A brake on deletions that nobody asked for object by object: pure, with a clock that is handed in.

A copy is deleted when its origin object was (that is evidence of its own, and never braked), or when the hub has given
its name to another cluster's object. Many of the latter at once are less likely meant than a hub that tells nonsense:
beyond a share of the copies they stop, all of them, until a person lets them through.
"""

from __future__ import annotations

import time
from collections.abc import Callable

ALWAYS = 3
SHARE = 0.2
WINDOW_SECONDS = 60.0


class Brake:
    """For one kind on one member. `message` says why it is on; empty: it is not. `on()` is called when that begins.

    `noted`: it is written where a person can see and take it off that the brake is on.
    """

    def __init__(
        self,
        *,
        window: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        on: Callable[[], None] = lambda: None,
    ) -> None:
        self._window = window
        self._clock = clock
        self._on = on
        self._gone: dict[str, float] = {}  # when each was let go, by uid
        self._waiting: set[str] = set()
        self._let_through: set[str] = set()
        self.message = ""
        self.noted = False

    def allows(self, uid: str, copies: int) -> bool:
        """Whether the copy with this uid may go now; `copies` are there at present. Asking twice counts once."""
        if uid in self._let_through:
            return True
        if not self.message:
            now = self._clock()
            self._gone = {gone: at for gone, at in self._gone.items() if now - at <= self._window}
            self._gone.setdefault(uid, now)
            limit = max(ALWAYS, int(SHARE * (copies + len(self._gone) - 1)))
            if len(self._gone) <= limit:
                return True
            del self._gone[uid]
            self.message = f"more than {limit} of {copies + len(self._gone)} copies within {self._window:.0f} s"
            self._on()
        self._waiting.add(uid)
        return False

    def put_on(self, message: str) -> None:
        """It was on before this process began."""
        self.message, self.noted = message, True

    def release(self) -> None:
        """A person has accepted the deletions that wait; those that come later are counted anew."""
        self._let_through, self._waiting = self._waiting, set()
        self._gone.clear()
        self.message, self.noted = "", False
