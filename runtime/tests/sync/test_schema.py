# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Definitions of one kind on two clusters: which differences lose something, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from tmc.sync.objects import Object
from tmc.sync.schema import FIELDS_NAMED, Place, Verdict, fingerprint, judge

OPEN = {"x-kubernetes-preserve-unknown-fields": True}
TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def struct(**properties: Any) -> Object:
    return {"type": "object", "properties": properties}


def array(of: Object) -> Object:
    return {"type": "array", "items": of}


def mapping(of: Any) -> Object:
    return {"type": "object", "additionalProperties": of}


def crd(spec: Object | None = None, *, status: bool = True, served: tuple[str, ...] = ("v1",), **more: Any) -> Object:
    """A definition whose objects have this schema below `spec`."""
    root = struct(apiVersion=TEXT, kind=TEXT, metadata={"type": "object"}, spec=spec or struct(size=NUMBER))
    versions = [
        {
            "name": name,
            "served": name in served,
            "schema": {"openAPIV3Schema": root},
            **({"subresources": {"status": {}}} if status else {}),
        }
        for name in ("v1", "v2")
    ]
    established = [{"type": "Established", "status": more.pop("established", "True")}]
    metadata = {"name": "widgets.example.org", "uid": "u", "generation": 1, **more.pop("metadata", {})}
    return {
        "metadata": metadata,
        "spec": {"scope": "Namespaced", "names": {"kind": "Widget"}, "versions": versions, **more},
        "status": {"conditions": established},
    }


def verdict(hub: Object | None, member: Object | None, version: str = "v1") -> Verdict:
    return judge(version, Place("kcp", hub), Place("east", member))


ALIKE: list[tuple[str, Object, Object]] = [
    ("the same", struct(a=TEXT), struct(a=TEXT)),
    ("only validation", struct(a={**TEXT, "maxLength": 3}), struct(a={**TEXT, "enum": ["x"]})),
    ("only what is required", {**struct(a=TEXT), "required": ["a"]}, struct(a=TEXT)),
    ("open on both", OPEN, OPEN),
    ("open, one names a field", OPEN, {**struct(a=TEXT), **OPEN}),
    ("maps", mapping(TEXT), mapping(TEXT)),
    ("maps of structs", mapping(struct(a=TEXT)), mapping(struct(a=TEXT))),
    ("a map that takes anything", mapping(True), mapping(True)),
    ("lists", array(struct(a=TEXT)), array(struct(a=TEXT))),
    ("a number or a text", struct(a={"x-kubernetes-int-or-string": True}), struct(a={})),
    ("a field called metadata", struct(metadata=struct(a=TEXT)), struct(metadata=struct(a=TEXT))),
]  # fmt: skip


@pytest.mark.parametrize(("hub", "member"), [pytest.param(*row[1:], id=row[0]) for row in ALIKE])
def test_what_loses_nothing_is_accepted(hub: Object, member: Object) -> None:
    assert verdict(crd(hub), crd(member)) == Verdict("Accepted")
    assert verdict(crd(member), crd(hub)) == Verdict("Accepted")


LOST: list[tuple[str, Object, Object, str]] = [
    ("a field", struct(a=TEXT, b=TEXT), struct(a=TEXT), "spec.b"),
    ("a nested field", struct(a=struct(b=TEXT)), struct(a=struct()), "spec.a.b"),
    ("a whole struct", struct(a=struct(b=TEXT)), struct(), "spec.a"),
    ("in a list", array(struct(a=TEXT, b=TEXT)), array(struct(a=TEXT)), "spec[].b"),
    ("in lists of lists", struct(a=array(array(struct(b=TEXT)))), struct(a=array(array(struct()))), "spec.a[][].b"),
    ("in a map", mapping(struct(a=TEXT, b=TEXT)), mapping(struct(a=TEXT)), "spec.*.b"),
    ("a map itself", mapping(TEXT), struct(a=TEXT), "spec.*"),
    ("the unknown", OPEN, struct(a=TEXT), "spec.*"),
    ("the unknown, further down", struct(a=OPEN), struct(a=struct(b=TEXT)), "spec.a.*"),
    ("known below the open", {**struct(a=struct(b=TEXT, c=TEXT)), **OPEN}, {**struct(a=struct(b=TEXT)), **OPEN},
     "spec.a.c"),
]  # fmt: skip


