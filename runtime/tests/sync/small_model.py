# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A small fabric as a state machine: two members and a hub, one name, every order in which things can happen.

Between any two requests of a syncer anything else may happen: users, an operator, the controller, the other syncer, a
crash that loses the rest of the plan, a stream that hangs while the others go on (an old view), a former leader that
was stopped in the middle of a plan and goes on with it later, the end of the grace. A live read that proves something
and the write that rests on it are two requests.

A state is a tuple of small integers: objects and plans are kept once each, by content. A resourceVersion is the
content's number, so a cycle of states is a fabric that never comes to rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from runtime.tests.sync import rules
from runtime.tests.sync.judge import going, judge, need
from runtime.tests.sync.truth import judge_change, judge_state, origin_of, stands_on
from tmc.core.keys import ObjectKey
from tmc.sync import names
from tmc.sync.facts import Facts
from tmc.sync.operations import Acknowledge, Bury, Create, Delete, Operation, Patch, Tell
from tmc.sync.planner import plan
from tmc.sync.told import Told

Obj = dict[str, Any]
CLUSTERS = ("kcp", "east", "west")
HUB, MEMBERS = 0, (1, 2)
KEY = ObjectKey("default", "a")
MOST_UIDS, MOST_GENERATIONS = 9, 20


class Flight(NamedTuple):
    """A plan that is being carried out: which, how far, and whether the next operation's proof was read."""

    plan: int = 0
    at: int = 0
    proven: bool = False


class View(NamedTuple):
    """A member's syncer that is shown an old state of one cluster."""

    member: int
    cluster: int
    object: int


IDLE = Flight()


class State(NamedTuple):
    """Everything about one name. `objects` by cluster, `flights` by cluster, too (the hub has none)."""

    objects: tuple[int, int, int] = (0, 0, 0)
    flights: tuple[Flight, Flight, Flight] = (IDLE, IDLE, IDLE)
    woken: tuple[int, Flight] | None = None  # a former leader of a member, with the rest of its plan
    frozen: View | None = None
    tombstones: frozenset[tuple[str, int]] = frozenset()
    made: tuple[int, int, int] = (0, 0, 0)  # uids given so far, by cluster
    late: str = ""  # the hub object whose grace is over
    told: tuple[str, str, str] = ("", "", "")  # by cluster: the own object that its syncer knows to have no other copy


Step = tuple[str, State]  # what happens, and what then is
FREE = ""  # events of this kind come by themselves, all others as often as the search's budget says


