# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""An operator for a cluster-scoped kind, with a daemon: a background task for as long as the object lives."""

from __future__ import annotations

from typing import Any

import kopf


@kopf.on.create("example.org", "v1", "sites")
async def publish(name: str, spec: kopf.Spec, patch: kopf.Patch, **_: Any) -> None:
    patch.status["url"] = f"https://{name}.{spec['domain']}"


@kopf.daemon("example.org", "v1", "sites", cancellation_timeout=1.0)
async def watch(stopped: kopf.DaemonStopped, **_: Any) -> None:
    await stopped.wait()
