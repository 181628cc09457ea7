#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares objects across clusters, and waits until they agree."""

from __future__ import annotations

DOCUMENTATION = r"""
module: status_compare
short_description: Wait until clusters agree about objects
description:
  - Reads the same objects on several clusters, compares identity, spec and status field by field, and waits until they agree.
  - C(observedGeneration) is not compared, because it counts the generations of each cluster's own object.
  - No object at all is not agreement; see O(min_objects).
  - Fails with a table of the differences when the clusters do not agree in time, unless O(fail_on_difference=false).
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.attributes.info
options:
  clusters:
    description:
      - The clusters to compare, two at least.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the cluster, for the report.
        type: str
        required: true
      kubeconfig:
        description:
          - Path to its kubeconfig.
        type: path
        required: true
      context:
        description:
          - Context of the kubeconfig; its current one by default.
        type: str
  group:
    description:
      - API group of the kind.
    type: str
    default: demo.tmc.io
  version:
    description:
      - API version of the kind.
    type: str
    default: v1
  resource:
    description:
      - Plural name of the kind.
    type: str
    default: taskqueues
  namespaced:
    description:
      - Whether objects of the kind live in namespaces.
    type: bool
    default: true
  namespace:
    description:
      - Only objects of this namespace. All namespaces by default.
    type: str
  names:
    description:
      - Only objects of these names. Each of them must be there.
    type: list
    elements: str
    default: []
    aliases: [name]
  label_selectors:
    description:
      - Only objects that match all of these label selectors.
    type: list
    elements: str
    default: []
  ignore_fields:
    description:
      - Paths of fields that are not compared, such as V(status.message). A path stands for all below it.
    type: list
    elements: str
    default: []
  min_objects:
    description:
      - How many objects there must be at least.
    type: int
    default: 1
  timeout:
    description:
      - Seconds to wait at most. The first look is taken in any case.
    type: float
    default: 30.0
  interval:
    description:
      - Seconds between two looks.
    type: float
    default: 0.25
  fail_on_difference:
    description:
      - V(false) makes the task succeed whatever the outcome; look at RV(consistent).
    type: bool
    default: true
  allow_exec:
    description:
      - Whether a kubeconfig may run a program to get credentials. Default E(K8S_AUTH_ALLOW_EXEC).
    type: bool
    default: false
  allow_insecure_mode:
    description:
      - Whether a kubeconfig that others on the machine can read is accepted.
    type: bool
    default: false
  request_timeout:
    description:
      - Seconds after which one request is given up.
    type: float
    default: 10.0
seealso:
  - module: tmc.cross_cluster.taskqueue
"""

EXAMPLES = r"""
- name: All clusters say the same
  tmc.cross_cluster.status_compare:
    clusters:
      - {name: kcp, kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"}
      - {name: east, kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"}
      - {name: west, kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-west.kubeconfig"}
    names: [east-data-processing, west-ml-training, global-health-monitor]
    timeout: 60
"""

