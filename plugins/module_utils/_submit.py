# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out one submission of TaskQueues: look, write what differs, wait; many at the same time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _taskqueue
from ansible_collections.tmc.cross_cluster.plugins.module_utils._apply import contains
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, NotServed, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import TASK_QUEUE

Object = dict[str, Any]
Key = tuple[str, str]
# Up to here objects are asked for one by one; beyond it a list of the namespace is cheaper.
FEW = 10
ATTEMPTS = 5


def wait_spec() -> dict[str, Any]:
    """Argument spec of the fragment ``wait``."""
    return {
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "float", "default": 120.0},
        "wait_sleep": {"type": "float", "default": 0.5},
    }


def key_of(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


class Submission:
    """``run`` returns the module's result; an item that failed is in it, never an exception."""

    def __init__(self, client: Client, documents: list[Object], params: Object, check_mode: bool) -> None:
        self._client = client
        self._documents = {key_of(document): document for document in documents}
        self._params = params
        self._dry_run = check_mode
        self._live: dict[Key, Object] = {}
        self._before: dict[Key, Object] = {}

    def run(self) -> Object:
        self._live = look(self._client, list(self._documents))
        self._before = dict(self._live)
        handle = self._submit if self._params["state"] == "present" else self._remove
        with ThreadPoolExecutor(self._params["concurrency"]) as pool:
            items = dict(zip(self._documents, pool.map(lambda key: self._item(handle, key), self._documents)))
        waited = self._wait(items) if self._params["wait"] and not self._dry_run else None
        return self._result(items, waited)

    # -- one item -------------------------------------------------------------------------------------------------

    def _item(self, handle: Callable[[Key], str], key: Key) -> Object:
        error = ""
        try:
            action = handle(key)
        except NotServed:
            raise
        except TmcError as refused:
            action, error = "failed", str(refused)
        changed = action in ("created", "updated", "deleted")
        return {"namespace": key[0], "name": key[1], "action": action, "changed": changed, "error": error}

    def _submit(self, key: Key) -> str:
        for _attempt in range(ATTEMPTS):
            live = self._live.get(key)
            try:
                return self._create(key) if live is None else self._update(key, live)
            except ApiError as error:
                # Somebody else was faster: look again, and decide anew.
                if error.status != 409:
                    raise
            fresh = self._client.get(TASK_QUEUE, key[1], key[0])
            if fresh is None:
                self._live.pop(key, None)
            else:
                self._live[key] = fresh
        raise TmcError(f"TaskQueue {'/'.join(key)} keeps changing: {ATTEMPTS} conditional writes failed")

    def _create(self, key: Key) -> str:
        document = {field: value for field, value in self._documents[key].items() if field != "status"}
        self._live[key] = self._client.create(
            TASK_QUEUE, document, dry_run=self._dry_run, strict=self._params["strict"]
        )
        return "created"

    def _update(self, key: Key, live: Object) -> str:
        wanted = self._documents[key]
        marks = {
            field: wanted["metadata"][field] for field in ("labels", "annotations") if wanted["metadata"].get(field)
        }
        same_spec = live.get("spec") == _taskqueue.with_defaults(wanted["spec"])
        if same_spec and contains(live["metadata"], marks):
            return "unchanged"
        if live["metadata"].get("deletionTimestamp"):
            raise TmcError(f"TaskQueue {'/'.join(key)} is being deleted: wait until it is gone, then submit it again")
        # A merge patch would keep what the old spec had and the new one leaves out: say null for those.
        gone = dict.fromkeys(set(live.get("spec") or {}) - set(wanted["spec"]))
        version = {"resourceVersion": live["metadata"]["resourceVersion"]}
        patch = {"metadata": {**marks, **version}, "spec": {**gone, **wanted["spec"]}}
        self._live[key] = self._client.patch(
            TASK_QUEUE, key[1], patch, key[0], dry_run=self._dry_run, strict=self._params["strict"]
        )
        before, after = live["metadata"], self._live[key]["metadata"]
        written = self._dry_run or before["resourceVersion"] != after["resourceVersion"]
        return "updated" if written else "unchanged"

    def _remove(self, key: Key) -> str:
        live = self._live.get(key)
        if live is None:
            return "absent"
        if live["metadata"].get("deletionTimestamp"):
            return "unchanged"
        self._client.delete(TASK_QUEUE, key[1], key[0], uid=live["metadata"]["uid"], dry_run=self._dry_run)
        return "deleted"

    # -- all of them ----------------------------------------------------------------------------------------------

    def _wait(self, items: dict[Key, Object]) -> float:
        """Looks until every item that did not fail is as asked for; those that are not in time become failures."""
        start = time.monotonic()
        deadline = start + self._params["wait_timeout"]
        pending = [key for key, item in items.items() if not item["error"]]
        while True:
            seen = look(self._client, pending)
            self._forget_and_remember(pending, seen)
            pending = [key for key in pending if not self._is_done(key, seen.get(key))]
            if not pending or time.monotonic() >= deadline:
                break
            time.sleep(min(self._params["wait_sleep"], max(0.0, deadline - time.monotonic())))
        for key in pending:
            items[key] |= {"action": "failed", "error": self._not_in_time(self._live.get(key))}
        return round(time.monotonic() - start, 3)

    def _forget_and_remember(self, keys: list[Key], seen: dict[Key, Object]) -> None:
        for key in keys:
            self._live.pop(key, None)
        self._live.update(seen)

    def _is_done(self, key: Key, live: Object | None) -> bool:
        if self._params["state"] == "absent":
            before = self._before.get(key)
            return live is None or before is None or live["metadata"]["uid"] != before["metadata"]["uid"]
        phases = (self._params["wait_for"] or {}).get("phase")
        phase = phase_of(live)
        return phase in phases if phases else bool(phase)

    def _not_in_time(self, live: Object | None) -> str:
        after = f"not within {self._params['wait_timeout']:g} s"
        if self._params["state"] == "absent":
            held = ", ".join((live or {}).get("metadata", {}).get("finalizers") or []) or "nothing"
            return f"{after}: gone; finalizers that hold it: {held}"
        wanted = " or ".join((self._params["wait_for"] or {}).get("phase") or ["any"])
        return f"{after}: phase {wanted}; it is {phase_of(live) or 'not set'}; is the controller running?"

    def _result(self, items: dict[Key, Object], waited: float | None) -> Object:
        for key, item in items.items():
            live = self._live.get(key) or self._before.get(key) or {}
            item["uid"] = (live.get("metadata") or {}).get("uid", "")
            item["phase"] = phase_of(live)
        results = list(items.values())
        result: Object = {
            "changed": any(item["changed"] for item in results),
            "results": results,
            "counts": dict(Counter(item["action"] for item in results)),
            "failures": [item for item in results if item["error"]],
            "diff": self._diff(items),
        }
        if len(items) == 1 and self._params["state"] == "present" and self._live:
            result["result"] = next(iter(self._live.values()))
        return result | ({} if waited is None else {"waited": waited})

    def _diff(self, items: dict[Key, Object]) -> Object:
        changed = ["/".join(key) for key, item in items.items() if item["changed"]]
        present = self._params["state"] == "present"
        before = {"/".join(key): shown(obj) for key, obj in self._before.items()}
        after = {"/".join(key): shown(obj) for key, obj in self._live.items()} if present else {}
        return {
            "before": {name: before.get(name, {}) for name in changed},
            "after": {name: after.get(name, {}) for name in changed},
        }


def look(client: Client, keys: list[Key]) -> dict[Key, Object]:
    """What is there of ``keys``."""
    if len(keys) <= FEW:
        found = (client.get(TASK_QUEUE, name, namespace) for namespace, name in keys)
        return {key_of(obj): obj for obj in found if obj is not None}
    wanted = set(keys)
    listed = (obj for namespace in sorted({key[0] for key in keys}) for obj in client.list(TASK_QUEUE, namespace))
    return {key_of(obj): obj for obj in listed if key_of(obj) in wanted}


def phase_of(obj: Object | None) -> str:
    return str(((obj or {}).get("status") or {}).get("phase", ""))


def shown(obj: Object) -> Object:
    """What a diff tells: the parts that a submission decides."""
    metadata = obj.get("metadata") or {}
    return {
        "labels": metadata.get("labels") or {},
        "annotations": metadata.get("annotations") or {},
        "spec": obj.get("spec"),
    }
