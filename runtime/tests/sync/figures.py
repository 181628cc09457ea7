# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the searches of this folder went through, told at the end of the run (`conftest.py`)."""

from __future__ import annotations

from collections import Counter

JUDGED: Counter[str] = Counter()  # calls of the planner, each answer judged, by search
LINES: list[str] = []


def told() -> list[str]:
    parts = ", ".join(f"{count:,} {search}" for search, count in sorted(JUDGED.items()))
    total = [f"planner: {JUDGED.total():,} plans judged ({parts})"] if JUDGED else []
    return [*total, *LINES]
