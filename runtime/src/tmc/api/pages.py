# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists, page by page: whole objects, or of each object only what tells which version of it this is.

A list of many thousands of objects must not hold the event loop, nor be in memory in full before it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import orjson

from tmc.api.depth import shallow
from tmc.api.errors import Gone, Unreachable

Object = dict[str, Any]
S = TypeVar("S")
T = TypeVar("T")

METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
SLICE = 200  # items that are worked on in one go, a few ms at most: whatever else is due then has its turn


class Identity(msgspec.Struct, gc=False):
    """Of an object's metadata what says which object this is, and which version of it; the rest is never decoded."""

    name: str
    uid: str
    resourceVersion: str
    namespace: str = ""


@dataclass(slots=True)
class Listed(Generic[T]):
    """A complete list, consistent as of ``resource_version``."""

    items: list[T]
    resource_version: int


@dataclass(slots=True)
class Page(Generic[T]):
    """A part of a list; ``more`` is what to ask the next one with, empty on the last."""

    items: list[T]
    resource_version: int
    more: str


PageReader = Callable[[bytes | bytearray], Page[T]]


class Fetch(Protocol):
    """Asks for one page. Raises ApiError, Unreachable."""

    async def __call__(self, *, params: dict[str, str]) -> bytes | bytearray: ...


class _ListMeta(msgspec.Struct, gc=False, rename={"more": "continue"}):
    resourceVersion: str
    more: str = ""


class _Item(msgspec.Struct, gc=False):
    metadata: Identity


class _Identities(msgspec.Struct, gc=False):
    metadata: _ListMeta
    items: list[_Item] | None = None


_identities = msgspec.json.Decoder(_Identities)


async def all_pages(
    fetch: Fetch,
    read: PageReader[S],
    convert: Callable[[S], T],
    page_size: int,
    label_selector: str = "",
    field_selector: str = "",
) -> Listed[T]:
    """Page after page; when the continue token expires, all over again, in one piece. Raises ApiError, Unreachable."""
    selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
    selector = {name: value for name, value in selectors.items() if value}
    try:
        return await _pages(fetch, read, convert, {**selector, "limit": str(page_size)})
    except Gone:
        return await _pages(fetch, read, convert, selector)


async def _pages(fetch: Fetch, read: PageReader[S], convert: Callable[[S], T], params: dict[str, str]) -> Listed[T]:
    found: Listed[T] = Listed([], 0)
    more: str | None = ""
    while more is not None:
        raw = await fetch(params={**params, "continue": more} if more else params)
        more = await _take_page(found, raw, read, convert)
        del raw  # not kept while the next one comes
    return found


async def _take_page(
    found: Listed[T], raw: bytes | bytearray, read: PageReader[S], convert: Callable[[S], T]
) -> str | None:
    """Add what a page has, and let others have their turn between its slices. What to ask for the next page with."""
    try:
        page = await _page(raw, read)
        for part in slices(page.items):
            await asyncio.sleep(0)
            found.items += [convert(item) for item in part]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreachable(f"the answer is not a Kubernetes list: {error!r}", ambiguous=False) from error
    if found.resource_version not in (0, page.resource_version):
        raise Gone(410, "Expired", "the pages of the list are of different versions")
    found.resource_version = page.resource_version
    return page.more or None


async def _page(raw: bytes | bytearray, read: PageReader[S]) -> Page[S]:
    """What ``read`` makes of a page; an object that is nested too deep does not keep the others from being read."""
    try:
        return read(raw)
    except (RecursionError, orjson.JSONDecodeError):
        return read(await asyncio.to_thread(shallow, raw))


def identity_page(raw: bytes | bytearray) -> Page[Identity]:
    """A page of ``METADATA_ONLY``, in a fifth of the time that decoding all of it takes.

    Raises ValueError; RecursionError when something is nested too deep.
    """
    try:
        page = _identities.decode(raw)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    items = [item.metadata for item in page.items or ()]
    return Page(items, int(page.metadata.resourceVersion), page.metadata.more)


def object_page(raw: bytes | bytearray) -> Page[Object]:
    """A page of whole objects or of metadata. Raises KeyError, TypeError, ValueError, AttributeError."""
    page = orjson.loads(raw)
    metadata = page["metadata"]
    items = [checked(item) for item in page.get("items") or ()]
    return Page(items, int(metadata["resourceVersion"]), metadata.get("continue") or "")


def checked(obj: Object) -> Object:
    """``obj``, when it has what every object of a cluster has. Raises KeyError, TypeError, ValueError."""
    metadata = obj["metadata"]
    str(metadata["name"]), str(metadata["uid"]), int(metadata["resourceVersion"])
    return obj


def slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """``items`` in pieces of ``SLICE``."""
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]
