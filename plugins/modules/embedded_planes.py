#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: embedded_planes
short_description: Real Kubernetes control planes as local processes
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Runs C(etcd), C(kube-apiserver) and C(kube-controller-manager) for each cluster on this machine, under one
    supervisord for each state directory, or removes them.
  - The API server of a cluster listens on 127.0.0.1 and is the cluster's only TCP port. etcd listens on unix sockets
    inside the state directory.
  - Everything that would fail is named before anything is written or started.
options:
  state:
    description:
      - V(present) writes keys, configuration and kubeconfigs, starts what does not run and waits until every cluster serves.
      - V(absent) stops and removes the clusters, and supervisord when no cluster is left. A directory without ownership marker
        is refused.
    type: str
    choices: [present, absent]
    default: present
  state_dir:
    description: Directory that holds everything of the fabric on this machine. Its parents are created, mode 0700.
    type: path
    required: true
  binary_dir:
    description:
      - Directory of C(etcd), C(kube-apiserver) and C(kube-controller-manager).
      - May be left out with O(state=absent), and in check mode when they are still to be made.
    type: path
  clusters:
    description:
      - The clusters to make present or absent. Needed with O(state=present).
      - Left out with O(state=absent), all that are in the state directory. Empty, none of them, only what is left in it when
        there is none. Else the state directory of a fabric of existing clusters is refused.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the cluster, a DNS label of at most 40 characters.
        type: str
        required: true
      port:
        description: TCP port of the API server, 1024 to 65535. Not used with O(state=absent).
        type: raw
  hubs:
    description: Names of all hosts of the inventory group C(hub). Needed with O(state=present), when it must be exactly one.
    type: list
    elements: str
  members:
    description: Names of all hosts of the inventory group C(members).
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait until every cluster serves.
    type: int
    default: 120
  keep_logs:
    description: With O(state=absent), leave C(logs/) and C(report.json), and the ownership marker with them.
    type: bool
    default: false
requirements:
  - Linux
  - supervisor >= 4.3
  - cryptography >= 42
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Two control planes on this machine
  tmc.cross_cluster.embedded_planes:
    state_dir: ~/.local/state/tmc-cross-cluster
    binary_dir: ~/.cache/tmc-cross-cluster/bin/v1.35.4-etcd-v3.6.14
    clusters:
      - {name: kcp, port: 37443}
      - {name: east, port: 37444}
    hubs: [kcp]
    members: [east]

- name: None any more
  tmc.cross_cluster.embedded_planes:
    state: absent
    state_dir: ~/.local/state/tmc-cross-cluster
"""

RETURN = r"""
clusters:
  description: The clusters by name.
  returned: success
  type: dict
  contains:
    changed:
      description: Whether something of this cluster was written, restarted or removed.
      type: bool
      returned: always
    kubeconfig:
      description: Path of the administrator's kubeconfig, context C(controller-<name>), mode 0600.
      type: str
      returned: when O(state=present)
    port:
      description: TCP port of the API server.
      type: int
      returned: when O(state=present)
    ready_seconds:
      description: How long the cluster took to serve.
      type: float
      returned: when O(state=present), not in check mode
removed:
  description: Paths that were removed, or would be.
  returned: when O(state=absent)
  type: list
  elements: str
kept:
  description: Names in the state directory that are not the collection's and were left alone.
  returned: when O(state=absent)
  type: list
  elements: str
problems:
  description: Everything that was wrong, one sentence each.
  returned: on failure before anything was started
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_fabric import Fabric
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_pki import HAS_CRYPTOGRAPHY
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_preflight import preflight
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_ready import wait_ready
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_supervisor import HAS_SUPERVISOR
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import (
    Cluster,
    EmbeddedError,
    hub_problems,
    name_problem,
    parse_clusters,
)

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "state_dir": {"type": "path", "required": True},
    "binary_dir": {"type": "path"},
    "clusters": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "port": {"type": "raw"}},
    },
    "hubs": {"type": "list", "elements": "str"},
    "members": {"type": "list", "elements": "str", "default": []},
    "wait_timeout": {"type": "int", "default": 120},
    "keep_logs": {"type": "bool", "default": False},
}


