# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The two kinds that the controller reads, and what it takes from a SyncedResource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tmc.api.resource import Resource
from tmc.controller.model import Term
from tmc.core.keys import ObjectKey

TASK_QUEUES: Final = Resource("demo.tmc.io", "v1", "taskqueues", "TaskQueue")
SYNCED_RESOURCES: Final = Resource(
    "fabric.tmc.io", "v1alpha1", "syncedresources", "SyncedResource", namespaced=False, has_status=False
)
TERM_KEY: Final = ObjectKey("", TASK_QUEUES.name)


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether this cluster's controller may work: under which term, or else (`term` is None) why not.

    `moved`: because another cluster is the processor.
    """

    term: Term | None
    reason: str = ""
    moved: bool = False


def standing(cluster: str, synced_resource: Mapping[str, Any] | None) -> Standing:
    """What the SyncedResource, as this cluster has it, means for the controller of `cluster`."""
    name = TASK_QUEUES.name
    if synced_resource is None:
        return Standing(None, f"waiting: there is no SyncedResource '{name}' on cluster '{cluster}' yet")
    spec = synced_resource.get("spec") or {}
    processor, epoch = spec.get("processor"), spec.get("epoch")
    if not isinstance(processor, str) or not isinstance(epoch, int):
        return Standing(None, f"waiting: SyncedResource '{name}' has no usable spec.processor and spec.epoch")
    if processor != cluster:
        return Standing(None, f"idle: the processor of {name} is '{processor}', this is '{cluster}'", moved=True)
    return Standing(Term(processor, epoch))
