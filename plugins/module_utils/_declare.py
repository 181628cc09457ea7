# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what a SyncedResource and the ConfigMap of its kind are to say, conditionally: the ConfigMap, the fence, first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _apply, _fabric, _fence, _policy
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import CONFIG_MAP, SYNCED_RESOURCE

PATIENCE = 10.0  # seconds for which a conditional write is tried anew
PAUSE = 0.05  # seconds between two tries

Plan = Callable[[], tuple[list[_apply.Change], Object]]


def due(name: str, live: Object | None, fence: Object | None, spec: Object, *, hub: bool) -> list[_apply.Change]:
    """The writes, in their order, after which `live` (a SyncedResource) and `fence` (its ConfigMap) say `spec`.

    On a member a ConfigMap that is there already is its syncer's.
    """
    parameters = _policy.parameters(name, spec)
    if "failover" in ((fence or {}).get("data") or {}):
        parameters["data"].setdefault("failover", "")  # a merge patch leaves what it does not name
    changes = []
    if fence is None or (hub and not _fence.holds(fence, parameters)):
        changes.append(_apply.Change(CONFIG_MAP, fence, parameters))
    if live is None or not _apply.contains(live["spec"], spec):
        changes.append(_apply.Change(SYNCED_RESOURCE, live, _fabric.synced_resource(name, spec)))
    return changes


def declare(client: Client, name: str, plan: Plan) -> Object:
    """Compare and swap what `plan` says, the spec that holds afterwards.

    Whoever else writes meanwhile is seen: then `plan` is asked again. Raises TmcError when that does not end.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        changes, spec = plan()
        try:
            for change in changes:
                spec = _write(client, name, change).get("spec", spec)
            return spec
        except ApiError as error:
            if not _is_overtaken(name, error) or time.monotonic() > deadline:
                raise TmcError(f"cannot declare {name} on '{client.label}': {error}") from error
        time.sleep(PAUSE)


def _is_overtaken(name: str, error: ApiError) -> bool:
    """By another's write; or admission, which follows its own watch, has not seen our ConfigMap yet."""
    return error.status == 409 or f"'tmc-term.{name}'" in str(error)


def _write(client: Client, name: str, change: _apply.Change) -> Any:
    wanted = change.after or {}
    if change.before is None:
        return client.create(change.resource, wanted, strict=True)
    content = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind", "metadata")}
    version = {"resourceVersion": change.before["metadata"]["resourceVersion"], "labels": wanted["metadata"]["labels"]}
    where = wanted["metadata"].get("namespace", "")
    return client.patch(change.resource, name, {"metadata": version, **content}, where, strict=True)