RETURN = r"""
consistent:
  description: Whether all clusters answered and agreed.
  returned: always, unless the input is bad
  type: bool
  sample: true
differences:
  description: The fields on which the clusters disagreed at the last look.
  returned: always, unless the input is bad
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the object.
      type: str
    name:
      description: Name of the object.
      type: str
    field:
      description: Path of the field; C(object) when the object is missing somewhere, C(origin) when it is another object of that name.
      type: str
    values:
      description: What each cluster says.
      type: dict
  sample: [{namespace: default, name: a, field: status.phase, values: {kcp: Running, east: Running, west: Completed}}]
objects:
  description: Number of distinct objects seen.
  returned: always, unless the input is bad
  type: int
  sample: 3
lag_seconds:
  description:
    - Seconds between the look at which the first cluster showed the final state and the one at which the last did.
    - C(0.0) when they agreed at the first look; null when they did not agree.
  returned: always, unless the input is bad
  type: float
  sample: 0.3
elapsed_seconds:
  description: Seconds spent.
  returned: always, unless the input is bad
  type: float
  sample: 1.2
clusters:
  description: What each cluster answered at the last look, by its name.
  returned: always, unless the input is bad
  type: dict
  sample: {east: {reachable: true, objects: 3, status_age_seconds: 4.0, error: ""}}
table:
  description: The differences for a person to read; empty when there are none.
  returned: always, unless the input is bad
  type: str
  sample: ""
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _compare
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import another_cluster, connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import require_positive
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import Resource

Views = dict[str, dict[_compare.Key, dict[str, Any]]]


class Comparison:
    """Looks at all clusters at once, again and again, and remembers when each showed what."""

    def __init__(self, module: AnsibleModule) -> None:
        self._params = module.params
        self._names = [cluster["name"] for cluster in module.params["clusters"]]
        self._clients = {
            cluster["name"]: connect(
                module, **another_cluster(cluster["kubeconfig"], cluster["context"]), validate_certs=None
            )
            for cluster in module.params["clusters"]
        }
        self._resource = Resource(
            self._params["group"],
            self._params["version"],
            self._params["resource"],
            namespaced=self._params["namespaced"],
        )
        self._now = 0.0
        self._history: dict[str, tuple[float, Any]] = {}
        self.clusters: dict[str, dict[str, Any]] = {}
        self.differences: list[_compare.Difference] = []
        self.missing: list[str] = []
        self.objects = 0

    def run(self) -> dict[str, Any]:
        start = time.monotonic()
        with ThreadPoolExecutor(len(self._names)) as pool:
            while not (consistent := self._look(pool)) and time.monotonic() - start < self._params["timeout"]:
                time.sleep(self._params["interval"])
        return {
            "changed": False,
            "consistent": consistent,
            "differences": [difference.as_dict() for difference in self.differences],
            "objects": self.objects,
            "lag_seconds": self._lag() if consistent else None,
            "elapsed_seconds": round(time.monotonic() - start, 3),
            "clusters": self.clusters,
            "table": _compare.table(self.differences, self._names) if self.differences else "",
        }

    def why(self) -> str:
        """Everything that stands against agreement, in words."""
        reasons = [f"{name}: {about['error']}" for name, about in self.clusters.items() if about["error"]]
        if self.missing:
            reasons.append(f"on no cluster: {', '.join(self.missing)}")
        if self.objects < self._params["min_objects"] and not reasons:
            reasons.append(f"{self.objects} objects found, at least {self._params['min_objects']} expected")
        if self.differences:
            reasons.append(_compare.table(self.differences, self._names))
        return "\n".join(reasons)

    def _look(self, pool: ThreadPoolExecutor) -> bool:
        self._now = time.monotonic()  # one moment for all: the requests of one look are no lag
        views: Views = dict(zip(self._names, pool.map(self._read, self._names)))
        found = {key for objects in views.values() for key in objects}
        self.objects = len(found)
        self.missing = sorted(set(self._params["names"]) - {name for _namespace, name in found})
        answered = {name: objects for name, objects in views.items() if self.clusters[name]["reachable"]}
        self.differences = _compare.compare(answered, tuple(self._params["ignore_fields"]))
        everything_there = (
            len(answered) == len(views) and not self.missing and self.objects >= self._params["min_objects"]
        )
        return everything_there and not self.differences

    def _read(self, name: str) -> dict[_compare.Key, dict[str, Any]]:
        selector = ",".join(self._params["label_selectors"])
        try:
            objects = self._clients[name].list(self._resource, self._params["namespace"] or "", label_selector=selector)
        except TmcError as error:
            self.clusters[name] = {"reachable": False, "objects": 0, "status_age_seconds": None, "error": str(error)}
            return {}
        wanted = self._params["names"]
        objects = [obj for obj in objects if not wanted or obj["metadata"]["name"] in wanted]
        newest = _compare.newest_status_time(objects)
        age = None if newest is None else round(max(0.0, time.time() - newest), 1)
        self.clusters[name] = {"reachable": True, "objects": len(objects), "status_age_seconds": age, "error": ""}
        views = {_compare.key_of(obj): _compare.view(obj) for obj in objects}
        if name not in self._history or self._history[name][1] != views:
            self._history[name] = (self._now, views)
        return views

    def _lag(self) -> float:
        """All clusters show the same now: the time between the first that came to it and the last."""
        since = [moment for moment, _views in self._history.values()]
        return round(max(since) - min(since), 3)


def check(params: dict[str, Any]) -> None:
    """Everything that can be said to be wrong before any cluster is asked."""
    names = [cluster["name"] for cluster in params["clusters"]]
    if len(names) < 2:
        raise InvalidInput(f"clusters has {len(names)} entries: at least 2 are needed to compare")
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidInput(f"clusters[{names.index(name)}].name and clusters[{index}].name are both {name!r}")
    require_positive(params, "timeout", "interval", "request_timeout")
    if params["min_objects"] < 0:
        raise InvalidInput(f"option min_objects is {params['min_objects']}: it must be 0 or more")


def body(module: AnsibleModule) -> dict[str, Any]:
    check(module.params)
    comparison = Comparison(module)
    result = comparison.run()
    if not result["consistent"] and module.params["fail_on_difference"]:
        after = f"the clusters do not agree after {result['elapsed_seconds']:g} s"
        module.fail_json(msg=f"{after}:\n{comparison.why()}", **result)
    return result


def main() -> None:
    cluster = {
        "name": {"type": "str", "required": True},
        "kubeconfig": {"type": "path", "required": True},
        "context": {"type": "str"},
    }
    spec = {
        "clusters": {"type": "list", "elements": "dict", "required": True, "options": cluster},
        "group": {"type": "str", "default": "demo.tmc.io"},
        "version": {"type": "str", "default": "v1"},
        "resource": {"type": "str", "default": "taskqueues"},
        "namespaced": {"type": "bool", "default": True},
        "namespace": {"type": "str"},
        "names": {"type": "list", "elements": "str", "default": [], "aliases": ["name"]},
        "label_selectors": {"type": "list", "elements": "str", "default": []},
        "ignore_fields": {"type": "list", "elements": "str", "default": []},
        "min_objects": {"type": "int", "default": 1},
        "timeout": {"type": "float", "default": 30.0},
        "interval": {"type": "float", "default": 0.25},
        "fail_on_difference": {"type": "bool", "default": True},
        "allow_exec": {"type": "bool", "default": False, "fallback": (env_fallback, ["K8S_AUTH_ALLOW_EXEC"])},
        "allow_insecure_mode": {"type": "bool", "default": False},
        "request_timeout": {"type": "float", "default": 10.0},
    }
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), body)


if __name__ == "__main__":
    main()
