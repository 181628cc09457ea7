#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves the work on one kind to another cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: processor
short_description: Say which cluster works on a kind that the fabric carries
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Moves the processor of a kind that is carried already (see M(tmc.cross_cluster.synced_resource)), and changes nothing
    else about it. Talks to the hub alone.
  - Begins a new term, with the next epoch. From the first of its two writes on, the hub refuses the status of the old
    processor, also one that was asleep and wakes up later. Both writes are conditional; a move that was interrupted
    between them is completed by the next run.
  - Neither starts nor stops a controller. One that respects the fabric's C(SyncedResource), such as C(tmc controller), stops
    working where the mirror of it names another cluster, and begins where it names its own. What others wrote about
    objects reaches the new processor's cluster before that.
extends_documentation_fragment:
  - tmc.cross_cluster.auth
  - tmc.cross_cluster.attributes
options:
  group:
    description:
      - API group of the kind.
    type: str
    default: demo.tmc.io
  resource:
    description:
      - Plural, lower-case name of the kind.
    type: str
    default: taskqueues
  processor:
    description:
      - Name of the cluster that is to work on the kind - a member, or O(hub_name).
    type: str
    required: true
  hub_name:
    description:
      - Name of the hub, which may be a processor, too.
    type: str
seealso:
  - module: tmc.cross_cluster.synced_resource
"""

EXAMPLES = r"""
- name: From now on east works on the TaskQueues
  tmc.cross_cluster.processor:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"
    processor: east
  register: moved

- name: Say so
  ansible.builtin.debug:
    msg: "{{ moved.previous }} -> {{ moved.processor }}, term {{ moved.epoch }}"
"""

RETURN = r"""
name:
  description: Name of the C(SyncedResource).
  returned: success
  type: str
  sample: taskqueues.demo.tmc.io
processor:
  description: The cluster that works on the kind now.
  returned: success
  type: str
  sample: east
previous:
  description: The cluster that worked on it before.
  returned: success
  type: str
  sample: west
epoch:
  description: Fencing number of the term that holds now.
  returned: success
  type: int
  sample: 2
objects:
  description: The objects that were written.
  returned: success
  type: list
  elements: str
  sample: ["patch ConfigMap tmc-system/taskqueues.demo.tmc.io", "patch SyncedResource taskqueues.demo.tmc.io"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _apply, _declare, _fence, _names
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, NotReady
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import MUTUALLY_EXCLUSIVE, auth_spec
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import CONFIG_MAP, MEMBER, SYNCED_RESOURCE

Result = dict[str, Any]
Object = dict[str, Any]


class Move:
    """The processor of one kind, on the hub."""

    def __init__(self, module: AnsibleModule) -> None:
        self.processor: str = module.params["processor"]
        self.hub_name: str | None = module.params["hub_name"]
        self.name = f"{module.params['resource']}.{module.params['group']}"
        self.check_mode: bool = module.check_mode
        self.client = connect(module)

    def run(self) -> Result:
        self._require_cluster()
        previous = self._carried()["spec"]["processor"]
        changes, spec = self._plan()
        _apply.check_rights(self.client, changes)
        if changes and not self.check_mode:
            spec = _declare.declare(self.client, self.name, self._plan)
        return {
            "name": self.name,
            "changed": bool(changes),
            "processor": self.processor,
            "previous": previous,
            "epoch": spec["epoch"],
            "objects": [f"{change.verb} {change.title}" for change in changes],
            "diff": _apply.diff_of(changes),
        }

    def _plan(self) -> tuple[list[_apply.Change], Object]:
        live = self._carried()
        fence = self.client.get(CONFIG_MAP, self.name, _names.HUB_NAMESPACE)
        known = [*_fence.of_config_map(fence), *_fence.of_synced_resource(live)]
        term = {"processor": self.processor, "epoch": _fence.epoch_for(self.processor, known)}
        spec = live["spec"] | term
        return _declare.due(self.name, live, fence, spec, hub=True), spec

    def _carried(self) -> Object:
        live: Object | None = self.client.get(SYNCED_RESOURCE, self.name)
        if live is None:
            raise NotReady(
                f"kind {self.name} is not carried by the hub '{self.client.label}': "
                "declare it with the module synced_resource first"
            )
        return live

    def _require_cluster(self) -> None:
        members = [member["metadata"]["name"] for member in self.client.list(MEMBER)]
        if self.processor not in [*members, self.hub_name]:
            allowed = ", ".join([*sorted(members), self.hub_name or "the hub, when it is named by hub_name"])
            raise InvalidInput(f"processor {self.processor!r} is no cluster of this fabric; allowed: {allowed}")


def body(module: AnsibleModule) -> Result:
    for option in ("processor", "hub_name"):
        value = module.params[option]
        if value is not None and (problem := _names.cluster_name_problem(value, option)):
            raise InvalidInput(problem)
    return Move(module).run()


def main() -> None:
    spec = auth_spec() | {
        "group": {"type": "str", "default": "demo.tmc.io"},
        "resource": {"type": "str", "default": "taskqueues"},
        "processor": {"type": "str", "required": True},
        "hub_name": {"type": "str"},
    }
    module = AnsibleModule(argument_spec=spec, mutually_exclusive=MUTUALLY_EXCLUSIVE, supports_check_mode=True)
    run(module, body)


if __name__ == "__main__":
    main()
