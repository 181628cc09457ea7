# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges the TaskQueues that were read from one cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
name: taskqueue_problems
short_description: What is wrong with the TaskQueues that one cluster shows
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Takes the TaskQueues that were read from one cluster and returns one sentence for each that is expected there and is
    missing, names the wrong origin or has not come far enough. An empty list means that all is well.
options:
  _input:
    description: TaskQueues as the API server returns them.
    type: list
    elements: dict
    required: true
  cluster:
    description: The cluster that they were read from.
    type: str
    required: true
  created:
    description: For each cluster, the TaskQueues that were created there.
    type: dict
    required: true
  phases:
    description: Phases, one of which each must have. Empty means any, or none yet.
    type: list
    elements: str
    default: []
  controller:
    description: The C(status.processingCluster) that each must have. Empty means any.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Everything is seen on east
  ansible.builtin.assert:
    that: problems == []
    fail_msg: "{{ problems | join('\n') }}"
  vars:
    problems: "{{ seen.resources | tmc.cross_cluster.taskqueue_problems(cluster='east', created=created) }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem.
  type: list
  elements: str
  sample: ["'east' does not show default/global-health-monitor of 'kcp'"]
"""

import typing as t

Queue = t.Mapping[str, t.Any]


def taskqueue_problems(
    seen: t.Sequence[Queue],
    cluster: str,
    created: t.Mapping[str, t.Sequence[Queue]],
    phases: t.Sequence[str] = (),
    controller: str = "",
) -> list[str]:
    """One sentence for each TaskQueue that is not as it should be on ``cluster``."""
    here = {_key(queue): queue for queue in seen}
    found = []
    for origin, queues in created.items():
        for key in map(_key, queues):
            if key not in here:
                found.append(f"'{cluster}' does not show {key} of '{origin}'")
            else:
                found += _problems(here[key], key, cluster, origin, phases, controller)
    return found


def _problems(
    queue: Queue, key: str, cluster: str, origin: str, phases: t.Sequence[str], controller: str
) -> t.Iterator[str]:
    label = (queue["metadata"].get("labels") or {}).get("tmc.io/origin", cluster)
    if label != origin:
        yield f"{key} on '{cluster}' says that it was created on '{label}', but it was on '{origin}'"
    status = queue.get("status") or {}
    phase, by = status.get("phase", ""), status.get("processingCluster", "")
    if phases and phase not in phases:
        why = f": {status['message']}" if status.get("message") else ""
        yield f"{key} is {phase or 'not begun'} on '{cluster}', not {' or '.join(phases)}{why}"
    elif controller and by != controller:
        yield f"{key} on '{cluster}' was processed by '{by}', not by '{controller}'"


def _key(queue: Queue) -> str:
    return f"{queue['metadata'].get('namespace', 'default')}/{queue['metadata']['name']}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"taskqueue_problems": taskqueue_problems}