@pytest.mark.parametrize(("wide", "narrow", "path"), [pytest.param(*row[1:], id=row[0]) for row in LOST])
def test_a_field_that_would_be_dropped_is_named_and_where(wide: Object, narrow: Object, path: str) -> None:
    down, up = verdict(crd(wide), crd(narrow)), verdict(crd(narrow), crd(wide))
    assert (down.state, down.pruned) == (up.state, up.pruned) == ("Incompatible", (path,))
    assert f"dropped on east: {path}" in down.message
    assert f"dropped on kcp: {path}" in up.message


def test_a_map_takes_the_fields_of_a_struct_and_more() -> None:
    one, other = crd(struct(a=struct(b=TEXT, c=TEXT))), crd(mapping(struct(b=TEXT)))
    assert verdict(one, other).message == "dropped on east: spec.a.c; dropped on kcp: spec.*"


def test_status_fields_count() -> None:
    wide, narrow = crd(), crd()
    for definition, extra in ((wide, struct(ready=TEXT, extra=TEXT)), (narrow, struct(ready=TEXT))):
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = extra
    found = verdict(wide, narrow)
    assert found.pruned == ("status.extra",)


def test_both_directions_are_said() -> None:
    found = verdict(crd(struct(a=TEXT)), crd(struct(b=TEXT)))
    assert found.pruned == ("spec.a", "spec.b")
    assert found.message == "dropped on east: spec.a; dropped on kcp: spec.b"


def test_a_long_list_is_cut() -> None:
    found = verdict(crd(struct(**{f"f{n:03}": TEXT for n in range(200)})), crd(struct()))
    assert len(found.pruned) == FIELDS_NAMED
    assert "and 192 more" in found.message


UNLIKE: list[tuple[str, Object, str]] = [
    ("the scope", crd(scope="Cluster"), "scope is Cluster on east and Namespaced on kcp"),
    ("the kind", crd(names={"kind": "Gadget"}), "kind is Gadget on east and Widget on kcp"),
    ("the status subresource", crd(status=False), "the status subresource is off on east and on on kcp"),
    ("a type", crd(struct(size=TEXT)), "other types on east and kcp: spec.size (string, integer)"),
    ("a type in a list", crd(struct(size=NUMBER, more=array(TEXT))), "dropped on kcp: spec.more"),
]


@pytest.mark.parametrize(("member", "words"), [pytest.param(*row[1:], id=row[0]) for row in UNLIKE])
def test_another_kind_of_the_same_name_is_incompatible(member: Object, words: str) -> None:
    found = verdict(crd(), member)
    assert found.state == "Incompatible"
    assert found.message == words


PENDING: list[tuple[str, Object, Object, str]] = [
    ("not established", crd(established="False"), crd(), "the kind is not established yet on kcp"),
    ("another version", crd(), crd(served=("v2",)), "version v1 is not served (served: v2) on east"),
    ("no version", crd(served=()), crd(), "version v1 is not served (served: none) on kcp"),
    ("a version that is not there", crd(), {**crd(), "spec": {**crd()["spec"], "versions": []}}, "served: none"),
    ("being deleted", crd(), crd(metadata={"deletionTimestamp": "now"}), "the kind is being deleted"),
]


@pytest.mark.parametrize(("hub", "member", "words"), [pytest.param(*row[1:], id=row[0]) for row in PENDING])
def test_what_is_not_served_yet_is_pending(hub: Object, member: Object, words: str) -> None:
    found = verdict(hub, member)
    assert found.state == "Pending"
    assert words in found.message


def test_a_kind_that_the_hub_is_losing_goes_on_so_that_it_can_be_let_go() -> None:
    assert verdict(crd(metadata={"deletionTimestamp": "now"}), crd()).state == "Accepted"


@pytest.mark.parametrize(("hub", "member"), [(None, None), (None, crd()), (crd(), None)])
def test_definitions_that_are_not_known_are_no_hindrance(hub: Object | None, member: Object | None) -> None:
    assert verdict(hub, member) == Verdict("Accepted")


def test_versions_are_compared_one_by_one() -> None:
    hub, member = crd(served=("v1", "v2")), crd(served=("v1", "v2"))
    member["spec"]["versions"][1]["schema"] = {"openAPIV3Schema": struct(spec=struct())}
    assert verdict(hub, member, "v1").state == "Accepted"
    assert verdict(hub, member, "v2").pruned == ("spec.size",)


def test_a_fingerprint_changes_with_whatever_a_verdict_depends_on() -> None:
    others = [
        None,
        crd(),
        crd(established="False"),
        crd(metadata={"generation": 2}),
        crd(metadata={"uid": "v"}),
        crd(metadata={"deletionTimestamp": "now"}),
    ]
    assert len({fingerprint(definition) for definition in others}) == len(others)
    assert fingerprint(crd()) == fingerprint(crd(metadata={"labels": {"a": "b"}}))
