# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""An operator for a kind without a status subresource: what it reports is an ordinary field of the object."""

from __future__ import annotations

from typing import Any

import kopf


@kopf.on.create("example.org", "v1", "reports")
@kopf.on.update("example.org", "v1", "reports", field="spec.query")
def render(spec: kopf.Spec, patch: kopf.Patch, **_: Any) -> None:
    patch.status["rows"] = len(spec["query"])
    patch.status["rendered"] = spec["query"].upper()


@kopf.on.delete("example.org", "v1", "reports")
def drop(**_: Any) -> None:
    """Nothing to do, but kopf holds the object until this has run."""
