# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""JSON that is nested deeper than its readers take.

API servers store what is nested up to 10,000 levels deep (the limit of Go's decoder), and managedFields repeat it;
orjson reads 1024, msgspec what is left of Python's recursion limit. One such object must not make the list, the watch
or the answer that it came with unreadable, so what lies deeper than ``MOST_LEVELS`` is read as null. An object that was
cut is still nested far deeper than what `tmc.core.store` keeps: nobody takes it for whole.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

MOST_LEVELS = 500
# Up to the next bracket outside strings, or the end; what is not closed ends there, too.
_NEXT_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"?)*+([\[\]{}]|\Z)', re.DOTALL)


def loads(raw: bytes | bytearray) -> Any:
    """What JSON says, but for what is nested too deep. Raises orjson.JSONDecodeError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return orjson.loads(shallow(raw))


def shallow(raw: bytes | bytearray) -> bytes:
    """JSON with null for what is nested deeper than ``MOST_LEVELS``; what is no JSON stays none.

    Takes about a second for 40 MB: for what could not be read otherwise.
    """
    kept: list[bytes | bytearray] = []
    start = depth = 0
    for found in _NEXT_BRACKET.finditer(raw):
        if found[1] in (b"{", b"["):
            depth += 1
            if depth == MOST_LEVELS + 1:
                kept += (raw[start : found.start(1)], b"null")
        elif found[1]:
            if depth == MOST_LEVELS + 1:
                start = found.end()
            depth -= 1
    if depth <= MOST_LEVELS:
        kept.append(raw[start:])
    return b"".join(kept)
