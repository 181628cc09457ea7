# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing objects of one cluster, or only saying which: with a journal, a deadline and what hangs by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._ownership import release
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import Resource

POLL = 0.1
AT_ONCE = 8

Found = tuple[Resource, Object]


@dataclass
class Journal:
    """What was (in check mode: would be) done, one line an object."""

    removed: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.removed or self.released)


class Remover:
    """Writes to one cluster. Every deletion has a uid, every patch a resourceVersion. Raises TmcError."""

    def __init__(self, client: Client, *, check_mode: bool, timeout: float) -> None:
        self.client = client
        self.journal = Journal()
        self.check_mode = check_mode
        self._timeout = timeout
        self._gone: set[str] = set()  # uids

    def is_gone(self, obj: Object) -> bool:
        """Whether the object was removed here, or would have been."""
        return obj["metadata"]["uid"] in self._gone

    def remove(self, found: list[Found], *, propagation: str = "Background", wait: bool = True) -> None:
        """Delete these objects, several at once, and wait until the server has them no longer."""
        self.journal.removed += [title(resource, obj) for resource, obj in found]
        self._gone |= {obj["metadata"]["uid"] for _resource, obj in found}
        if self.check_mode:
            return
        self._each(found, lambda resource, obj: self._delete(resource, obj, propagation))
        if wait:
            self._await_gone(found)

    def release(self, found: list[Found], *, whole: bool = False, told: bool = True) -> None:
        """Take our marks off these objects (see _ownership.release)."""
        marked = [(resource, obj) for resource, obj in found if release(obj, whole=whole)]
        if told:
            self.journal.released += [title(resource, obj) for resource, obj in marked]
        if not self.check_mode:
            self._each(marked, lambda resource, obj: self._release(resource, obj, whole))

    def _each(self, found: list[Found], act: Callable[[Resource, Object], None]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _done in pool.map(lambda pair: act(*pair), found):
                pass

    def _delete(self, resource: Resource, obj: Object, propagation: str) -> None:
        metadata = obj["metadata"]
        where = metadata.get("namespace", "")
        uid = metadata["uid"]
        self._patiently(
            f"delete {title(resource, obj)}",
            lambda: self.client.delete(resource, metadata["name"], where, uid=uid, propagation=propagation),
            lambda error: error.status == 409,  # the name is another object's by now: ours is gone
        )

    def _release(self, resource: Resource, obj: Object, whole: bool) -> None:
        metadata = obj["metadata"]
        where, name, uid = metadata.get("namespace", ""), metadata["name"], metadata["uid"]

        def attempt() -> None:
            live = self.client.get(resource, name, where)
            patch = release(live, whole=whole) if live and live["metadata"]["uid"] == uid else {}
            if live and patch:
                version = {"resourceVersion": live["metadata"]["resourceVersion"]}
                self.client.patch(resource, name, {"metadata": version | patch}, where)

        self._patiently(f"release {title(resource, obj)}", attempt, lambda error: error.status == 404)

    def _patiently(self, what: str, attempt: Callable[[], Any], is_done: Callable[[ApiError], bool]) -> None:
        """Repeats what may succeed shortly: others' writes, and policies that were removed a moment ago."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                attempt()
                return
            except ApiError as error:
                if is_done(error):
                    return
                passing = error.status in (409, 429) or error.status >= 500 or "ValidatingAdmissionPolicy" in str(error)
                if not passing or time.monotonic() > deadline:
                    raise TmcError(f"cannot {what} on '{self.client.label}': {error}") from error
            time.sleep(POLL)

    def _await_gone(self, found: list[Found]) -> None:
        deadline = time.monotonic() + self._timeout
        waiting = found
        while waiting := self._still_there(waiting):
            if time.monotonic() > deadline:
                lines = "\n".join(f"- {hanging(resource, obj)}" for resource, obj in waiting[:20])
                raise TmcError(
                    f"{len(waiting)} object(s) on '{self.client.label}' are still there after {self._timeout:g} s; "
                    f"remove what holds them and run again:\n{lines}"
                )
            time.sleep(POLL)

    def _still_there(self, found: list[Found]) -> list[Found]:
        """Those of ``found`` that the server still has, as they are now."""
        left: list[Found] = []
        for resource in dict.fromkeys(resource for resource, _obj in found):
            uids = {obj["metadata"]["uid"] for each, obj in found if each == resource}
            left += [(resource, obj) for obj in self._list(resource) if obj["metadata"]["uid"] in uids]
        return left

    def _list(self, resource: Resource) -> list[Object]:
        try:
            return self.client.list(resource, metadata_only=True)
        except ApiError as error:
            if error.status == 404:  # the kind went with its CRD
                return []
            raise


def title(resource: Resource, obj: Object) -> str:
    """``Kind namespace/name``."""
    metadata = obj["metadata"]
    where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{resource.kind} {where}{metadata['name']}"


def hanging(resource: Resource, obj: Object) -> str:
    finalizers = obj["metadata"].get("finalizers") or []
    why = f"finalizers {', '.join(finalizers)}" if finalizers else "no finalizers: is the controller manager running?"
    return f"{title(resource, obj)} ({why})"
