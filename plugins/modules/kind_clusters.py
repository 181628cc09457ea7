#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kind_clusters
short_description: kind clusters, several at the same time
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Makes one kind cluster, C(controller-<name>), for each entry, all at the same time, or removes them.
  - A creation that was interrupted is recognised and made anew; a node that was stopped is started again.
  - Only containers that carry the mark of this state directory are ever started or removed. A file of the state directory,
    mounted into the node, is that mark. Anything else that stands where a cluster would be is refused before anything is
    changed.
  - Everything that would fail is named before anything is written or started.
options:
  state:
    description:
      - V(present) creates or starts what is missing, writes kubeconfigs and waits until every cluster can run Pods.
      - V(absent) removes the clusters and what is kept of them. The engine's images and its network C(kind) stay.
    type: str
    choices: [present, absent]
    default: present
  state_dir:
    description: Directory that holds everything of the fabric on this machine. Its parents are created, mode 0700.
    type: path
    required: true
  clusters:
    description:
      - The clusters to make present or absent. Needed with O(state=present).
      - Left out with O(state=absent), all that were made from the state directory.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the cluster, a DNS label of at most 40 characters.
        type: str
        required: true
      port:
        description: TCP port of the API server on 127.0.0.1, 1024 to 65535. Not used with O(state=absent).
        type: raw
  engine:
    description: Container engine. Default the one that E(KIND_EXPERIMENTAL_PROVIDER) names, else the first that answers.
    type: str
    choices: [docker, podman]
  kind:
    description: The kind program. Needed with O(state=present) but in check mode.
    type: path
  node_image:
    description: Image of the nodes. Default kind's own.
    type: str
  kubeadm_patches:
    description: Texts for kind's C(kubeadmConfigPatches). For clusters that are new.
    type: list
    elements: str
    default: []
  containerd_patches:
    description: Texts for kind's C(containerdConfigPatches). For clusters that are new.
    type: list
    elements: str
    default: []
  user_kubeconfig:
    description:
      - Put the contexts C(kind-controller-<name>) into the kubeconfig that C(kubectl) reads, too (E(KUBECONFIG), else
        C(~/.kube/config)), as kind does. Its current context stays as it is, when it has one.
      - With O(state=absent) they are always taken out.
    type: bool
    default: true
  wait_timeout:
    description: Seconds that creating all clusters may take, and then again until they can run Pods.
    type: int
    default: 300
  skip_checks:
    description: Estimates of what new clusters need that shall not stop the run.
    type: list
    elements: str
    choices: [disk, inotify, memory]
    default: []
  keep_logs:
    description: With O(state=absent), leave C(logs/) and C(report.json), and the ownership marker with them.
    type: bool
    default: false
requirements:
  - docker or podman
  - kind >= 0.20
  - PyYAML
  - urllib3
  - supervisor >= 4.3
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Two clusters
  tmc.cross_cluster.kind_clusters:
    state_dir: ~/.local/state/tmc-cross-cluster
    kind: /usr/local/bin/kind
    clusters:
      - {name: kcp, port: 37443}
      - {name: east, port: 37444}

- name: None any more
  tmc.cross_cluster.kind_clusters:
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
      description: Whether something of this cluster was made, started or removed.
      type: bool
      returned: always
    did:
      description: V(created), V(made anew) (an interrupted creation), V(started) or nothing.
      type: str
      returned: when O(state=present)
    kubeconfig:
      description: Path of the administrator's kubeconfig, context C(kind-controller-<name>), mode 0600.
      type: str
      returned: when O(state=present)
    context:
      description: Name of the context, in the user's own kubeconfig as well.
      type: str
      returned: when O(state=present)
    port:
      description: TCP port of the API server on 127.0.0.1.
      type: int
      returned: when O(state=present)
    server_inside:
      description: URL of the API server for Pods of the other clusters.
      type: str
      returned: when O(state=present)
    ready_seconds:
      description: How long the cluster took until it could run Pods, once created.
      type: float
      returned: when O(state=present), not in check mode
