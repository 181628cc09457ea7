# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""When a hub that has no copy shows that no member has one."""

from __future__ import annotations

from typing import Any

from tmc.core.keys import ObjectKey
from tmc.sync import names
from tmc.sync.told import Told

KEY = ObjectKey("default", "a")
Object = dict[str, Any]


def own(*, held: bool = True, going: bool = False, uid: str = "1") -> Object:
    meta: Object = {"name": "a", "uid": uid, "finalizers": [names.SYNC_FINALIZER] if held else []}
    return {"metadata": meta | ({"deletionTimestamp": "now"} if going else {})}


def hub_copy(*, going: bool = False, origin: str = "1") -> Object:
    notes = {names.ORIGIN_UID: origin, names.ORIGIN_CLUSTER_UID: "cluster-east"}
    meta: Object = {"name": "a", "uid": "h", "labels": {names.ORIGIN: "east"}, "annotations": notes}
    return {"metadata": meta | ({"deletionTimestamp": "now"} if going else {})}


def test_a_hub_copy_that_was_seen_going_after_its_origin_has_told_all() -> None:
    told = Told()
    assert told.look(KEY, own(going=True), hub_copy(going=True), losing=False)
    assert told.look(KEY, own(going=True), None, losing=False)
    assert not told.look(KEY, own(going=True, uid="2"), None, losing=False), "nothing of the next one of this name"


def test_one_that_was_not_seen_going_has_told_nobody() -> None:
    told = Told()
    for going in (False, True):
        assert not told.look(KEY, own(going=going), hub_copy(going=not going), losing=False)
        assert not told.look(KEY, own(going=True), None, losing=False)
    assert not told.look(KEY, own(going=True), hub_copy(going=True, origin="2"), losing=False)


def test_what_the_hub_loses_as_a_whole_tells_nobody_even_when_it_is_back() -> None:
    told = Told()
    told.look(KEY, own(going=True), hub_copy(going=True), losing=False)
    assert not told.look(KEY, own(going=True), hub_copy(going=True), losing=True)
    assert not told.look(KEY, own(going=True), None, losing=False)


def test_what_was_withdrawn_here_has_told_all_though_it_was_not_seen_going() -> None:
    told = Told()
    told.withdrawn(KEY, own())
    assert not told.look(KEY, own(going=True), None, losing=False), "it was alive"
    told.withdrawn(KEY, own(going=True))
    assert told.look(KEY, own(going=True), hub_copy(), losing=False), "the news of it is yet to come"
    assert told.look(KEY, own(going=True), None, losing=False)


def test_what_was_never_announced_has_nobody_to_tell() -> None:
    told = Told()
    assert told.look(KEY, own(held=False), None, losing=False)
    assert told.look(KEY, own(going=True), None, losing=False)
    told.forget(KEY)  # a creation is on its way
    assert not told.look(KEY, own(going=True), None, losing=False)
