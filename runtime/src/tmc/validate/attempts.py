# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes that must be refused, tried as dry runs: nothing is changed even where the guard is missing."""

from __future__ import annotations

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, NotFound, Unreachable
from tmc.validate.contract import VALIDATOR_MANAGER
from tmc.validate.observations import Attempt, Fabric, Object, Probe
from tmc.validate.watching import TASKQUEUES


async def forge_status(client: ApiClient, probe: Probe, current: Object, fabric: Fabric) -> Attempt | None:
    """Try to write status as the administrator that we are. The patch itself is valid: only a policy can refuse it."""
    forged: Object = {"message": "forged by tmc validate, as a dry run"}
    if not current.get("status"):
        counts = {"totalTasks": len(probe.spec.get("tasks", [])), "completedTasks": 0, "failedTasks": 0}
        forged |= {"phase": "Pending", "epoch": fabric.epoch, "observedSpecHash": "0" * 16, **counts}
    return await _attempt(client, probe, {"status": forged}, "status")


async def edit_spec(client: ApiClient, probe: Probe) -> Attempt | None:
    """Try to change the spec of a copy."""
    return await _attempt(client, probe, {"spec": {"region": "edited-by-tmc-validate"}}, "")


async def _attempt(client: ApiClient, probe: Probe, patch: Object, subresource: str) -> Attempt | None:
    try:
        await client.patch(
            TASKQUEUES,
            probe.name,
            probe.namespace,
            patch,
            field_manager=VALIDATOR_MANAGER,
            subresource=subresource,
            dry_run=True,
        )
    except NotFound:
        return None
    except ApiError as error:
        return Attempt(True, error.status, error.message)
    except Unreachable as error:
        return Attempt(True, 0, str(error))
    return Attempt(False, 200, "accepted")
