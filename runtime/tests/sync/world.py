# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A small world of API servers in memory, to run the planner in: real rules for uid, resourceVersion, generation,
finalizers and deletion (`rules.py`), no network and no clock. Everything is decided by the caller's random generator,
and every plan is judged (`judge.py`)."""

from __future__ import annotations

import copy
import itertools
import random
from dataclasses import replace
from typing import Any

from runtime.tests.sync import rules
from runtime.tests.sync.judge import judge, need, whose
from tmc.core.keys import ObjectKey
from tmc.sync.facts import Facts
from tmc.sync.objects import origin_on
from tmc.sync.operations import Acknowledge, Bury, Create, Delete, Operation, Patch, Proof, Tell
from tmc.sync.planner import plan
from tmc.sync.told import Told

Obj = dict[str, Any]


class Refused(Exception):
    """409 or 422: the guard, the uid or the name did not fit."""


class Cluster:
    """One API server's objects of one kind, by name; `history` keeps every state for views that lag.

    Objects are never changed in place: what was handed out stays as it was.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = f"cluster-{name}"
        self.has_status = True
        self.objects: dict[str, Obj] = {}
        self.history: list[dict[str, Obj]] = [{}]
        self._serial = itertools.count(1)

    def create(self, body: Obj) -> Obj:
        name = body["metadata"]["name"]
        if name in self.objects:
            raise Refused(f"{name} exists on {self.name}")
        obj = rules.created(copy.deepcopy(body), f"{self.name}-{next(self._serial)}")
        stored: Obj = self._store(name, obj)
        return stored

    def patch(self, name: str, ops: list[dict[str, Any]], subresource: str) -> Obj | None:
        """The object as it is now; None: it is gone. Raises Refused; BadPatch, Forbidden."""
        old = self.objects.get(name)
        if old is None:
            raise Refused(f"{name} is not on {self.name}")
        try:
            new = rules.patched(old, ops, subresource, has_status=self.has_status)
        except rules.Overtaken as overtaken:
            raise Refused(str(overtaken)) from overtaken
        return old if new is old else self._store(name, new)

    def write(self, name: str, change: Any) -> None:
        """A user, an operator or a controller changes an object by calling `change(obj)`."""
        old = self.objects.get(name)
        if old is None:
            return
        new = copy.deepcopy(old)
        change(new)
        after = rules.changed(old, new, has_status=self.has_status)
        if after is not old:
            self._store(name, after)

    def delete(self, name: str, uid: str) -> None:
        obj = self.objects.get(name)
        if obj is None or obj["metadata"]["uid"] != uid:
            raise Refused("uid")
        after = rules.deleted(obj)
        if after is not obj:
            self._store(name, after)

    def _store(self, name: str, obj: Obj | None) -> Any:
        if obj is None:
            self.objects.pop(name, None)
        else:
            obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(len(self.history))}}
            self.objects[name] = obj
        self.history.append(dict(self.objects))
        return obj