def fail_with(module: AnsibleModule, problems: list[str]) -> None:
    """End with every problem at once."""
    lines = "\n".join(f"- {problem}" for problem in problems)
    module.fail_json(msg=f"{len(problems)} problem(s); nothing was started:\n{lines}", problems=problems)


def checked_clusters(module: AnsibleModule, fabric: Fabric) -> list[Cluster]:
    """The clusters, after everything that can be checked beforehand. Does not return when something is wrong."""
    params = module.params
    clusters, problems = parse_clusters(params["clusters"])
    named = {entry["name"] for entry in params["clusters"]}
    problems += hub_problems(params["hubs"], params["members"])
    # Hosts that this run leaves out count, too: their names are on the fabric's objects.
    others = [name for name in (*params["hubs"], *params["members"]) if name not in named]
    problems += [problem for problem in map(name_problem, others) if problem]
    binaries = None if module.check_mode and not params["binary_dir"] else params["binary_dir"] or ""
    problems += preflight(clusters, fabric.state, fabric.supervisor, binaries)
    if params["wait_timeout"] <= 0:
        problems.append(f"wait_timeout {params['wait_timeout']} must be greater than 0 seconds")
    if problems:
        fail_with(module, problems)
    return clusters


def present(module: AnsibleModule, fabric: Fabric) -> dict[str, object]:
    clusters = checked_clusters(module, fabric)
    names = [cluster.name for cluster in clusters]
    before = fabric.summary(names)
    if module.check_mode:
        idle = not fabric.supervisor.running()
        changed = {cluster.name for cluster in clusters if idle or fabric.would_change(cluster)}
        ready: dict[str, float] = {}
    else:
        fabric.state.claim()
        with fabric.state.locked():
            changed = fabric.present(clusters)
        ready = wait_ready(clusters, fabric.state, module.params["wait_timeout"])
    after = {cluster.name: {"port": cluster.port} for cluster in clusters}
    result = {
        cluster.name: {
            "changed": cluster.name in changed,
            "kubeconfig": str(fabric.state.kubeconfig(cluster.name)),
            "port": cluster.port,
            **({"ready_seconds": ready[cluster.name]} if cluster.name in ready else {}),
        }
        for cluster in clusters
    }
    return {"changed": bool(changed), "clusters": result, "diff": {"before": before, "after": after}}


def absent(module: AnsibleModule, fabric: Fabric) -> dict[str, object]:
    entries = module.params["clusters"]
    names = fabric.planes() if entries is None else [entry["name"] for entry in entries]
    problems = [problem for problem in map(name_problem, names) if problem]
    if problems:
        fail_with(module, problems)
    if not fabric.state.exists() or not any(fabric.state.root.iterdir()):
        return {"changed": False, "clusters": {name: {"changed": False} for name in names}, "removed": [], "kept": []}
    fabric.refuse_foreign(names)
    if entries != []:
        fabric.refuse_existing()
    before, present_before = fabric.summary(names), fabric.planes()
    keep = module.params["keep_logs"]
    doomed = fabric.doomed(names, keep)
    if doomed and not module.check_mode:
        with fabric.state.locked():
            fabric.absent(names, keep)
    return {
        "changed": bool(doomed),
        "clusters": {name: {"changed": name in present_before} for name in names},
        "removed": [str(path) for path in doomed],
        "kept": fabric.state.foreign(),
        "diff": {"before": before, "after": dict.fromkeys(names, "absent")},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "present", ["clusters", "hubs"])],
        supports_check_mode=True,
    )
    for library, there in (("supervisor", HAS_SUPERVISOR), ("cryptography", HAS_CRYPTOGRAPHY)):
        if not there:
            module.fail_json(msg=missing_required_lib(library))
    fabric = Fabric(State(module.params["state_dir"]), module.params["binary_dir"] or "")
    try:
        result = (present if module.params["state"] == "present" else absent)(module, fabric)
    except EmbeddedError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"cannot write {fabric.state.root}: {error.strerror or error}: {error.filename or ''}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
