# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a member that leaves takes along from the hub, so that nothing waits for it for ever.

Its finalizer on every object, its name in every tombstone, and, when asked for, the objects that came from it. Admission
lets nobody but its syncer do that, so this is done as its syncer, with a token of that account.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _ownership as ownership
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _tokens
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._discovery import served
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, NotServed, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._removal import title
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CUSTOM_RESOURCE_DEFINITION,
    LEASE,
    SYNCED_RESOURCE,
    TOMBSTONE,
    Resource,
)

PATIENCE = 30.0  # seconds for which a write that others overtake is tried anew
PAUSE = 0.05
AT_ONCE = 8


@dataclass(frozen=True)
class Errand:
    """One object of the hub and what is to be done with it: ``let go``, ``tell`` (a tombstone) or ``delete``."""

    verb: str
    resource: Resource
    obj: Object

    @property
    def title(self) -> str:
        return f"{self.verb} {title(self.resource, self.obj)}"


class Farewell:
    """Everything on the hub that knows member ``name``. Raises TmcError."""

    def __init__(self, hub: Client, name: str) -> None:
        self._hub = hub
        self._name = name
        self._finalizer = ownership.PREFIX + name

    def errands(self, *, origin_uid: str | None = None) -> list[Errand]:
        """What there is to do; with ``origin_uid`` also the deletion of what came from the member's cluster."""
        found = [Errand("tell", TOMBSTONE, obj) for obj in self._tombstones()]
        lease = self._hub.get(LEASE, f"syncer-{self._name}", names.HUB_NAMESPACE)
        found += [Errand("delete", LEASE, lease)] if lease else []
        for resource in self._custom():
            for obj in self._hub.list(resource, metadata_only=True):
                if self._finalizer in (obj["metadata"].get("finalizers") or []):
                    found.append(Errand("let go", resource, obj))
                if origin_uid and self._comes_from(obj) == origin_uid and not obj["metadata"].get("deletionTimestamp"):
                    found.append(Errand("delete", resource, obj))
        return found

    def origin_uid(self) -> str | None:
        """Identity of the member's cluster as the copies of its objects tell it; None when there is none of them."""
        copies = [obj for resource in self._custom() for obj in self._hub.list(resource, metadata_only=True)]
        uids = sorted({uid for obj in copies if (uid := self._comes_from(obj))})
        if len(uids) > 1:
            raise TmcError(
                f"objects on '{self._hub.label}' that came from '{self._name}' name several clusters as their origin "
                f"({', '.join(uids)}, annotation {ownership.ORIGIN_CLUSTER_UID}): which of them leaves can be told "
                "while its cluster answers; set objects to keep, or remove those that are to go yourself"
            )
        return uids[0] if uids else None

    def run(self, errands: list[Errand]) -> None:
        """Carries them out: as the member's syncer for kinds that are carried, as ourselves for others."""
        if not errands:
            return
        carried = {obj["metadata"]["name"] for obj in self._hub.list(SYNCED_RESOURCE, metadata_only=True)}
        syncer = self._syncer()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            clients = [syncer if self._is_guarded(errand, carried) else self._hub for errand in errands]
            for _done in pool.map(self._run, errands, clients):
                pass

    def _is_guarded(self, errand: Errand, carried: set[str]) -> bool:
        return errand.resource == TOMBSTONE or errand.resource.name in carried

    def _syncer(self) -> Client:
        """The hub, as the account of the member's syncer."""
        account = f"syncer-{self._name}"
        wish = _tokens.Wish("", names.HUB_NAMESPACE, account, self._hub.label, _tokens.SHORTEST_LIFETIME)
        nobody: Any = dict.fromkeys(("cert_pem", "key_pem", "username", "password", "impersonate_user"))
        token = _tokens.request_token(self._hub, wish)
        return Client(replace(self._hub.connection, **nobody, impersonate_groups=(), token=token))

    def _run(self, errand: Errand, client: Client) -> None:
        act: dict[str, Callable[[Client, Errand], None]] = {
            "let go": self._let_go,
            "tell": self._tell,
            "delete": self._delete,
        }
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                act[errand.verb](client, errand)
                return
            except ApiError as error:
                if error.status == 404:
                    return
                if error.status not in (409, 429) or time.monotonic() > deadline:
                    raise TmcError(f"cannot {errand.title} on '{self._hub.label}': {error}") from error
            time.sleep(PAUSE)

    def _let_go(self, client: Client, errand: Errand) -> None:
        metadata = errand.obj["metadata"]
        where = metadata.get("namespace", "")
        live = client.get(errand.resource, metadata["name"], where)
        held = (live or {"metadata": {}})["metadata"].get("finalizers") or []
        if live is None or live["metadata"]["uid"] != metadata["uid"] or self._finalizer not in held:
            return
        version = {"resourceVersion": live["metadata"]["resourceVersion"]}
        left = [each for each in held if each != self._finalizer]
        client.patch(errand.resource, metadata["name"], {"metadata": version | {"finalizers": left}}, where)

    def _tell(self, client: Client, errand: Errand) -> None:
        live = client.get(TOMBSTONE, errand.obj["metadata"]["name"])
        if live is None or self._name not in live["spec"]["pending"]:
            return
        pending = [member for member in live["spec"]["pending"] if member != self._name]
        version = live["metadata"]["resourceVersion"]
        if pending:
            patch = {"metadata": {"resourceVersion": version}, "spec": {"pending": pending}}
            client.patch(TOMBSTONE, live["metadata"]["name"], patch)
        else:
            client.delete(TOMBSTONE, live["metadata"]["name"], uid=live["metadata"]["uid"])

    def _delete(self, client: Client, errand: Errand) -> None:
        metadata = errand.obj["metadata"]
        client.delete(errand.resource, metadata["name"], metadata.get("namespace", ""), uid=metadata["uid"])

    def _comes_from(self, obj: Object) -> str | None:
        """Identity of the member's cluster in an object that came from there; None for any other object."""
        notes = obj["metadata"].get("annotations") or {}
        return (
            notes.get(ownership.ORIGIN_CLUSTER_UID)
            if ownership.labels(obj).get(ownership.ORIGIN) == self._name
            else None
        )

    def _tombstones(self) -> list[Object]:
        try:
            found = self._hub.list(TOMBSTONE)
        except NotServed:
            return []
        return [obj for obj in found if self._name in (obj["spec"].get("pending") or [])]

    def _custom(self) -> list[Resource]:
        known = {crd["metadata"]["name"] for crd in self._hub.list(CUSTOM_RESOURCE_DEFINITION, metadata_only=True)}
        groups = {name.partition(".")[2] for name in known} - {names.FABRIC_GROUP}
        return [resource for resource in served(self._hub, groups) if resource.name in known]
