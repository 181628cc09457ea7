# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The judgement: pure functions from observations to checks. No I/O, no clock: each way of cheating is a table row."""

from __future__ import annotations

from collections.abc import Collection

from tmc.validate.judgement.check import GROUPS, Check
from tmc.validate.judgement.clusters import judge_clusters, judge_fabric
from tmc.validate.judgement.controller import judge_controller
from tmc.validate.judgement.status import judge_status
from tmc.validate.judgement.sync import judge_sync
from tmc.validate.observations import Observations

__all__ = ["GROUPS", "Check", "judge"]


def judge(seen: Observations, groups: Collection[str] = GROUPS) -> list[Check]:
    """All checks of the asked groups. When clusters or the declaration are missing, only the checks that say so."""
    checks = judge_clusters(seen)
    if not all(check.ok for check in checks):
        return checks
    checks += judge_fabric(seen)
    fabric = seen.fabric()
    if fabric is None or fabric.processor not in seen.names:
        return checks
    if "sync" in groups:
        checks += judge_sync(seen)
    if "status" in groups:
        checks += judge_status(seen, fabric)
    if "controller" in groups:
        checks += judge_controller(seen, fabric)
    return checks