class Model:
    """Successors of states. `processor` is a cluster's name."""

    def __init__(self, processor: str = "west", *, has_status: bool = True) -> None:
        self.processor = CLUSTERS.index(processor)
        self.has_status = has_status
        self.judged = 0
        self.contents: list[Obj] = [{}]
        self._numbers: dict[bytes, int] = {}
        self.plans: list[tuple[Operation, ...]] = [()]
        self._answers: dict[tuple[Any, ...], int] = {}
        self._tellings: dict[tuple[Any, ...], str] = {}

    # -- what there is

    def keep(self, obj: Obj | None) -> int:
        """The number of an object's content, its resourceVersion left out; 0 is no object."""
        if obj is None:
            return 0
        meta = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
        need(meta["generation"] <= MOST_GENERATIONS, "an object is changed without end")
        raw = orjson.dumps({**obj, "metadata": meta}, option=orjson.OPT_SORT_KEYS)
        number = self._numbers.get(raw)
        if number is None:
            number = self._numbers[raw] = len(self.contents)
            self.contents.append({**obj, "metadata": {**meta, "resourceVersion": str(number)}})
        return number

    def object(self, number: int) -> Obj | None:
        return self.contents[number] if number else None

    def on(self, state: State, cluster: int) -> Obj | None:
        return self.object(state.objects[cluster])

    def put(self, state: State, cluster: int, number: int) -> State:
        objects = list(state.objects)
        objects[cluster] = number
        return state._replace(objects=(objects[0], objects[1], objects[2]))

    # -- what may happen next

    def steps(self, state: State, event: str) -> Iterator[Step]:
        """All that can happen now of one kind of event; a kind is the name of a method."""
        for member in MEMBERS if event in ("crash", "wake", "stale") else ():
            yield from getattr(self, f"_{event}")(state, member)
        if event == FREE:
            for member in MEMBERS:
                yield from self._syncer(state, member)
            yield from self._thaw(state)
            yield from self._release(state)
        elif event in ("grace", "operator", "report"):
            yield from getattr(self, f"_{event}")(state)
        elif event in ("create", "delete", "edit", "drift", "lose"):
            for cluster in range(len(CLUSTERS)):
                yield from getattr(self, f"_{event}")(state, cluster)

    def busy(self, state: State) -> bool:
        """Whether a syncer has anything to do, or is kept from seeing that it has."""
        if state.woken or state.frozen or any(flight.plan for flight in state.flights):
            return True
        return any(self._answer(state, member) for member in MEMBERS)

    def _syncer(self, state: State, member: int) -> Iterator[Step]:
        name = CLUSTERS[member]
        flight = state.flights[member]
        if flight.plan:
            after, rest = self._carry_out(state, member, flight)
            yield f"{name}: {self._said(flight)}", self._fly(after, member, rest)
        elif answer := self._answer(state, member):
            yield f"{name}: plans", self._fly(self._looked(state, member), member, Flight(answer))
        elif (after := self._looked(state, member)) != state:
            yield f"{name}: looks", after
        if state.woken and state.woken[0] == member:
            after, rest = self._carry_out(state, member, state.woken[1])
            if rest.proven:
                after, rest = self._carry_out(after, member, rest)
            woken = (member, rest) if rest.plan else None
            yield f"{name}, former leader: {self._said(state.woken[1])}", after._replace(woken=woken)

    def _said(self, flight: Flight) -> str:
        op = self.plans[flight.plan][flight.at]
        needs = getattr(op, "proof", None) is not None and not flight.proven
        where = getattr(op, "side", "hub")
        return f"{'proves' if needs else 'does'} {type(op).__name__} on {where} ({op.why})"

    @staticmethod
    def _fly(state: State, member: int, flight: Flight) -> State:
        flights = list(state.flights)
        flights[member] = flight
        return state._replace(flights=(flights[0], flights[1], flights[2]))

    def _seen(self, state: State, member: int) -> tuple[int, int]:
        own, hub = state.objects[member], state.objects[HUB]
        if state.frozen and state.frozen.member == member:
            return (state.frozen.object, hub) if state.frozen.cluster else (own, state.frozen.object)
        return own, hub

    def _told(self, state: State, member: int, seen: tuple[int, int]) -> str:
        """The uid of the own object that this look shows to have no other copy when the hub has none."""
        key = (state.told[member], *seen)
        if key not in self._tellings:
            told, own = Told(), self.object(seen[0])
            if state.told[member]:
                told._uids[KEY] = state.told[member]
            known = told.look(KEY, own, self.object(seen[1]), losing=False)
            self._tellings[key] = told._uids.get(KEY, "")
            need(not known or (own is not None and self._tellings[key] == own["metadata"]["uid"]), "it is of its own")
        return self._tellings[key]

    def _looked(self, state: State, member: int) -> State:
        return self._tell(state, member, self._told(state, member, self._seen(state, member)))

    @staticmethod
    def _tell(state: State, member: int, uid: str) -> State:
        told = list(state.told)
        told[member] = uid
        return state if told[member] == state.told[member] else state._replace(told=(told[0], told[1], told[2]))

    def _answer(self, state: State, member: int) -> int:
        """The number of this member's plan; 0 when it has nothing to do."""
        seen = self._seen(state, member)
        own, told = self.object(seen[0]), self._told(state, member, seen)
        known = own is not None and own["metadata"]["uid"] == told
        buried = frozenset(uid for uid, who in state.tombstones if who == member)
        hub = self.object(seen[1])
        late = hub is not None and hub["metadata"]["uid"] == state.late
        key = (member, *seen, buried, late, known)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._ask(member, own, hub, buried, late, known)
        return answer

    def _ask(
        self, member: int, own: Obj | None, hub: Obj | None, buried: frozenset[str], late: bool, told: bool
    ) -> int:
        facts = Facts(
            member=CLUSTERS[member],
            member_uid=f"cluster-{CLUSTERS[member]}",
            hub="kcp",
            hub_uid="cluster-kcp",
            processor=CLUSTERS[self.processor],
            members=frozenset({"east", "west"}),
            has_status=self.has_status,
            tombstones=buried,
            given_up=frozenset({"east", "west"} if late else ()),  # rightly or wrongly
            told=told,
        )
        operations = plan(own, hub, facts)
        judge(own, hub, facts, operations)
        self.judged += 1
        effective = _effective(operations)
        if not effective:
            return 0
        self.plans.append(effective)
        return len(self.plans) - 1

    # -- carrying out

    def _carry_out(self, state: State, member: int, flight: Flight) -> tuple[State, Flight]:
        """One request; the rest of the plan, or none of it when the answer says that the view was old."""
        ops = self.plans[flight.plan]
        op = ops[flight.at]
        proof = getattr(op, "proof", None)
        if proof is not None and not flight.proven:
            cluster = HUB if proof.side == "hub" else member
            found = self.on(state, cluster)
            if (found["metadata"]["uid"] if found else "") == proof.uid:
                return self._shown(state, member, cluster), flight._replace(proven=True)
            return self._shown(state, member, cluster), IDLE
        if isinstance(op, Create) and op.side == "hub":
            state = self._tell(state, member, "")
        after = self._written(state, member, op)
        cluster = member if getattr(op, "side", "hub") == "member" else HUB
        if after is None:
            return self._shown(state, member, cluster), IDLE
        if isinstance(op, Create | Patch | Delete):
            judge_change(self, state, after, member, op)
        if isinstance(op, Create | Patch):
            after = self._shown(after, member, cluster)
        if isinstance(op, Patch) and not after.objects[cluster]:
            return after, IDLE
        at = flight.at + 1
        return after, Flight(flight.plan, at) if at < len(ops) else IDLE

    def _shown(self, state: State, member: int, cluster: int) -> State:
        """What a syncer has just read or written it knows; that nothing is there only the stream can tell it."""
        frozen = state.frozen
        if frozen and frozen[:2] == (member, cluster) and state.objects[cluster]:
            return state._replace(frozen=View(member, cluster, state.objects[cluster]))
        return state

    def _written(self, state: State, member: int, op: Operation) -> State | None:
        """None: refused."""
        if isinstance(op, Bury):
            pending = {(op.origin_uid, CLUSTERS.index(m)) for m in op.pending}
            known = any(uid == op.origin_uid for uid, _ in state.tombstones)
            return state if known else state._replace(tombstones=state.tombstones | pending)
        if isinstance(op, Acknowledge):
            return state._replace(tombstones=state.tombstones - {(op.tombstone, member)})
        assert not isinstance(op, Tell)
        cluster = member if op.side == "member" else HUB
        old = self.on(state, cluster)
        if isinstance(op, Create):
            return None if old else self.born(state, cluster, op.body)
        if old is None:
            return None
        if isinstance(op, Delete):
            fits = old["metadata"]["uid"] == op.uid
            return self.put(state, cluster, self.keep(rules.deleted(old))) if fits else None
        try:
            new = rules.patched(old, op.patch, op.subresource, has_status=self.has_status)
        except rules.Overtaken:
            return None
        return self.put(state, cluster, self.keep(new))

    def born(self, state: State, cluster: int, body: Obj) -> State:
        made = list(state.made)
        made[cluster] += 1
        need(made[cluster] <= MOST_UIDS, "objects are made and deleted without end")
        uid = f"{CLUSTERS[cluster]}-{made[cluster]}"
        number = self.keep(rules.created(body, uid, has_status=self.has_status))
        return self.put(state, cluster, number)._replace(made=(made[0], made[1], made[2]))

    # -- faults

    def _crash(self, state: State, member: int) -> Iterator[Step]:
        if state.flights[member].plan:
            yield f"{CLUSTERS[member]}: crashes", self._tell(self._fly(state, member, IDLE), member, "")

    def _wake(self, state: State, member: int) -> Iterator[Step]:
        flight = state.flights[member]
        if flight.plan and state.woken is None and self._guarded(flight):
            after = self._tell(self._fly(state._replace(woken=(member, flight)), member, IDLE), member, "")
            yield f"{CLUSTERS[member]}: is stopped, another leads", after

    def _guarded(self, flight: Flight) -> bool:
        """What this model takes for granted of a former leader: it looks at its own term right before a write, so
        that no create and no write that rests on a read comes so late that others have acted in between."""
        return not flight.proven and not any(isinstance(op, Create) for op in self.plans[flight.plan][flight.at :])

    def _stale(self, state: State, member: int) -> Iterator[Step]:
        if state.frozen is None:
            for cluster in (HUB, member):
                view = View(member, cluster, state.objects[cluster])
                told = f"{CLUSTERS[member]}: its view of {CLUSTERS[cluster]} stands still"
                yield told, state._replace(frozen=view)

    def _thaw(self, state: State) -> Iterator[Step]:
        if state.frozen:
            yield "the view is fresh again", state._replace(frozen=None)

    def _grace(self, state: State) -> Iterator[Step]:
        hub = self.on(state, HUB)
        if hub is not None and going(hub) and state.late != hub["metadata"]["uid"]:
            yield "the grace is over", state._replace(late=hub["metadata"]["uid"])

    def _lose(self, state: State, cluster: int) -> Iterator[Step]:
        if cluster != HUB and self._copy(state, cluster):
            yield f"{CLUSTERS[cluster]} loses its copy", self.put(state, cluster, 0)

    # -- users, an operator and the controller on the processor

    def _native(self, state: State, cluster: int) -> Obj | None:
        """What a user may change on this cluster."""
        obj = self.on(state, cluster)
        native = obj is not None and stands_on(origin_of(obj, cluster)) == cluster
        return obj if native and not going(obj) else None

    def _copy(self, state: State, cluster: int) -> bool:
        obj = self.on(state, cluster)
        return obj is not None and not going(obj) and stands_on(origin_of(obj, cluster)) != cluster

    def _create(self, state: State, cluster: int) -> Iterator[Step]:
        if not state.objects[cluster]:
            yield f"user: creates on {CLUSTERS[cluster]}", self.born(state, cluster, FRESH)

    def _delete(self, state: State, cluster: int) -> Iterator[Step]:
        if obj := self._native(state, cluster):
            yield f"user: deletes on {CLUSTERS[cluster]}", self.put(state, cluster, self.keep(rules.deleted(obj)))

    def _edit(self, state: State, cluster: int) -> Iterator[Step]:
        if self._native(state, cluster):
            yield f"user: edits on {CLUSTERS[cluster]}", self._changed(state, cluster, _edited)

    def _drift(self, state: State, cluster: int) -> Iterator[Step]:
        if self._copy(state, cluster):
            yield f"somebody: spoils the copy on {CLUSTERS[cluster]}", self._changed(state, cluster, _spoiled)

    def _release(self, state: State) -> Iterator[Step]:
        obj = self.on(state, self.processor)
        if obj is not None and "operator" in rules.finalizers(obj):
            yield "operator: lets go", self._changed(state, self.processor, _let_go)

    def _operator(self, state: State) -> Iterator[Step]:
        obj = self.on(state, self.processor)
        if obj is not None and not going(obj) and "operator" not in rules.finalizers(obj):
            yield "operator: holds", self._changed(state, self.processor, _held)

    def _report(self, state: State) -> Iterator[Step]:
        obj = self.on(state, self.processor)
        if obj is not None and names.STATUS_PENDING not in (obj["metadata"].get("annotations") or {}):
            uid = origin_of(obj, self.processor)
            yield "controller: reports", self._changed(state, self.processor, lambda o: _reported(o, uid))

    def _changed(self, state: State, cluster: int, change: Callable[[Obj], Obj]) -> State:
        old = self.on(state, cluster)
        assert old is not None
        after = self.put(state, cluster, self.keep(rules.changed(old, change(old), has_status=self.has_status)))
        judge_state(self, after)
        return after