engine:
  description: The engine that was used; empty when none was needed.
  returned: success
  type: str
removed:
  description: Paths that were removed, or would be.
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

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_preflight import state_problems
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_supervisor import HAS_SUPERVISOR
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import (
    Cluster,
    EmbeddedError,
    name_problem,
    parse_clusters,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_create import Kind
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import (
    EngineFacts,
    KindError,
    first_that_answers,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_fabric import KindClusters, KindFiles
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_nodes import Found
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_preflight import (
    CHECKS,
    foreign_problems,
    port_problems,
    room_problems,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_ready import wait_ready
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_state import KindState, context_name, node_name
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_user_kubeconfig import problems as own_problems
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import require
from ansible_collections.tmc.cross_cluster.plugins.module_utils._providers import strangers

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "state_dir": {"type": "path", "required": True},
    "clusters": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "port": {"type": "raw"}},
    },
    "engine": {"type": "str", "choices": ["docker", "podman"]},
    "kind": {"type": "path"},
    "node_image": {"type": "str"},
    "kubeadm_patches": {"type": "list", "elements": "str", "default": []},
    "containerd_patches": {"type": "list", "elements": "str", "default": []},
    "user_kubeconfig": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "skip_checks": {"type": "list", "elements": "str", "choices": list(CHECKS), "default": []},
    "keep_logs": {"type": "bool", "default": False},
}
LOCK_SECONDS = 300.0


def fail_with(module: AnsibleModule, problems: list[str]) -> None:
    """End with every problem at once."""
    lines = "\n".join(f"- {problem}" for problem in problems)
    module.fail_json(msg=f"{len(problems)} problem(s); nothing was started:\n{lines}", problems=problems)


def input_problems(module: AnsibleModule, kind: KindState) -> tuple[list[Cluster], list[str]]:
    """The clusters, and what is wrong with the options or the state directory."""
    clusters, problems = parse_clusters(module.params["clusters"])
    problems += state_problems(kind.state, 0)
    problems += strangers(kind.state, "kind")
    if module.params["wait_timeout"] <= 0:
        problems.append(f"wait_timeout {module.params['wait_timeout']} must be greater than 0 seconds")
    if not module.params["kind"] and not module.check_mode:
        problems.append("option kind is missing: the path of the kind program")
    if module.params["user_kubeconfig"]:
        problems += own_problems()
    return clusters, problems


def checked(
    module: AnsibleModule, clusters: list[Cluster], problems: list[str], there: KindClusters, facts: EngineFacts
) -> dict[str, Found]:
    """What there is of the clusters. Does not return when something is wrong."""
    found, others = there.find([cluster.name for cluster in clusters])
    problems += foreign_problems(found, there.kind)
    problems += port_problems(clusters, found)
    new = sum(one.stage in ("absent", "half-made") for one in found.values())
    running = others + sum(one.stage in ("whole", "stopped") for one in found.values())
    problems += room_problems(facts, new, running, module.params["skip_checks"])
    if problems:
        fail_with(module, problems)
    return found


def present(module: AnsibleModule, kind: KindState) -> dict[str, object]:
    clusters, problems = input_problems(module, kind)
    try:
        engine, facts = first_that_answers(module.params["engine"] or "")
    except KindError as error:
        fail_with(module, [*problems, str(error)])
    there = KindClusters(kind, engine)
    found = checked(module, clusters, problems, there, facts)
    ready: dict[str, float] = {}
    if module.check_mode:
        changed = {name for name, one in found.items() if one.stage != "whole"}
        did = dict.fromkeys(found, "")
    else:
        changed, did, ready = make(module, there, clusters, found)
    shared = module.params["user_kubeconfig"] and there.share_kubeconfigs(list(found), not module.check_mode)
    return {
        "changed": bool(changed) or shared,
        "engine": engine.name,
        "clusters": {
            cluster.name: {
                "changed": cluster.name in changed,
                "did": did[cluster.name],
                "kubeconfig": str(kind.state.kubeconfig(cluster.name)),
                "context": context_name(cluster.name),
                "port": cluster.port,
                "server_inside": f"https://{node_name(cluster.name)}:6443",
                **({"ready_seconds": ready[cluster.name]} if cluster.name in ready else {}),
            }
            for cluster in clusters
        },
        "diff": {
            "before": {name: one.told() for name, one in found.items()},
            "after": {cluster.name: {"port": cluster.port} for cluster in clusters},
        },
    }


