# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""report.json: the verdict for machines."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tmc.validate.judgement import Check
from tmc.validate.latency import status_latency
from tmc.validate.observations import Observations


def build_report(seen: Observations, checks: Sequence[Check], started_at: str, finished_at: str) -> dict[str, Any]:
    """`ok`, `startedAt`, `finishedAt` (RFC 3339), `clusters`, `checks`, `latency` (milliseconds)."""
    clusters = {name: dataclasses.asdict(cluster) for name, cluster in seen.clusters.items()}
    for cluster in clusters.values():
        del cluster["name"]
    return {
        "ok": bool(checks) and all(check.ok for check in checks),
        "startedAt": started_at,
        "finishedAt": finished_at,
        "clusters": clusters,
        "checks": [{**dataclasses.asdict(check), "seconds": round(check.seconds, 3)} for check in checks],
        "latency": status_latency(seen),
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write whole or not at all: into a temporary file beside it, then renamed. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=2)
            stream.write("\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
