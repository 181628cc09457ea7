#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Submits TaskQueues, one or thousands in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: taskqueue
short_description: Submit or remove TaskQueues
description:
  - Brings one TaskQueue, or thousands in one task, to the wanted state on the cluster that the module is connected to.
    The fabric carries them to all other clusters.
  - Everything is validated before the first request, so bad input changes nothing. After that every item is tried, and
    the task fails at the end if any of them failed, with the result of each.
  - The wanted spec is the whole spec; a field that is left out goes back to its default. Labels and annotations are
    added to those that are there.
  - Copies of another cluster's TaskQueues are read-only; change or remove them where they were created.
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.auth
  - tmc.cross_cluster.attributes
  - tmc.cross_cluster.wait
options:
  state:
    description:
      - V(present) creates or updates, V(absent) deletes.
    type: str
    choices: [present, absent]
    default: present
  definition:
    description:
      - One TaskQueue. C(apiVersion) and C(kind) may be left out.
    type: dict
  definitions:
    description:
      - Several TaskQueues.
    type: list
    elements: dict
  src:
    description:
      - Path to a YAML file with one or more TaskQueue documents, on the host that the module runs on.
    type: path
  template:
    description:
      - A TaskQueue of which O(count) are made. In any text of it V({index}) is replaced by the number of the item,
        V({index:04d}) by the number padded with zeros.
    type: dict
  count:
    description:
      - How many to make of O(template).
    type: int
  start:
    description:
      - Number of the first one.
    type: int
    default: 1
  names:
    description:
      - With O(state=absent), the names to remove in O(namespace).
    type: list
    elements: str
    aliases: [name]
  namespace:
    description:
      - Namespace of items that name none. It must exist.
    type: str
    default: default
  wait_for:
    description:
      - What to wait for, with O(wait=true). By default, that the status has any phase.
      - With O(state=absent), that the items are gone.
    type: dict
    suboptions:
      phase:
        description:
          - Phases, any of which will do.
        type: list
        elements: str
        choices: [Pending, Running, Completed, Failed]
  concurrency:
    description:
      - How many requests are under way at the same time.
    type: int
    default: 48
  strict:
    description:
      - Whether unknown fields are errors. V(false) lets the API server drop them.
    type: bool
    default: true
  continue_on_error:
    description:
      - V(true) makes the task succeed although some items failed; RV(failures) tells which.
    type: bool
    default: false
seealso:
  - module: tmc.cross_cluster.taskqueue_info
  - module: tmc.cross_cluster.status_compare
"""

EXAMPLES = r"""
- name: Submit one, and wait until it is done
  tmc.cross_cluster.taskqueue:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"
    definition:
      metadata: {name: east-data-processing}
      spec:
        region: us-east-1
        priority: high
        tasks:
          - {name: ingest-data, command: ingest --source s3}
    wait: true
    wait_for: {phase: [Completed]}

- name: Submit a thousand
  tmc.cross_cluster.taskqueue:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"
    count: 1000
    template:
      metadata: {name: "load-{index:04d}", labels: {run: load}}
      spec:
        region: us-east-1
        tasks:
          - {name: work, command: "work --part {index}"}

- name: Remove some
  tmc.cross_cluster.taskqueue:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"
    names: [east-data-processing]
    state: absent
    wait: true
"""

RETURN = r"""
results:
  description: One entry an item, in the order given.
  returned: always, unless the input is bad
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the item.
      type: str
    name:
      description: Name of the item.
      type: str
    action:
      description: C(created), C(updated), C(unchanged), C(deleted), C(absent) or C(failed).
      type: str
    changed:
      description: Whether this item was changed.
      type: bool
    uid:
      description: Uid of the object.
      type: str
    phase:
      description: Phase of its status as last seen; empty before the controller has seen it.
      type: str
    error:
      description: What the API server said, when it failed.
      type: str
  sample:
    - {namespace: default, name: load-0001, action: created, changed: true, uid: 3f6c7f0a, phase: "", error: ""}