def make(
    module: AnsibleModule, there: KindClusters, clusters: list[Cluster], found: dict[str, Found]
) -> tuple[set[str], dict[str, str], dict[str, float]]:
    """Make the clusters whole: names of those that changed, what was done, seconds until each was ready."""
    params, kind = module.params, there.kind
    program = Kind(params["kind"], there.engine, params["node_image"] or "")
    names = list(found)
    kind.state.claim()
    with kind.state.locked(LOCK_SECONDS) as lock:
        found = there.find(names)[0]  # another run may have been at work until now
        refused = list(foreign_problems(found, kind))
        if refused:
            fail_with(module, refused)
        for name in there.write_configs(clusters, found, (params["kubeadm_patches"], params["containerd_patches"])):
            module.warn(f"cluster '{name}' was made with another configuration and keeps it until it is made anew")
        did = there.make(program, found, lock, params["wait_timeout"])
        changed = there.write_kubeconfigs(program, names) | {name for name, what in did.items() if what}
    paths = {name: str(kind.state.kubeconfig(name)) for name in names}
    return changed, did, wait_ready(paths, params["wait_timeout"])


def absent(module: AnsibleModule, kind: KindState) -> dict[str, object]:
    files = KindFiles(kind)
    entries = module.params["clusters"]
    names = kind.known() if entries is None else [entry["name"] for entry in entries]
    problems = [problem for problem in map(name_problem, names) if problem]
    if problems:
        fail_with(module, problems)
    files.refuse_existing()
    there = engine_for_removal(module, kind, names)
    found = there.find(names)[0] if there else {}
    ours = [name for name, one in found.items() if one.stage not in ("absent", "foreign")]
    known = [name for name in names if name in kind.known()]
    if kind.state.foreign() and not kind.state.owned():
        raise KindError(f"refused: state directory '{kind.state.root}' has no ownership marker; nothing removed")
    doomed = files.doomed(names, module.params["keep_logs"]) if known or not files.others() else []
    shared = there.unshare_kubeconfigs(known, not module.check_mode) if there else False
    if not module.check_mode and (doomed or ours):
        kind.state.claim()  # somebody may have removed it; the containers tell whose they are
        with kind.state.locked(LOCK_SECONDS):
            if there:
                there.remove_nodes(ours)
            files.absent(names, module.params["keep_logs"])
    return {
        "changed": bool(doomed or ours) or shared,
        "engine": there.engine.name if there else "",
        "clusters": {name: {"changed": name in ours} for name in names},
        "removed": [str(path) for path in doomed],
        "diff": {
            "before": {name: found[name].told() for name in ours},
            "after": dict.fromkeys(ours, "absent"),
        },
    }


def engine_for_removal(module: AnsibleModule, kind: KindState, names: list[str]) -> KindClusters | None:
    """None where no engine answers and nothing was ever made: then none need be there. Raises KindError otherwise."""
    try:
        return KindClusters(kind, first_that_answers(module.params["engine"] or "")[0])
    except KindError as error:
        left = [name for name in names if name in kind.known()]
        if left:
            raise KindError(f"kind clusters {', '.join(left)} cannot be removed: {error}") from error
        return None


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "present", ["clusters"])],
        supports_check_mode=True,
    )
    require(module)
    if not HAS_SUPERVISOR:
        module.fail_json(msg=missing_required_lib("supervisor"))
    kind = KindState(State(module.params["state_dir"]))
    try:
        result = (present if module.params["state"] == "present" else absent)(module, kind)
    except (EmbeddedError, KindError, TmcError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"cannot write {kind.state.root}: {error.strerror or error}: {error.filename or ''}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
