# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Exponential backoff with full jitter (the arithmetic is tenacity's)."""

from __future__ import annotations

import tenacity


class Backoff:
    """Delays of 0..base, 0..2*base, 0..4*base ... seconds, capped; never less than ``least``."""

    def __init__(self, base: float, cap: float, *, least: float = 0.0) -> None:
        self._wait = tenacity.wait_random_exponential(multiplier=base, max=cap, min=least)
        self.failures = 0

    def next(self) -> float:
        """Count one more failure and return the seconds to wait."""
        self.failures += 1
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = self.failures
        return float(self._wait(state))

    def reset(self) -> None:
        """It worked."""
        self.failures = 0