class World:
    """A hub and members; `step` lets one member's syncer plan on a view that may lag and carry its plan out."""

    def __init__(
        self, rng: random.Random, members: tuple[str, ...] = ("east", "west"), processor: str = "west"
    ) -> None:
        self.rng = rng
        self.hub = Cluster("kcp")
        self.members = {m: Cluster(m) for m in members}
        self.processor = processor
        self.tombstones: dict[str, tuple[str, set[str]]] = {}
        self.seen: dict[tuple[str, str], int] = {}
        self.told = {m: Told() for m in members}
        self.away: set[str] = set()
        self.grace_over = False
        self.writes = 0
        self.judged = 0

    def clusters(self) -> list[Cluster]:
        return [self.hub, *self.members.values()]

    def cluster(self, name: str) -> Cluster:
        return self.hub if name == "kcp" else self.members[name]

    def facts(self, member: str, name: str) -> Facts:
        return Facts(
            member=member,
            member_uid=f"cluster-{member}",
            hub="kcp",
            hub_uid="cluster-kcp",
            processor=self.processor,
            members=frozenset(self.members),
            tombstones=frozenset(u for u, (n, who) in self.tombstones.items() if n == name and member in who),
            given_up=frozenset(self.members if self.grace_over else ()),  # rightly or wrongly
        )

    def view(self, member: str, cluster: Cluster, *, fresh: bool) -> dict[str, Obj]:
        """What this member's syncer sees: never older than what it saw before (its high-water mark)."""
        low = self.seen.get((member, cluster.name), 0)
        at = len(cluster.history) - 1 if fresh else self.rng.randint(low, len(cluster.history) - 1)
        self.seen[(member, cluster.name)] = at
        return cluster.history[at]

    def step(self, member: str, name: str, *, fresh: bool = False) -> int:
        """One look at one name by one syncer; how many operations were carried out. A refusal ends it."""
        own, hub = self.view(member, self.members[member], fresh=fresh), self.view(member, self.hub, fresh=fresh)
        told = self.told[member].look(ObjectKey("", name), own.get(name), hub.get(name), losing=False)
        facts, done = replace(self.facts(member, name), told=told), 0
        operations = plan(own.get(name), hub.get(name), facts)
        judge(own.get(name), hub.get(name), facts, operations)
        self.judged += 1
        for op in operations:
            if isinstance(op, Tell):
                continue
            try:
                self._carry_out(member, name, op)
            except Refused:
                return done + fresh  # with a fresh view, a refusal is work that is never done
            done += 1
        return done

    def _carry_out(self, member: str, name: str, op: Operation) -> None:
        side = self.members[member] if getattr(op, "side", "hub") == "member" else self.hub
        proof = getattr(op, "proof", None)
        if proof is not None and not self._holds(member, name, proof):
            raise Refused("proof")
        self.writes += 1
        if isinstance(op, Create) and op.side == "hub":
            self.told[member].forget(ObjectKey("", name))
        self._change(member, side, name, op)
        self.seen[(member, side.name)] = len(side.history) - 1  # a syncer reads its own writes

    def _change(self, member: str, side: Cluster, name: str, op: Operation) -> None:
        match op:
            case Create():
                side.create(op.body)
            case Patch():
                before = side.objects.get(name)
                self._judge_status(before, side.patch(name, op.patch, op.subresource), side)
            case Delete():
                self._judge_delete(side, name)
                side.delete(name, op.uid)
            case Bury():
                self.tombstones.setdefault(op.origin_uid, (name, set(op.pending)))
            case Acknowledge():
                _, pending = self.tombstones.get(op.tombstone, (name, set()))
                pending.discard(member)
                if not pending:
                    self.tombstones.pop(op.tombstone, None)

    @staticmethod
    def _judge_status(before: Obj | None, after: Obj | None, side: Cluster) -> None:
        """A status says what it is `of` and how much is `done`: it stays with its object and never goes back."""
        old, new = ((o or {}).get("status") or {} for o in (before, after))
        if after is None or old == new or "of" not in new:
            return
        need(new["of"] == whose(after, side.uid)[1], "a status never goes to another object of the same name")
        need(old.get("of") != new["of"] or old["done"] <= new["done"], "progress never goes back")

    def _judge_delete(self, side: Cluster, name: str) -> None:
        """No copy may be deleted while the object that it is a copy of lives on its origin."""
        origin = origin_on(side.objects[name], side.name, side.uid)
        assert origin.cluster != side.name, f"{name} was deleted on {side.name}, its own origin"
        source = self.cluster(origin.cluster).objects.get(name)
        alive = source is not None and source["metadata"]["uid"] == origin.uid
        going = alive and source is not None and source["metadata"].get("deletionTimestamp")
        assert not alive or going, f"{name} was deleted on {side.name} while it lives on {origin.cluster}"

    def _holds(self, member: str, name: str, proof: Proof) -> bool:
        cluster = self.members[member] if proof.side == "member" else self.hub
        found = cluster.objects.get(name)
        return (found["metadata"]["uid"] if found else "") == proof.uid

    def settle(self, names: tuple[str, ...], limit: int = 200) -> int:
        """Fresh views, in random order, until nobody has anything to do; the number of rounds it took."""
        for rounds in range(limit):
            busy = 0
            for member, name in self.rng.sample(pairs := [(m, n) for m in self.members for n in names], len(pairs)):
                if member not in self.away:
                    busy += self.step(member, name, fresh=True)
            if not busy:
                return rounds
        raise AssertionError(f"not settled after {limit} rounds: {[c.objects for c in self.clusters()]}")


def new_object(name: str, value: int, labels: dict[str, str] | None = None) -> Obj:
    return {
        "apiVersion": "demo.tmc.io/v1",
        "kind": "TaskQueue",
        "metadata": {"name": name, "namespace": "default", "labels": dict(labels or {})},
        "spec": {"value": value},
    }