def _effective(operations: list[Operation]) -> tuple[Operation, ...]:
    """As far as the executor goes with a plan: to a deletion, or a second patch of the same side."""
    done: list[Operation] = []
    touched: set[str] = set()
    for op in operations:
        if isinstance(op, Tell):
            continue
        if isinstance(op, Patch) and op.side in touched:
            break
        done.append(op)
        if isinstance(op, Create | Patch):
            touched.add(op.side)
        if isinstance(op, Delete):
            break
    return tuple(done)


FRESH: Obj = {
    "apiVersion": "demo.tmc.io/v1",
    "kind": "TaskQueue",
    "metadata": {"name": "a", "namespace": "default"},
    "spec": {"value": 0},
}


def _edited(obj: Obj) -> Obj:
    return {**obj, "spec": {"value": obj["spec"]["value"] + 1}}


def _spoiled(obj: Obj) -> Obj:
    return {**obj, "spec": {"value": -1}}


def _held(obj: Obj) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "finalizers": [*rules.finalizers(obj), "operator"]}}


def _let_go(obj: Obj) -> Obj:
    left = [f for f in rules.finalizers(obj) if f != "operator"]
    meta = {k: v for k, v in obj["metadata"].items() if k != "finalizers"}
    return {**obj, "metadata": {**meta, "finalizers": left} if left else meta}


def _reported(obj: Obj, uid: str) -> Obj:
    done = (obj.get("status") or {}).get("done", 0) + 1
    return {**obj, "status": {"of": uid, "done": done, "observedGeneration": obj["metadata"]["generation"]}}
