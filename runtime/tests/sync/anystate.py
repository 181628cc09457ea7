# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Any state at all: objects of one name on a member and on the hub, as users, operators, other members, torn-off
finalizers, restored backups and forged marks may have left them. Small pools, so that identities collide often."""

from __future__ import annotations

import json
import random
from typing import Any

from tmc.sync import names
from tmc.sync.facts import Facts

Obj = dict[str, Any]
CLUSTERS = ("east", "west", "kcp", "gone")
MEMBERS = ("east", "west")
UIDS = tuple(f"{cluster}-{number}" for cluster in CLUSTERS for number in (1, 2))
FINALIZERS = (names.SYNC_FINALIZER, "tmc.io/east", "tmc.io/west", "tmc.io/gone", "operator", "west")
LABELS: tuple[Obj, ...] = ({}, {"team": "a"}, {"team": "b", "app/x~y": "1"}, {names.ORIGIN: "kcp"})
NOTES: tuple[Obj, ...] = (
    {},
    {"team/owner": "x"},
    {"operator/note": "1", "team/owner": "y"},
    {names.LAST_APPLIED: "{}", names.SYNC_STATE: names.NAME_CONFLICT},
    {names.SYNC_STATE: names.REJECTED},
    {names.STATUS_PENDING: "true"},
    {names.SYNC_STATE: names.KEPT},
)
FIELDS: tuple[Obj, ...] = (
    {"spec": {"value": 1}},
    {"spec": {"value": 2}},
    {"spec": {"value": 1}, "data": {"k": "v"}},
    {"spec": {}, "odd/field~1name": [1]},
    {"spec": None},
    {},
)
STATUSES: tuple[Any, ...] = (
    {"done": 1},
    {"done": 2, "observedGeneration": 1},
    {"observedGeneration": 2},
    {"observedGeneration": "two", "conditions": [{"type": "Ready", "observedGeneration": 2}, "odd", {"type": "Other"}]},
    {"observedGeneration": 9, "conditions": [{"type": "Ready", "observedGeneration": 1}]},
    {"conditions": None},
    {},
    None,
)
KEYS = (
    '{"annotations":[],"labels":[]}',
    '{"annotations":["team/owner"],"labels":["team"]}',
    '{"annotations":["team/owner","tmc.io/origin-uid"],"labels":["team","tmc.io/origin"]}',
    '{"labels":["team",7,null]}',
    "[]",
    "no json",
)
# What no well-meaning writer puts there; rarer, so that the ordinary cases are not drowned.
ODD_KEYS = ('{"labels":7,"annotations":true}', '{"labels":{"team":1},"annotations":"team/owner"}', "7", "null", "")
ODD_GENERATIONS = ("", "-1", "1.5", "many", "²", "٣", "9" * 5000)
ODD_STATUSES: tuple[Any, ...] = (
    "text",
    ["a", "list"],
    7,
    {"conditions": [{"type": ["x"], "observedGeneration": 1}]},
    {"conditions": 3},
)


def uid_on(rng: random.Random, cluster: str) -> str:
    return f"{cluster}-{rng.randint(1, 2)}"


def any_object(rng: random.Random, cluster: str, uid: str) -> Obj:
    """An object that stands on `cluster`: a native one, a copy, or something in between."""
    meta: Obj = {"name": "a", "namespace": "default", "uid": uid, "resourceVersion": str(rng.randint(1, 9999))}
    if rng.random() < 0.98:
        meta["generation"] = rng.randint(1, 3)
    labels, notes = dict(rng.choice(LABELS)), dict(rng.choice(NOTES))
    marked = rng.random()
    if marked < 0.65:
        _mark(rng, labels, notes, cluster)
    if marked < 0.1:  # incomplete
        (labels if rng.random() < 0.5 else notes).pop(rng.choice((names.ORIGIN, names.ORIGIN_UID)), None)
    for key, value in (("labels", labels), ("annotations", notes), ("finalizers", _finalizers(rng))):
        if value or rng.random() < 0.3:
            meta[key] = value if value or rng.random() < 0.7 else None
    if meta.get("finalizers") and rng.random() < 0.5:  # what has none is gone at once
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    obj = {"apiVersion": "demo.tmc.io/v1", "kind": "TaskQueue", "metadata": meta, **rng.choice(FIELDS)}
    if rng.random() < 0.7:
        obj["status"] = rng.choice(STATUSES if rng.random() < 0.98 else ODD_STATUSES)
    return obj


def _mark(rng: random.Random, labels: Obj, notes: Obj, standing: str) -> None:
    others = [c for c in CLUSTERS if c != standing]
    cluster = rng.choice(others) if rng.random() < 0.93 else standing
    labels[names.ORIGIN] = cluster
    notes[names.ORIGIN_UID] = uid_on(rng, cluster)
    notes[names.ORIGIN_CLUSTER_UID] = f"cluster-{cluster}"
    odd = rng.random() < 0.01
    notes[names.ORIGIN_GENERATION] = rng.choice(ODD_GENERATIONS) if odd else str(rng.randint(1, 3))
    if rng.random() < 0.95:
        notes[names.ORIGIN_KEYS] = rng.choice(KEYS if rng.random() < 0.97 else ODD_KEYS)


def _finalizers(rng: random.Random) -> list[str]:
    held = rng.sample(FINALIZERS, rng.choice((0, 0, 1, 1, 2, 3)))
    return [*held, rng.choice(held)] if held and rng.random() < 0.02 else held  # twice, as a late request makes it


def any_facts(rng: random.Random) -> Obj:
    """The arguments of `Facts`, as JSON; `facts` makes them real."""
    return {
        "member": rng.choice(MEMBERS),
        "processor": rng.choice(("east", "west", "east", "west", "kcp", "")),
        "members": list(MEMBERS) if rng.random() < 0.8 else ["east", "west", "south"],
        "has_status": rng.random() < 0.9,
        "tombstones": rng.sample(UIDS, rng.choice((0, 0, 0, 1, 2))),
        "given_up": rng.sample(MEMBERS, rng.choice((0, 0, 0, 1, 2))),
        "quarantined": rng.random() < 0.1,
        "keeps": rng.random() < 0.1,
        "told": rng.random() < 0.5,
        "hub_kind_going": rng.random() < 0.05,
        "hub_namespace_going": rng.random() < 0.05,
        "ended": rng.sample(UIDS, rng.choice((0, 0, 0, 0, 1, 2))),
    }


def facts(said: Obj) -> Facts:
    """`Facts` from JSON; what is not said has its default."""
    rest = {k: frozenset(v) if isinstance(v, list) else v for k, v in said.items()}
    ends: Obj = {"member_uid": f"cluster-{said['member']}", "hub": "kcp", "hub_uid": "cluster-kcp"}
    everything: Obj = {**ends, **rest}
    return Facts(**everything)


def any_state(rng: random.Random) -> Obj:
    """A case: `member` and `hub` (an object or None) and `facts`."""
    said = any_facts(rng)
    member = any_object(rng, said["member"], uid_on(rng, said["member"])) if rng.random() < 0.85 else None
    hub = any_object(rng, "kcp", uid_on(rng, "kcp")) if rng.random() < 0.85 else None
    if member and hub and rng.random() < 0.5:
        _relate(rng, member, hub, said["member"])
    return {"member": member, "hub": hub, "facts": said}


def _relate(rng: random.Random, member: Obj, hub: Obj, name: str) -> None:
    """Make the two what they usually are: an origin object and its copy, or two copies of one object."""
    if rng.random() < 0.5:
        source, copy, cluster = member, hub, name
    else:
        source, copy, cluster = hub, member, "kcp"
    labels, notes = copy["metadata"].get("labels") or {}, copy["metadata"].get("annotations") or {}
    marks = {k: v for k, v in (source["metadata"].get("annotations") or {}).items() if k.startswith("tmc.io/origin")}
    if cluster == "kcp" and len(marks) >= 4:
        origin = (source["metadata"].get("labels") or {}).get(names.ORIGIN, "kcp")
        copy["metadata"] |= {"labels": {**labels, names.ORIGIN: origin}, "annotations": {**notes, **marks}}
        return
    keys = {"annotations": sorted(notes), "labels": sorted(labels)}
    marks = {
        names.ORIGIN_UID: source["metadata"]["uid"],
        names.ORIGIN_CLUSTER_UID: f"cluster-{cluster}",
        names.ORIGIN_GENERATION: str(source["metadata"].get("generation", 0) - (rng.random() < 0.2)),
        names.ORIGIN_KEYS: json.dumps(keys),
    }
    copy["metadata"] |= {"labels": {**labels, names.ORIGIN: cluster}, "annotations": {**notes, **marks}}
