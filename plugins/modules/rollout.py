#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits until Deployments are rolled out, or says what their pods wait for."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Wait until Deployments are rolled out
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Waits until every replica of each Deployment is of its newest template and available, and no older one is left, as
    C(kubectl rollout status) does.
  - When that does not come to pass, says what the pods wait for.
options:
  kubeconfig:
    description: Path of the cluster's kubeconfig.
    type: path
    required: true
  names:
    description: Names of the Deployments.
    type: list
    elements: str
    required: true
  namespace:
    description: Their namespace.
    type: str
    default: default
  wait:
    description: Whether to wait. With V(false), tells only what is there.
    type: bool
    default: true
  timeout:
    description: How long to wait for all of them, in seconds.
    type: float
    default: 180
attributes:
  check_mode:
    support: full
    description: Waits for nothing.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: The syncer is at work
  tmc.cross_cluster.rollout:
    kubeconfig: /path/to/east.kubeconfig
    names: [kcp-syncer]

- name: The image that it has
  tmc.cross_cluster.rollout:
    kubeconfig: /path/to/east.kubeconfig
    names: [kcp-syncer]
    wait: false
"""

RETURN = r"""
replicas:
  description: Available replicas of each Deployment.
  returned: when O(wait=true)
  type: dict
  sample: {kcp-syncer: 2}
images:
  description: Image of the first container of each Deployment that is there.
  returned: when O(wait=false)
  type: dict
  sample: {kcp-syncer: "localhost/tmc-cross-cluster:0123456789ab"}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import load_file
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import environment_rules
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import Resource

DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
POD = Resource("", "v1", "pods", "Pod")
POLL = 0.5


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "namespace": {"type": "str", "default": "default"},
            "wait": {"type": "bool", "default": True},
            "timeout": {"type": "float", "default": 180},
        },
        supports_check_mode=True,
    )
    run(module, body)


def body(module: AnsibleModule) -> dict[str, Any]:
    """The module's result. Raises TmcError."""
    params = module.params
    if module.check_mode and params["wait"]:
        return {"changed": False, "replicas": {}}
    client = Client(load_file(params["kubeconfig"], rules=environment_rules()))
    if not params["wait"]:
        return {"changed": False, "images": images(client, params["names"], params["namespace"])}
    deadline = time.monotonic() + params["timeout"]
    return {"changed": False, "replicas": {n: wait(client, n, params["namespace"], deadline) for n in params["names"]}}


def images(client: Client, names: list[str], namespace: str) -> dict[str, str]:
    """The image of the first container of each Deployment that is there."""
    found = {name: client.get(DEPLOYMENT, name, namespace) for name in names}
    return {name: live["spec"]["template"]["spec"]["containers"][0]["image"] for name, live in found.items() if live}


def wait(client: Client, name: str, namespace: str, deadline: float) -> int:
    """The available replicas once all are rolled out; raises TmcError after the deadline."""
    while True:
        live = client.get(DEPLOYMENT, name, namespace)
        missing = lacks(live)
        if live and not missing:
            return int(live["spec"]["replicas"])
        if time.monotonic() > deadline:
            why = "; ".join([missing, *(excuses(client, live) if live else [])])
            raise TmcError(f"Deployment {namespace}/{name} on '{client.label}' is not rolled out: {why}")
        time.sleep(POLL)


def lacks(live: Object | None) -> str:
    """What a Deployment still lacks; empty when every replica is of the newest template, available, and alone."""
    if live is None:
        return "there is none of that name"
    wanted, status = live["spec"]["replicas"], live.get("status") or {}
    if status.get("observedGeneration", 0) < live["metadata"]["generation"]:
        return "its change was not seen yet by the controllers of the cluster"
    if status.get("updatedReplicas", 0) < wanted:
        return f"{status.get('updatedReplicas', 0)} of {wanted} replicas are of the newest template"
    if status.get("availableReplicas", 0) < wanted:
        return f"{status.get('availableReplicas', 0)} of {wanted} replicas are available"
    if status.get("replicas", 0) > wanted:
        return f"{status['replicas'] - wanted} older replicas are left"
    return ""


def excuses(client: Client, live: Object) -> list[str]:
    """What each of its pods that is not ready waits for."""
    labels = ",".join(f"{key}={value}" for key, value in live["spec"]["selector"]["matchLabels"].items())
    pods = client.list(POD, live["metadata"]["namespace"], label_selector=labels)
    told = [(pod["metadata"]["name"], excuse(pod)) for pod in pods]
    return [f"pod {name}: {text}" for name, text in told if text] or ["it has no pod that waits for something"]


def excuse(pod: Object) -> str:
    """What keeps a pod from being ready; empty when nothing does."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        if not container.get("ready"):
            ended = (container.get("lastState") or {}).get("terminated") or {}
            state = container.get("state") or {}
            found = ended or state.get("terminated") or state.get("waiting") or {}
            if found:
                return f"{found.get('reason', 'not running')} {found.get('message', '')}".strip()
    unmet = [entry for entry in status.get("conditions") or [] if entry["status"] != "True"]
    return f"{unmet[0].get('reason', unmet[0]['type'])} {unmet[0].get('message', '')}".strip() if unmet else ""


if __name__ == "__main__":
    main()
