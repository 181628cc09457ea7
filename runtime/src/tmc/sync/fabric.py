# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the hub says of the fabric (members, kinds, tombstones), and the mirror of the kinds on the member.

The kinds (`SyncedResource`) are mirrored down, because the controllers of the member read them there, and admission
reads what follows from them: both must know the processor and its epoch while the hub is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal

from tmc.api.errors import AlreadyExists, Conflict, Forbidden, Invalid
from tmc.api.resource import Resource
from tmc.core.keys import ObjectKey, key_of
from tmc.core.reflector import Reflector
from tmc.core.settings import SettingsError
from tmc.core.workqueue import WorkQueue
from tmc.sync import names
from tmc.sync.brake import Brake
from tmc.sync.buried import Buried
from tmc.sync.definitions import Definitions
from tmc.sync.ends import Ends
from tmc.sync.mirror import HUB_UID, annotated, is_over, mirrored, stood_down
from tmc.sync.objects import Object, annotations_of, is_deleting, metadata, status_of
from tmc.sync.parameters import keep_parameters
from tmc.sync.patches import guarded
from tmc.sync.scope import HubScope
from tmc.sync.synced_kind import SyncedKind, synced_kind

log = logging.getLogger(__name__)

SYNCED_RESOURCES = Resource("fabric.tmc.io", "v1alpha1", "syncedresources", "SyncedResource", namespaced=False)
MEMBERS = Resource("fabric.tmc.io", "v1alpha1", "members", "Member", namespaced=False)
TOMBSTONES = Resource("fabric.tmc.io", "v1alpha1", "tombstones", "Tombstone", namespaced=False, has_status=False)
BRAKED = "tmc.io/deletions-braked"
RESTORED = ":"  # behind the uid: this hub is known at the version that follows, which it went back behind


