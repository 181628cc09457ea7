# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Objects that are nested deeper than their readers take: only they are not known whole, and they are never absent."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from runtime.tests.core.reflecting import WIDGETS, World, key, widget, world
from runtime.tests.fakeapi import FakeApi, Nested
from runtime.tests.waiting import eventually
from tmc.api import depth
from tmc.core.store import MOST_LEVELS, OUTLINE

WRITERS, READERS, SERVERS = 300, 1100, 9990  # more than orjson writes, and reads; as much as an API server stores


def deep(name: str, levels: int, **metadata: Any) -> dict[str, Any]:
    return {**widget(name, **metadata), "spec": {"size": 1, "values": Nested(levels)}}


def is_outline(w: World, name: str) -> bool:
    held = w.reflector.store.get(key(name))
    return held is not None and OUTLINE in held and "spec" not in held


@pytest.mark.parametrize("levels", [WRITERS, READERS, SERVERS])
async def test_it_is_known_by_its_metadata_and_others_whole(api: FakeApi, levels: int) -> None:
    api.put(WIDGETS, deep("listed", levels, annotations={"note": "x"}))
    async with world(api) as w:
        api.put(WIDGETS, deep("watched", levels))
        api.put(WIDGETS, widget("later"))
        await eventually(lambda: w.size("later") == 1, "an event behind it")
        assert w.size("one") == 1
        assert is_outline(w, "listed")
        assert is_outline(w, "watched")
        held = w.reflector.store.get(key("listed"))
        assert held is not None
        assert (held["kind"], held["metadata"]["annotations"]) == ("Widget", {"note": "x"})
        assert (w.count("LIST"), w.count("WATCH"), w.reflector.stats.failures) == (1, 1, 0)


async def test_it_becomes_whole_and_an_outline_again(api: FakeApi) -> None:
    api.put(WIDGETS, deep("changing", READERS))
    async with world(api) as w:
        api.put(WIDGETS, widget("changing", 5))
        await eventually(lambda: w.size("changing") == 5)
        api.put(WIDGETS, deep("changing", WRITERS))
        await eventually(lambda: is_outline(w, "changing"))
        api.remove(WIDGETS, "changing", "a")
        await eventually(lambda: key("changing") not in w.reflector.store)


@pytest.mark.parametrize("levels", [WRITERS, READERS, SERVERS])
async def test_comparisons_find_no_difference_in_it_and_what_is_missed_is_fetched(api: FakeApi, levels: int) -> None:
    managed = [{"manager": "m", "fieldsV1": Nested(levels)}]
    api.put(WIDGETS, deep("listed", levels, managedFields=managed))
    async with world(api, floor=0.1) as w:
        compared = w.reflector.stats.comparisons
        await eventually(lambda: w.reflector.stats.comparisons > compared + 1)
        assert (w.reflector.stats.differences, w.reflector.fault) == (0, "")
        api.drop = lambda _type, _obj: True
        api.put(WIDGETS, deep("missed", levels))
        await eventually(lambda: is_outline(w, "missed"))
        assert w.reflector.stats.failures == 0


async def test_deep_managed_fields_alone_keep_no_object_from_being_known(api: FakeApi) -> None:
    api.put(WIDGETS, widget("managed", managedFields=[{"manager": "m", "fieldsV1": Nested(SERVERS)}]))
    async with world(api) as w:
        assert w.size("managed") == 1
        assert not is_outline(w, "managed")


@pytest.mark.parametrize("beyond", [0, 1])
async def test_how_deep_is_too_deep(api: FakeApi, beyond: int) -> None:
    """``MOST_LEVELS`` count from the object itself; two of them are the object and its spec."""
    api.put(WIDGETS, deep("deep", MOST_LEVELS - 2 + beyond))
    async with world(api) as w:
        assert is_outline(w, "deep") == bool(beyond)
        held = w.reflector.store.get(key("deep"))
        if not beyond:  # there is room for a patch around its spec
            assert held is not None
            orjson.dumps([{"op": "add", "path": "/spec", "value": held["spec"]}])


async def test_a_live_read_and_the_answer_to_a_write_show_what_can_be_read(api: FakeApi) -> None:
    api.put(WIDGETS, deep("deep", SERVERS))
    async with world(api) as w:
        found = await w.client.get(WIDGETS, "deep", "a")
        assert (found["metadata"]["name"], found["spec"]["size"]) == ("deep", 1)
        ops = [{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]
        patched = await w.client.patch(WIDGETS, "deep", "a", ops, field_manager="test")
        assert patched["metadata"]["labels"] == {"x": "y"}


# -- cutting


def any_json(rng: random.Random, levels: int) -> Any:
    if levels == 0 or rng.random() < 0.3:
        return rng.choice((None, True, -1.5e3, "", 'a "quoted" {[ word', "back\\slash\\", "ü\n", [], {}))
    inside = [any_json(rng, levels - 1) for _ in range(rng.randint(0, 4))]
    return inside if rng.random() < 0.5 else {f'k"}}{n}': value for n, value in enumerate(inside)}


def test_what_is_not_deep_is_left_as_it_is() -> None:
    rng = random.Random(1)
    for _ in range(300):
        raw = orjson.dumps(any_json(rng, 6), option=rng.choice((0, orjson.OPT_INDENT_2)))
        assert depth.shallow(raw) == raw


def test_exactly_what_is_deeper_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "MOST_LEVELS", 2)
    raw = b'{"a": [1, [2, {"b": "]"}], {}, "]["], "c": {"d": {"e": []}, "f": 3}, "g": [[]]}'
    assert depth.shallow(raw) == b'{"a": [1, null, null, "]["], "c": {"d": null, "f": 3}, "g": [null]}'


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a": "', b"}", b'{"a":' * 600, b'{"a":' * 600 + b"1" + b"}" * 599])
def test_what_is_no_json_stays_none(raw: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        depth.loads(raw)
