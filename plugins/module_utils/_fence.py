# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The terms of a processor: two objects remember them on the hub, the ConfigMap (the fence) and the SyncedResource.

The ConfigMap is written first and admission goes by it, so a run that ends between the two has fenced off the old
processor already; the next run finds the term that was begun and completes it. The ConfigMap outlives the declaration
of the kind, as the status of objects does. Pure functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._apply import contains

Object = dict[str, Any]

_EPOCH = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Term:
    """A processor and the fencing number of its term."""

    processor: str
    epoch: int


def of_config_map(config_map: Object | None) -> list[Term]:
    """The term that a ConfigMap holds; none when there is no ConfigMap or its data cannot be read."""
    data = (config_map or {}).get("data") or {}
    if not data.get("processor") or not _EPOCH.fullmatch(data.get("epoch", "")):
        return []
    return [Term(data["processor"], int(data["epoch"]))]


def of_synced_resource(live: Object | None) -> list[Term]:
    """The term that a SyncedResource holds; none when there is no SyncedResource."""
    return [Term(live["spec"]["processor"], int(live["spec"]["epoch"]))] if live else []


def epoch_for(processor: str, known: list[Term]) -> int:
    """The epoch under which ``processor`` works: that of the newest known term if it is its own, else the next one."""
    newest = max((term.epoch for term in known), default=0)
    holders = {term.processor for term in known if term.epoch == newest}
    return newest if holders == {processor} else newest + 1


def holds(live: Object, wanted: Object) -> bool:
    """Whether a live ConfigMap is as wanted: every key is there, also one with an empty text, which admission reads."""
    data = live.get("data") or {}
    labels: Object = live["metadata"].get("labels") or {}
    return wanted["data"].items() <= data.items() and contains(labels, wanted["metadata"]["labels"])
