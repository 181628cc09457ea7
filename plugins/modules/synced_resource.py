#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declares a kind that the fabric carries, on one cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: synced_resource
short_description: Declare a kind that the fabric carries
description:
  - Makes one cluster carry a kind. Run it against the hub and against every member.
  - On the hub it keeps the ConfigMap C(tmc-system/<resource>.<group>), by which admission goes, and the
    C(SyncedResource). A new processor starts a new term; the epoch grows by one, in a conditional write of the
    ConfigMap, which the SyncedResource follows. An interrupted run is completed by the next one with the same epoch.
  - On a member it makes the first mirror of both. From then on the member's syncer mirrors what the hub says.
  - On both it keeps the syncers' rights on the kind and the admission policies C(tmc-copies.<resource>.<group>) and, on
    the hub, C(tmc-syncers.<resource>.<group>) and C(tmc-term.<resource>.<group>).
  - The CRD of the kind and those of C(manifests/fabric) must be there. On the hub, a subresource C(scale) of the kind is warned
    of; what is scaled on a copy is put back.
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.auth
  - tmc.cross_cluster.attributes
options:
  state:
    description:
      - V(present) declares the kind, V(absent) removes the declaration, the rights and the policies.
      - Objects of the kind stay. So does the ConfigMap on the hub, because their status tells of its epoch, which may not go
        back; the next declaration of the kind goes on from it.
    type: str
    choices: [present, absent]
    default: present
  cluster_name:
    description:
      - Name of the cluster that the module is connected to, as the fabric knows it.
    type: str
    required: true
  role:
    description:
      - What the cluster is in the fabric.
    type: str
    choices: [hub, member]
    required: true
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
      - Plural name of the kind, lower case.
    type: str
    default: taskqueues
  processor:
    description:
      - Name of the cluster whose controller works on the kind; a member, or the hub. Required with O(state=present).
    type: str
  clusters:
    description:
      - Names of all clusters of the fabric. When given, O(processor) and O(cluster_name) must be among them.
    type: list
    elements: str
  deletion_grace:
    description:
      - How long a deletion waits for a member that is away, such as V(5m).
    type: str
    default: 5m
  status_writers:
    description:
      - User names that may write status on the processor, without commas. Empty means whoever RBAC lets.
    type: list
    elements: str
    default: []
  namespaces:
    description:
      - What happens when the namespace of an object is missing on another cluster.
      - V(Create) makes it there, without labels or annotations. V(Wait) leaves the object waiting until somebody makes it.
    type: str
    choices: [Create, Wait]
    default: Create
  on_origin_deleted:
    description:
      - What becomes of the copies when the origin object is deleted.
      - V(Delete) removes them everywhere. V(Keep) leaves each of them as an ordinary object of the cluster it stands on.
    type: str
    choices: [Delete, Keep]
    default: Delete
  failover_candidates:
    description:
      - Members, in order, that take the kind over by themselves when the member of the processor is lost. The processor may
        be among them, the hub may not. Empty means that none does, and that a person moves the processor.
      - A processor that is only cut off from the hub is lost, too. It goes on working beside its successor until it hears of
        it, so that what its controller does outside of the clusters may be done twice; what it writes in that time is lost.
      - On the hub it also lets the syncers of these members, and no others, do so. Nothing moves back by itself.
      - The operator of the kind must run on each candidate, and only work while the fabric's C(SyncedResource) there
        names that cluster, as C(tmc controller) does.
    type: list
    elements: str
    default: []
  failover_after:
    description:
      - Seconds for which the syncer of the processor's member is not heard of before the first candidate takes over, 30 to
        86400. The second one waits twice as long, and so on.
    type: int
    default: 60
seealso:
  - module: tmc.cross_cluster.member
"""

EXAMPLES = r"""
- name: Carry TaskQueues, which west works on (on the hub)
  tmc.cross_cluster.synced_resource:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"
    cluster_name: kcp
    role: hub
    group: demo.tmc.io
    version: v1
    resource: taskqueues
    processor: west
    clusters: "{{ groups['hub'] + groups['members'] }}"
    status_writers: ["system:serviceaccount:default:taskqueue-controller"]

- name: Carry them on a member, too
  tmc.cross_cluster.synced_resource:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"
    cluster_name: east
    role: member
    processor: west

- name: East takes over when nothing is heard of west for two minutes, and the other way round (on the hub)
  tmc.cross_cluster.synced_resource:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"
    cluster_name: kcp
    role: hub
    processor: west
    clusters: "{{ groups['hub'] + groups['members'] }}"
    failover_candidates: [west, east]
    failover_after: 120
"""

RETURN = r"""
name:
  description: Name of the C(SyncedResource).
  returned: success
  type: str
  sample: taskqueues.demo.tmc.io
spec:
  description: Its spec after the call, on this cluster.
  returned: with O(state=present)
  type: dict
  sample:
    group: demo.tmc.io
    version: v1
    resource: taskqueues
    processor: west
    epoch: 1
    deletionGrace: 5m
    statusWriters: []
    namespaces: Create
    onOriginDeleted: Delete
