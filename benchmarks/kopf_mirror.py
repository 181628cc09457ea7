# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The same mirror as people write it with kopf and the kubernetes client: a handler of the watch's events."""

from __future__ import annotations

import os
from typing import Any

import kopf
from kubernetes import client, config

GROUP, VERSION, PLURAL = "bench.tmc.io", "v1", "kopfparcels"
target = client.CustomObjectsApi(config.new_client_from_config(os.environ["MIRROR_TARGET"]))  # type: ignore[no-untyped-call]


@kopf.on.event(GROUP, VERSION, PLURAL)
def carry(event: Any, name: str, status: Any, **_: Any) -> None:
    if status and event["type"] != "DELETED":
        patch = {"status": dict(status)}
        target.patch_namespaced_custom_object_status(GROUP, VERSION, "default", PLURAL, name, patch)
