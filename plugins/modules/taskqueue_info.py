#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads TaskQueues."""

from __future__ import annotations

DOCUMENTATION = r"""
module: taskqueue_info
short_description: Read TaskQueues of one cluster
description:
  - Returns the TaskQueues that a cluster holds, its own and copies of others', with a summary of each.
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.auth
  - tmc.cross_cluster.attributes.info
options:
  names:
    description:
      - Only those of these names, in O(namespace).
    type: list
    elements: str
    aliases: [name]
  namespace:
    description:
      - Only those of this namespace. All namespaces by default; V(default) with O(names).
    type: str
  label_selectors:
    description:
      - Only those that match all of these label selectors.
    type: list
    elements: str
    default: []
  phases:
    description:
      - Only those in one of these phases.
    type: list
    elements: str
    choices: [Pending, Running, Completed, Failed]
    default: []
  origins:
    description:
      - Only copies of objects of these clusters. The empty text stands for objects that were created on this cluster.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: What is running
  tmc.cross_cluster.taskqueue_info:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"
    phases: [Running]
  register: running

- name: Say where it came from
  ansible.builtin.debug:
    msg: "{{ running.taskqueues | map(attribute='origin') | unique }}"
"""

RETURN = r"""
taskqueues:
  description: A summary of each, sorted by namespace and name.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace.
      type: str
    name:
      description: Name.
      type: str
    uid:
      description: Uid on this cluster.
      type: str
    origin:
      description: Name of the cluster it was created on; empty when that is this one.
      type: str
    origin_uid:
      description: Uid on the cluster it was created on; the same on all clusters.
      type: str
    phase:
      description: Phase of the status; empty before the controller has seen it.
      type: str
    progress:
      description: Completed of total, such as C(3/5).
      type: str
    controller:
      description: Who works on it.
      type: str
    priority:
      description: Priority.
      type: str
    sync_state:
      description: What is wrong with its synchronisation; empty when nothing is.
      type: str
    deleting:
      description: Whether it is being deleted.
      type: bool
  sample:
    - {namespace: default, name: a, origin: east, phase: Running, progress: 1/3, controller: west-controller, priority: high}
resources:
  description: The objects themselves, in the same order.
  returned: success
  type: list
  elements: dict
  sample: []
phases:
  description: How many are in which phase; C(none) stands for no phase yet.
  returned: success
  type: dict
  sample: {Completed: 2, Running: 1}
"""

from collections import Counter
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import MUTUALLY_EXCLUSIVE, auth_spec
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import TASK_QUEUE

Object = dict[str, Any]
PHASES = ["Pending", "Running", "Completed", "Failed"]


def summary(obj: Object) -> Object:
    """What a person wants to know of a TaskQueue."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    notes = metadata.get("annotations") or {}
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "origin": (metadata.get("labels") or {}).get("tmc.io/origin", ""),
        "origin_uid": notes.get("tmc.io/origin-uid", metadata["uid"]),
        "phase": status.get("phase", ""),
        "progress": status.get("progress", ""),
        "controller": status.get("processingCluster", ""),
        "priority": (obj.get("spec") or {}).get("priority", ""),
        "sync_state": notes.get("tmc.io/sync-state", ""),
        "deleting": "deletionTimestamp" in metadata,
    }


def body(module: AnsibleModule) -> Object:
    params = module.params
    client = connect(module)
    namespace = params["namespace"] or ("default" if params["names"] else "")
    objects = client.list(TASK_QUEUE, namespace, label_selector=",".join(params["label_selectors"]))
    pairs = [(summary(obj), obj) for obj in objects]
    chosen = [(about, obj) for about, obj in pairs if _wanted(about, params)]
    chosen.sort(key=lambda pair: (pair[0]["namespace"], pair[0]["name"]))
    return {
        "changed": False,
        "taskqueues": [about for about, _obj in chosen],
        "resources": [obj for _about, obj in chosen],
        "phases": dict(Counter(about["phase"] or "none" for about, _obj in chosen)),
    }


def _wanted(about: Object, params: Object) -> bool:
    return (
        (not params["names"] or about["name"] in params["names"])
        and (not params["phases"] or about["phase"] in params["phases"])
        and (not params["origins"] or about["origin"] in params["origins"])
    )


def main() -> None:
    spec = auth_spec() | {
        "names": {"type": "list", "elements": "str", "aliases": ["name"]},
        "namespace": {"type": "str"},
        "label_selectors": {"type": "list", "elements": "str", "default": []},
        "phases": {"type": "list", "elements": "str", "choices": PHASES, "default": []},
        "origins": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(argument_spec=spec, mutually_exclusive=MUTUALLY_EXCLUSIVE, supports_check_mode=True)
    run(module, body)


if __name__ == "__main__":
    main()
