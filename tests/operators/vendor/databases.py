# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""An operator as kopf's users write them. It knows one cluster and nothing of any fabric.

Progress in status, a finalizer of kopf's, a retry, a field handler, a timer.
"""

from __future__ import annotations

import os
from typing import Any

import kopf

KIND = ("example.org", "v1", "databases")
GATE = os.environ.get("OPERATOR_GATE", "")  # while this file is there, deletion is not finished


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.progress_storage = kopf.StatusProgressStorage(field="status.kopf-progress")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="databases.example.org")
    settings.persistence.finalizer = "databases.example.org/cleanup"
    settings.posting.enabled = True


@kopf.on.create(*KIND)
def create(spec: kopf.Spec, name: str, uid: str, retry: int, patch: kopf.Patch, **_: Any) -> dict[str, Any]:
    if retry < int(spec.get("failures", 0)):
        raise kopf.TemporaryError(f"not yet ({retry})", delay=0.2)
    if spec.get("engine") == "nonsense":
        raise kopf.PermanentError("no such engine")
    patch.metadata.labels["databases.example.org/tier"] = "gold" if spec["size"] > 10 else "silver"
    patch.status["phase"] = "Ready"
    patch.status["size"] = spec["size"]
    return {"endpoint": f"{name}.db.example", "uid": uid, "retries": retry}


@kopf.on.update(*KIND, field="spec.size")
def resize(old: int, new: int, status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
    patch.status["size"] = new
    patch.status["resizes"] = [*status.get("resizes", []), {"from": old, "to": new}]


@kopf.on.delete(*KIND)
def delete(retry: int, patch: kopf.Patch, **_: Any) -> None:
    if GATE and os.path.exists(GATE):
        patch.status["phase"] = "Draining"
        raise kopf.TemporaryError("still draining", delay=0.3)


@kopf.timer(*KIND, interval=0.5, sharp=True, when=lambda status, **_: status.get("beats", 0) < 3)
def beat(status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
    patch.status["beats"] = status.get("beats", 0) + 1
