# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""An operator with all of kopf's defaults: progress in annotations and status, sub-handlers, observed generation."""

from __future__ import annotations

from typing import Any

import kopf


@kopf.on.create("example.org", "v1", "mailboxes")
@kopf.on.update("example.org", "v1", "mailboxes")
async def provision(spec: kopf.Spec, patch: kopf.Patch, meta: kopf.Meta, **_: Any) -> None:
    for alias in spec.get("aliases", []):

        @kopf.subhandler(id=alias)
        async def one(retry: int, alias: str = alias, **_: Any) -> str:
            if retry == 0:
                raise kopf.TemporaryError("greylisted", delay=0.1)
            return f"{alias}@example.org"

    patch.status["observedGeneration"] = meta["generation"]
    patch.status["quota"] = spec.get("quota", "1G")
    patch.metadata.annotations["mailboxes.example.org/server"] = "imap-7"


@kopf.on.delete("example.org", "v1", "mailboxes")
async def remove(**_: Any) -> None:
    """Nothing to do, but kopf holds the object until this has run."""