counts:
  description: How many items had which action.
  returned: always, unless the input is bad
  type: dict
  sample: {created: 999, unchanged: 1}
failures:
  description: The entries of RV(results) that failed.
  returned: always, unless the input is bad
  type: list
  elements: dict
  sample: []
result:
  description: The object, when there is only one item and it is there.
  returned: success
  type: dict
  sample: {apiVersion: demo.tmc.io/v1, kind: TaskQueue, metadata: {name: a}, spec: {}}
waited:
  description: Seconds that were spent on waiting.
  returned: with O(wait=true)
  type: float
  sample: 4.2
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _taskqueue, _taskqueue_rules
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import (
    MUTUALLY_EXCLUSIVE,
    auth_spec,
    require_positive,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._submit import Submission, wait_spec

SOURCES = ("definition", "definitions", "src", "template", "names")
PHASES = ("Pending", "Running", "Completed", "Failed")


def documents_of(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The TaskQueues that the options describe; InvalidInput lists all that is wrong with them."""
    documents = _sources(params)
    if not documents:
        raise InvalidInput("nothing to do: definitions and names must not be empty")
    documents = [_taskqueue.complete(document, params["namespace"]) for document in documents]
    check = _taskqueue_rules.problems if params["state"] == "present" else _taskqueue_rules.name_problems
    problems = check(documents, strict=params["strict"])
    if problems:
        shown = "\n".join(problems[:20]) + (f"\n... and {len(problems) - 20} more" if len(problems) > 20 else "")
        raise InvalidInput(f"nothing was submitted, because of bad input:\n{shown}")
    return documents


def _sources(params: dict[str, Any]) -> list[dict[str, Any]]:
    if params["definition"] is not None:
        return [params["definition"]]
    if params["definitions"] is not None:
        return list(params["definitions"])
    if params["src"]:
        return _taskqueue.read_file(params["src"])
    if params["template"] is not None:
        return _taskqueue.expand(params["template"], params["count"], params["start"])
    if params["state"] == "present":
        raise InvalidInput("names is for state absent: give a definition to submit")
    return [{"metadata": {"name": name}} for name in params["names"]]


def body(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    require_positive(params, "count", "wait_timeout", "wait_sleep", "concurrency")
    if params["concurrency"] > 64:
        raise InvalidInput(f"option concurrency is {params['concurrency']}: it must be 1-64")
    documents = documents_of(params)
    if any("status" in document for document in documents):
        module.warn("status is written by the controller alone: the one in the definition is left out")
    submission = Submission(connect(module, params["concurrency"]), documents, params, module.check_mode)
    result = submission.run()
    failures = result["failures"]
    if failures and not params["continue_on_error"]:
        listed = "\n".join(f"{item['namespace']}/{item['name']}: {item['error']}" for item in failures[:20])
        more = f"\n... and {len(failures) - 20} more" if len(failures) > 20 else ""
        module.fail_json(msg=f"{len(failures)} of {len(documents)} TaskQueues failed:\n{listed}{more}", **result)
    return result


def main() -> None:
    spec = (
        auth_spec()
        | wait_spec()
        | {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "definition": {"type": "dict"},
            "definitions": {"type": "list", "elements": "dict"},
            "src": {"type": "path"},
            "template": {"type": "dict"},
            "count": {"type": "int"},
            "start": {"type": "int", "default": 1},
            "names": {"type": "list", "elements": "str", "aliases": ["name"]},
            "namespace": {"type": "str", "default": "default"},
            "wait_for": {
                "type": "dict",
                "options": {"phase": {"type": "list", "elements": "str", "choices": list(PHASES)}},
            },
            "concurrency": {"type": "int", "default": 48},
            "strict": {"type": "bool", "default": True},
            "continue_on_error": {"type": "bool", "default": False},
        }
    )
    module = AnsibleModule(
        argument_spec=spec,
        mutually_exclusive=[*MUTUALLY_EXCLUSIVE, SOURCES],
        required_one_of=[SOURCES],
        required_together=[("template", "count")],
        supports_check_mode=True,
    )
    run(module, body)


if __name__ == "__main__":
    main()