class Fabric:
    """Reflections of the hub's fabric objects, and the mirror on the member.

    `on_change` is called after any change of members, kinds or tombstones. `buried`: the tombstones to acknowledge.
    """

    def __init__(self, ends: Ends, *, floor: float, on_change: Callable[[], None]) -> None:
        self._ends = ends
        self._floor = floor
        self._on_change = on_change
        self._mirror_queue: WorkQueue[ObjectKey] = WorkQueue("mirror")
        hub, member = ends.clients["hub"], ends.clients["member"]
        self.unreadable: dict[str, str] = {}  # why a declared kind is left out, by name
        self.refused: dict[str, str] = {}  # why the member's cluster does not take the mirror of a kind, by name
        self._doubted = False
        self._brakes: dict[str, Brake] = {}
        self._levelled: dict[str, int] = {}  # the epoch for which the copies of a kind are level with the hub
        self._kinds = Reflector(hub, SYNCED_RESOURCES, on_change=self._kind_changed, floor=floor)
        self._mirror = Reflector(member, SYNCED_RESOURCES, on_change=self._kind_changed, floor=floor)
        self._members = Reflector(hub, MEMBERS, on_change=self._changed, floor=floor)
        self._tombstones = Reflector(hub, TOMBSTONES, on_change=self._tombstone_changed, floor=floor)
        self.buried = Buried(ends.member)
        self.definitions = Definitions(ends.clients, floor=floor, on_change=on_change)
        self._scope = HubScope(hub, self.definitions, floor=floor, on_change=on_change)

    async def run(self) -> None:
        """Reflect and mirror until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in (self._kinds, self._mirror, self._members, self._tombstones):
                group.create_task(reflector.run())
            group.create_task(self._scope.run())
            await self.wait_synced()
            group.create_task(self._mirror_all())
            await self._mirror_queue.run(self._mirror_down, workers=1)

    async def _mirror_all(self) -> None:
        """Every floor, because nothing tells of a ConfigMap that somebody took away."""
        while True:
            declared = self._kinds.store.keys()
            for key in declared:
                self._mirror_queue.add(key)
            await asyncio.sleep(self._floor)

    async def wait_synced(self) -> None:
        for reflector in (self._kinds, self._mirror, self._members, self._tombstones):
            await reflector.wait_synced()

    @property
    def kinds(self) -> dict[str, SyncedKind]:
        """The kinds to carry, by name; one whose declaration cannot be read is left out and logged."""
        found: dict[str, SyncedKind] = {}
        known, self.unreadable = self.unreadable, {}
        for obj in self._objects(self._kinds):
            if is_deleting(obj):
                continue
            try:
                found[metadata(obj)["name"]] = synced_kind(obj)
            except (SettingsError, KeyError, ValueError, TypeError) as error:
                name = metadata(obj)["name"]
                self.unreadable[name] = str(error)
                if known.get(name) != str(error):
                    log.error("synced resource cannot be read", extra={"object": metadata(obj), "error": str(error)})
        return found

    @property
    def members(self) -> frozenset[str]:
        joined = self._members.store.keys()
        return frozenset(key.name for key in joined)

    def away(self, name: str) -> frozenset[str]:
        """The members that are not at work on a kind, as the hub tells: they are not ready, or do not carry it."""
        declared = self.declaration(name)
        entries = status_of(declared).get("members") or () if declared is not None else ()
        carrying = {entry["name"] for entry in entries if entry["state"] == "Accepted"}
        return frozenset(m for m in self.members if m not in carrying or not _is_ready(self.member(m)))

    def member(self, name: str) -> Object | None:
        return self._members.store.get(ObjectKey("", name))

    def declaration(self, name: str) -> Object | None:
        """The hub's `SyncedResource` of this name."""
        return self._kinds.store.get(ObjectKey("", name))

    def mirror(self, name: str) -> Object | None:
        """The member's `SyncedResource` of this name."""
        return self._mirror.store.get(ObjectKey("", name))

    def remember(self, resource: Resource, obj: Object) -> None:
        """Take in the answer to an own write of a `Member` or a `SyncedResource` on the hub."""
        (self._members if resource == MEMBERS else self._kinds).store.remember(obj)

    @property
    def known_hub_uid(self) -> str:
        """Identity of the hub that this member was joined to, as the mirror remembers it; empty at first contact."""
        known = {annotations_of(obj).get(HUB_UID, "") for obj in self._objects(self._mirror)} - {""}
        strangers = known - {self._ends.hub_uid}
        return next(iter(sorted(strangers or known)), "")

    @property
    def quarantined(self) -> bool:
        """The hub is another one than this member knows, or an older one: nothing is deleted until it is accepted."""
        return self.quarantine != ""

    @property
    def quarantine(self) -> Literal["", "UnknownHub", "HubRestored"]:
        """Why the hub is not trusted; empty: it is."""
        known = self.known_hub_uid
        if known in ("", self._ends.hub_uid):
            return "HubRestored" if self._doubted else ""
        return "HubRestored" if known.partition(RESTORED)[0] == self._ends.hub_uid else "UnknownHub"

    def brake(self, name: str) -> Brake:
        """The brake on deletions of this kind; to be asked before a copy goes without evidence of its own."""
        if name not in self._brakes:
            brake = self._brakes[name] = Brake(on=lambda: self._mirror_queue.add(ObjectKey("", name)))
            mirror = self._mirror.store.get(ObjectKey("", name))
            if mirror is not None and BRAKED in annotations_of(mirror):
                brake.put_on(annotations_of(mirror)[BRAKED])
        return self._brakes[name]

    @property
    def braked(self) -> dict[str, str]:
        """The kinds whose deletions wait for a person, with the reason."""
        return {name: brake.message for name, brake in sorted(self._brakes.items()) if brake.message}

    def doubt(self) -> None:
        """The hub has lost what this member knows of: it is not trusted from here on."""
        if not self._doubted:
            self._doubted = True
            self._on_change()

    async def note_restore(self, version: int) -> None:
        """Note on the mirrors, for all syncers to come, that the hub is older than this member's knowledge of it.

        Raises:
            ApiError, Unreachable: the member's own cluster did not take it.
        """
        mirrors = await self._ends.clients["member"].list(SYNCED_RESOURCES, metadata_only=True)
        for mirror in mirrors.items:
            await self._mark(key_of(mirror), f"{self._ends.hub_uid}{RESTORED}{version}")

    async def _mark(self, key: ObjectKey, text: str) -> None:
        client = self._ends.clients["member"]
        while True:
            mirror = await client.get(SYNCED_RESOURCES, key.name)
            if annotations_of(mirror).get(HUB_UID, self._ends.hub_uid) != self._ends.hub_uid:
                return  # it knows another hub, or of a restore already
            patch = guarded(annotated(mirror, HUB_UID, text), mirror)
            try:
                request = client.patch(SYNCED_RESOURCES, key.name, "", patch, field_manager=names.FIELD_MANAGER)
                self._mirror.store.remember(await request)
                return
            except Conflict:
                continue

    @property
    def hub_namespaces_terminating(self) -> frozenset[str]:
        """The hub's namespaces that are being deleted, as far as was seen: a deletion there is no evidence."""
        return self._scope.namespaces_terminating

    def hub_namespace_terminating(self, namespace: str) -> bool:
        """Whether this namespace is being deleted on the hub, as far as was seen."""
        return namespace in self._scope.namespaces_terminating

    def hub_kind_terminating(self, name: str) -> bool:
        """Whether the hub is losing the whole kind, as far as was seen: a deletion is no evidence then."""
        return self._scope.kind_terminating(name)

    async def confirms_deletion(self, name: str, namespace: str) -> bool:
        """Whether a live read, begun after the call, shows that the hub loses neither the kind nor the namespace.

        To be asked before a copy is deleted because the hub's object is being deleted: what this member has seen of
        kinds and namespaces may be older than what it has seen of the object. What was read is known to the facts
        above afterwards. Reads are shared by those who ask meanwhile.

        Raises:
            ApiError, Unreachable: the hub does not answer.
        """
        return await self._scope.confirms(name, namespace)

    async def confirms_own_deletion(self, name: str) -> bool:
        """Whether a live read, begun after the call, shows that the member itself is not losing the whole kind.

        To be asked before anything is deleted on the hub because its origin object is being deleted here: when somebody
        removes the kind from this member, that says nothing of each object.

        Raises:
            ApiError, Unreachable: the member's own cluster does not answer.
        """
        return not await self.definitions.is_going("member", name)

    def takes_over(self, name: str) -> bool:
        """The hub names this member as the processor of the kind, and its own mirror does not yet.

        Nor does a mirror that names it for a term with another one in between: that was some other cluster's.
        """
        key = ObjectKey("", name)
        kind, mirror = self._kinds.store.get(key), self._mirror.store.get(key)
        if kind is None or mirror is None or kind["spec"]["processor"] != self._ends.member:
            return False
        return bool(mirror["spec"]["processor"] != self._ends.member or is_over(mirror, kind["spec"]))

    async def stand_by(self, name: str) -> None:
        """Nobody works here on a kind that this member takes over, until it is `levelled`.

        Raises:
            ApiError, Unreachable: the member's own cluster did not take it.
        """
        key, client = ObjectKey("", name), self._ends.clients["member"]
        kind, mirror = self._kinds.store.get(key), self._mirror.store.get(key)
        if kind is None or mirror is None or self.quarantined or not self.takes_over(name):
            return
        if mirror["spec"]["processor"] == self._ends.member:
            ops = mirrored(mirror, stood_down(kind["spec"], self._ends.hub), self._ends.hub_uid)
            patch = guarded(ops, mirror)
            mirror = await client.patch(SYNCED_RESOURCES, name, "", patch, field_manager=names.FIELD_MANAGER)
            self._mirror.store.remember(mirror)
        await keep_parameters(client, mirror)

    def term(self, name: str) -> int | None:
        """The epoch of a kind as the hub says it; None: it says none, or is not trusted and not followed."""
        kind = self.declaration(name)
        return None if kind is None or self.quarantined else int(kind["spec"]["epoch"])

    def levelled(self, name: str, epoch: int) -> None:
        """The copies of a kind are level with the hub as of this epoch: if it still is, its controller may begin."""
        if self.term(name) == epoch:
            self._levelled[name] = epoch
            self._mirror_queue.add(ObjectKey("", name))

    @staticmethod
    def _objects(reflector: Reflector) -> list[Object]:
        store = reflector.store
        keys = store.keys()
        return [obj for key in keys if (obj := store.get(key)) is not None]

    def _changed(self, _: ObjectKey) -> None:
        self._on_change()

    def _tombstone_changed(self, key: ObjectKey) -> None:
        self.buried.learn(key.name, self._tombstones.store.get(key))
        self._on_change()

    def _kind_changed(self, key: ObjectKey) -> None:
        self._mirror_queue.add(key)
        self._on_change()

    async def _keep_brake(self, key: ObjectKey) -> None:
        """Note on the mirror that the brake is on; a note that was taken off again releases it."""
        mirror = self._mirror.store.get(key)
        if mirror is None or (BRAKED not in annotations_of(mirror) and key.name not in self._brakes):
            return
        brake = self.brake(key.name)
        if not brake.message:
            return
        if BRAKED in annotations_of(mirror):
            brake.noted = True  # before this process began, or by a write whose answer was lost
            self._on_change()
            return
        if brake.noted:
            log.warning("deletions that were held back are let through", extra={"kind": key.name})
            brake.release()
        else:
            patch = guarded(annotated(mirror, BRAKED, brake.message), mirror)
            client = self._ends.clients["member"]
            request = client.patch(SYNCED_RESOURCES, key.name, "", patch, field_manager=names.FIELD_MANAGER)
            await self._remembered(request, key)
            brake.noted = BRAKED in annotations_of(self._mirror.store.get(key) or {})
        self._on_change()

    async def _mirror_down(self, key: ObjectKey) -> None:
        await self._keep_brake(key)
        kind = self._kinds.store.get(key)
        if kind is None or is_deleting(kind) or self.quarantined:
            self._note_refusal(key.name, "")
            return
        if self.takes_over(key.name) and self._levelled.get(key.name) != kind["spec"]["epoch"]:
            return  # `levelled` comes back to it
        # The mirror first: its CRD refuses an epoch that goes back, and then the parameters must not either.
        try:
            await self._mirror_spec(key, kind)
        except (Forbidden, Invalid) as error:
            self._note_refusal(key.name, str(error))
            raise
        self._note_refusal(key.name, "")
        await keep_parameters(self._ends.clients["member"], kind)

    def _note_refusal(self, name: str, why: str) -> None:
        if why == self.refused.get(name, ""):
            return
        if why:
            self.refused[name] = why
        else:
            del self.refused[name]
        self._on_change()

    async def _mirror_spec(self, key: ObjectKey, kind: Object) -> None:
        client, mirror = self._ends.clients["member"], self._mirror.store.get(key)
        if mirror is None:
            body = {
                "apiVersion": "fabric.tmc.io/v1alpha1",
                "kind": "SyncedResource",
                "metadata": {"name": key.name, "annotations": {HUB_UID: self._ends.hub_uid}},
                "spec": kind["spec"],
            }
            await self._remembered(client.create(SYNCED_RESOURCES, body, field_manager=names.FIELD_MANAGER), key)
            return
        ops = mirrored(mirror, kind["spec"], self._ends.hub_uid)
        if ops:
            patch = client.patch(
                SYNCED_RESOURCES, key.name, "", guarded(ops, mirror), field_manager=names.FIELD_MANAGER
            )
            await self._remembered(patch, key)

    async def _remembered(self, request: Any, key: ObjectKey) -> None:
        try:
            self._mirror.store.remember(await request)
        except (Conflict, AlreadyExists):
            self._mirror.store.remember(await self._ends.clients["member"].get(SYNCED_RESOURCES, key.name))
            self._mirror_queue.add(key)


def _is_ready(member: Object | None) -> bool:
    conditions = status_of(member).get("conditions") or () if member is not None else ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def tombstone_body(kind: SyncedKind, key: ObjectKey, origin: tuple[str, str, str], pending: list[str]) -> Object:
    """A new `Tombstone`; `origin` is (cluster name, cluster uid, object uid)."""
    cluster, cluster_uid, uid = origin
    return {
        "apiVersion": "fabric.tmc.io/v1alpha1",
        "kind": "Tombstone",
        "metadata": {"name": names.tombstone_of(uid, cluster)},
        "spec": {
            "group": kind.group,
            "resource": kind.resource,
            "namespace": key.namespace,
            "name": key.name,
            "originCluster": cluster,
            "originClusterUID": cluster_uid,
            "pending": pending,
        },
    }
