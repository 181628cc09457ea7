# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until kind clusters can run Pods.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import KindError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import load_file
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import SERVICE_ACCOUNT, Resource

NODE = Resource("", "v1", "nodes", "Node", namespaced=False)
POLL_SECONDS = 0.2
REQUEST_SECONDS = 5.0


def wait_ready(kubeconfigs: dict[str, str], seconds: float) -> dict[str, float]:
    """Wait until every cluster (name -> kubeconfig) can run Pods; seconds it took, by name.

    Raises KindError naming each cluster that did not get there, and what was missing last.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(kubeconfigs))) as pool:
        answers = dict(
            zip(kubeconfigs, pool.map(lambda path: _wait_one(path, seconds), kubeconfigs.values()), strict=True)
        )
    late = [
        f"cluster '{name}' cannot run Pods after {seconds:.0f} s: {answer}"
        for name, answer in answers.items()
        if isinstance(answer, str)
    ]
    if late:
        raise KindError("\n".join(late))
    return {name: answer for name, answer in answers.items() if isinstance(answer, float)}


def _wait_one(kubeconfig: str, seconds: float) -> float | str:
    began = time.monotonic()
    client = Client(load_file(kubeconfig), timeout=REQUEST_SECONDS)
    while True:
        lacking = _lacking(client)
        elapsed = time.monotonic() - began
        if lacking is None:
            return round(elapsed, 2)
        if elapsed > seconds:
            return lacking
        time.sleep(POLL_SECONDS)


def _lacking(client: Client) -> str | None:
    """What is still missing, or None."""
    try:
        nodes = client.list(NODE)
        late = [node["metadata"]["name"] for node in nodes if not _is_ready(node)]
        if late or not nodes:
            return f"node {', '.join(late)} is not Ready" if late else "it has no node"
        # Admission refuses Pods until it is there.
        if client.get(SERVICE_ACCOUNT, "default", "default") is None:
            return "namespace default has no ServiceAccount"
    except TmcError as error:
        return str(error)
    return None


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