epoch:
  description: Fencing number of the processor's term.
  returned: with O(state=present)
  type: int
  sample: 1
kind:
  description: What the CRD says about the kind.
  returned: with O(state=present)
  type: dict
  contains:
    kind:
      description: The name in the singular, as in C(kind) of a manifest.
      type: str
    namespaced:
      description: Whether objects live in namespaces.
      type: bool
    has_status:
      description: Whether there is a status subresource.
      type: bool
  sample: {kind: TaskQueue, namespaced: true, has_status: true}
objects:
  description: The objects that were written or removed.
  returned: success
  type: list
  elements: str
  sample: ["create ConfigMap tmc-system/taskqueues.demo.tmc.io", "create SyncedResource taskqueues.demo.tmc.io"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils import (
    _admission,
    _apply,
    _declare,
    _fabric,
    _failover,
    _fence,
    _names,
    _policy,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import (
    InvalidInput,
    NotReady,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import MUTUALLY_EXCLUSIVE, auth_spec
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    NAMESPACE,
    SYNCED_RESOURCE,
)

Result = dict[str, Any]
Object = dict[str, Any]


class Declaration:
    """One synced kind on one cluster."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        self.check_mode: bool = module.check_mode
        self.hub: bool = module.params["role"] == "hub"
        self.kind = _admission.Kind(module.params["group"], module.params["resource"])
        self.client = connect(module)

    def present(self) -> Result:
        _apply.require_server(self.client)
        about = self._crd()
        changes, spec = self._declaration()
        cluster = _admission.Cluster(self.params["cluster_name"], _apply.cluster_uid(self.client))
        others = _apply.plan_present(self.client, self._objects(cluster))
        others += _apply.plan_absent(self.client, self._not_wanted())
        _apply.check_rights(self.client, [*changes, *others])
        if not self.check_mode:
            # First the ConfigMap, which the policies look up: one without its parameter denies everything.
            spec = _declare.declare(self.client, self.kind.name, self._declaration)
            _apply.carry_out(self.client, others, checked=True)
        return self._result([*changes, *others]) | {"spec": spec, "epoch": spec["epoch"], "kind": about}

    def absent(self) -> Result:
        cluster = _admission.Cluster(self.params["cluster_name"], "")
        declaration = _fabric.synced_resource(self.kind.name, {})
        parameters = _policy.parameters(self.kind.name, {"processor": "", "epoch": 0, "statusWriters": []})
        # The ConfigMap last: a policy without its parameter denies everything. On the hub it stays: the next declaration
        # goes on from its term, below which controllers leave objects alone and mirrors do not go.
        memory = [] if self.hub else [parameters]
        ours = [*self._not_wanted(), *reversed(self._objects(cluster)), declaration, *memory]
        changes = _apply.plan_absent(self.client, ours)
        _apply.check_rights(self.client, changes)
        if not self.check_mode:
            _apply.carry_out(self.client, changes, checked=True)
        return self._result(changes)

    def _objects(self, cluster: _admission.Cluster) -> list[dict[str, Any]]:
        rights = _fabric.kind_rights(self.kind.group, self.kind.resource, hub=self.hub)
        if self.hub and self._candidates:
            rights += _failover.rights(self.kind, self._candidates)
        return [*rights, *_admission.policies(self.kind, cluster, hub=self.hub)]

    def _not_wanted(self) -> list[dict[str, Any]]:
        """The rights to a failover, on a hub where there is none any more: first the bindings."""
        if not self.hub or self._candidates:
            return []
        return _failover.rights(self.kind, [])[::-1]

    @property
    def _candidates(self) -> list[str]:
        """Empty also when the kind is to go."""
        return self.params["failover_candidates"] if self.params["state"] == "present" else []

    def _crd(self) -> dict[str, Any]:
        """What the CRD says; NotReady when it is missing or not Established, InvalidInput for an unserved version."""
        where = f"on '{self.client.label}'"
        crd = self.client.get(CUSTOM_RESOURCE_DEFINITION, self.kind.name)
        if crd is None:
            raise NotReady(f"CustomResourceDefinition {self.kind.name} is not {where}: install it before it is synced")
        states = {c["type"]: c["status"] for c in (crd.get("status") or {}).get("conditions") or []}
        if states.get("Established") != "True":
            raise NotReady(
                f"CustomResourceDefinition {self.kind.name} is not Established {where}; its conditions: {states}"
            )
        served = {version["name"]: version for version in crd["spec"]["versions"] if version.get("served")}
        version = served.get(self.params["version"])
        if version is None:
            raise InvalidInput(
                f"version {self.params['version']!r} of {self.kind.name} is not served {where}; "
                f"served: {', '.join(served)}"
            )
        if self.hub and "scale" in (version.get("subresources") or {}):
            self.module.warn(
                f"{self.kind.name} has a subresource scale, which admission of copies does not see: a copy that is "
                "scaled is put back, with an Event. Scale each object, and run its autoscaler, on its origin alone"
            )
        return {
            "kind": crd["spec"]["names"]["kind"],
            "namespaced": crd["spec"]["scope"] == "Namespaced",
            "has_status": "status" in (version.get("subresources") or {}),
        }

    def _declaration(self) -> tuple[list[_apply.Change], Object]:
        """The changes of ConfigMap and SyncedResource that are due, in this order, and the spec that will hold."""
        live = self.client.get(SYNCED_RESOURCE, self.kind.name)
        fence = self.client.get(CONFIG_MAP, self.kind.name, _names.HUB_NAMESPACE)
        if fence is None:
            self._require_namespace()
        # What is on a member already is its syncer's.
        spec = live["spec"] if live and not self.hub else self._wanted(live, fence)
        return _declare.due(self.kind.name, live, fence, spec, hub=self.hub), spec

    def _require_namespace(self) -> None:
        if self.client.get(NAMESPACE, _names.HUB_NAMESPACE) is None:
            raise NotReady(
                f"Namespace {_names.HUB_NAMESPACE} is not on '{self.client.label}': apply manifests/fabric there first"
            )

    def _wanted(self, live: Object | None, fence: Object | None) -> Object:
        # A member that has no mirror yet begins below whatever the hub says: its epoch may not go back.
        known = [*_fence.of_config_map(fence), *_fence.of_synced_resource(live)] if self.hub else []
        return _failover.spec(self._candidates, self.params["failover_after"], live) | {
            "group": self.kind.group,
            "version": self.params["version"],
            "resource": self.kind.resource,
            "processor": self.params["processor"],
            "epoch": _fence.epoch_for(self.params["processor"], known),
            "deletionGrace": self.params["deletion_grace"],
            "statusWriters": self.params["status_writers"],
            "namespaces": self.params["namespaces"],
            "onOriginDeleted": self.params["on_origin_deleted"],
        }

    def _result(self, changes: list[_apply.Change]) -> Result:
        return {
            "name": self.kind.name,
            "changed": bool(changes),
            "objects": [f"{change.verb} {change.title}" for change in changes],
            "diff": _apply.diff_of(changes),
        }


def check(params: dict[str, Any]) -> None:
    """Everything that can be said to be wrong before any cluster is asked."""
    for problem in _problems(params):
        raise InvalidInput(problem)


def _problems(params: dict[str, Any]) -> Any:
    names, processor = params["clusters"], params["processor"]
    if params["state"] == "present" and not processor:  # required_if lets an explicit null or "" through
        yield f"processor {processor!r} is no cluster: name the one whose controller works on the kind"
    if problem := _names.cluster_name_problem(params["cluster_name"], "cluster_name"):
        yield problem
    if processor and (problem := _names.cluster_name_problem(processor, "processor")):
        yield problem
    for option, value in (("processor", processor), ("cluster_name", params["cluster_name"])):
        if names and value and value not in names:
            yield f"{option} {value!r} is not one of: {', '.join(names)}"
    yield from _failover.problems(params)
    if not _names.is_duration(params["deletion_grace"]):
        yield f"deletion_grace {params['deletion_grace']!r} is no duration: write it as 30s, 5m or 1h30m"
    for writer in params["status_writers"]:
        if not writer or "," in writer:
            yield f"status_writers {writer!r} is no user name that can be listed: it may not be empty or have a comma"
    if "." not in params["group"]:
        yield f"group {params['group']!r} is no API group of a CRD: it looks like demo.tmc.io"
    if not _names.is_dns_label(params["resource"]):
        yield f"resource {params['resource']!r} is invalid: use the plural, lower-case name, like taskqueues"


def body(module: AnsibleModule) -> Result:
    check(module.params)
    declaration = Declaration(module)
    return declaration.present() if module.params["state"] == "present" else declaration.absent()


def main() -> None:
    spec = auth_spec() | {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "cluster_name": {"type": "str", "required": True},
        "role": {"type": "str", "choices": ["hub", "member"], "required": True},
        "group": {"type": "str", "default": "demo.tmc.io"},
        "version": {"type": "str", "default": "v1"},
        "resource": {"type": "str", "default": "taskqueues"},
        "processor": {"type": "str"},
        "clusters": {"type": "list", "elements": "str"},
        "deletion_grace": {"type": "str", "default": "5m"},
        "status_writers": {"type": "list", "elements": "str", "default": []},
        "namespaces": {"type": "str", "choices": ["Create", "Wait"], "default": "Create"},
        "on_origin_deleted": {"type": "str", "choices": ["Delete", "Keep"], "default": "Delete"},
        "failover_candidates": {"type": "list", "elements": "str", "default": []},
        "failover_after": {"type": "int", "default": 60},
    }
    module = AnsibleModule(
        argument_spec=spec,
        mutually_exclusive=MUTUALLY_EXCLUSIVE,
        required_if=[("state", "present", ["processor"])],
        supports_check_mode=True,
    )
    run(module, body)


if __name__ == "__main__":
    main()
