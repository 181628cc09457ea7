# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A watch's byte stream into JSON objects, one a line.

The stream reader's own ``readline`` refuses lines over half a megabyte; one large object would stop everybody's watch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from tmc.api.depth import loads
from tmc.api.errors import Unreachable

MAX_LINE_BYTES = 64 * 1024 * 1024  # far above what etcd can store: only a broken server gets here


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Complete lines only; what follows the last newline was cut off and is dropped."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            parts.append(line)
            yield b"".join(parts)
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > MAX_LINE_BYTES:
            raise Unreachable(f"a watch line is longer than {MAX_LINE_BYTES} bytes", ambiguous=False)


async def json_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The objects of a stream. A line that is no JSON object raises Unreachable: what follows cannot be trusted."""
    async for line in split_lines(chunks):
        if not line.strip():
            continue
        try:
            value = loads(line)
        except orjson.JSONDecodeError as error:
            raise Unreachable(f"a watch line is not JSON: {error}", ambiguous=False) from error
        if not isinstance(value, dict):
            raise Unreachable("a watch line is not a JSON object", ambiguous=False)
        yield value
