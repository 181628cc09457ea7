#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the state of a fabric from its clusters."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_info
short_description: What the clusters of a fabric really hold, and what is missing
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Reads all clusters of a fabric at once and tells which API servers answer, which members are connected, whether a
    kind is served everywhere with one schema, and where its controller is at work.
  - Waits until everything in O(expect) holds, and fails naming what does not.
options:
  hub:
    description: Name of the hub, one of the keys of O(clusters).
    type: str
    required: true
  clusters:
    description: Path of the kubeconfig of each cluster, by the cluster's name.
    type: dict
    required: true
  processor:
    description: Name of the cluster whose controller works on the kind. Needed for V(controller) in O(expect).
    type: str
  crd:
    description: Name of the kind's custom resource definition.
    type: str
    default: taskqueues.demo.tmc.io
  lease:
    description: Namespace and name of the Lease of the kind's controller.
    type: str
    default: default/taskqueue-controller
  expect:
    description:
      - What must hold.
      - V(clusters) - every API server answers, and no two are the same cluster.
      - V(syncers) - every member's syncer is alive and reaches the hub.
      - V(members) - every member is Ready, its syncer carries every kind that the fabric has and is heard of.
      - V(kind) - the kind is served everywhere with one schema, every cluster knows that the fabric carries it, and every
        member that has told of it carries it.
      - V(controller) - exactly one controller is at work, on O(processor). Those of candidates for a failover stand by.
    type: list
    elements: str
    choices: [clusters, syncers, members, kind, controller]
    default: []
  timeout:
    description: How long to wait for it, in seconds.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: The fabric is complete
  tmc.cross_cluster.fabric_info:
    hub: kcp
    clusters:
      kcp: /path/to/kcp.kubeconfig
      east: /path/to/east.kubeconfig
      west: /path/to/west.kubeconfig
    processor: west
    expect: [clusters, members, kind, controller]
"""

RETURN = r"""
clusters:
  description: What each cluster holds.
  returned: always
  type: dict
  contains:
    uid:
      description: Identity of the cluster, the uid of its namespace kube-system.
      type: str
    version:
      description: Version of the API server.
      type: str
    processor:
      description: The processor in the cluster's SyncedResource.
      type: str
    epoch:
      description: The processor's term in the cluster's SyncedResource.
      type: int
    established:
      description: Whether the kind is served.
      type: bool
    schema:
      description: Hash of the kind's schema.
      type: str
    syncers:
      description: On the hub, the members whose syncer is alive and reaches it.
      type: list
      elements: str
    ready:
      description: On the hub, for each member why it is not Ready; empty when it is.
      type: dict
    carried:
      description: On the hub, for each member that has said so, why it does not carry the kind; empty when it does.
      type: dict
    candidates:
      description: The members that take the kind over when the processor's is lost, in the cluster's SyncedResource.
      type: list
      elements: str
    controller:
      description: Identity of the controller that holds a live Lease there, at work or standing by.
      type: str
    error:
      description: Why the cluster does not answer; empty when it does.
      type: str
rows:
  description: The same for people, one row a cluster.
  returned: always
  type: list
  elements: dict
problems:
  description: One sentence for each thing that was expected and does not hold.
  returned: always
  type: list
  elements: str
"""

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _fabric_view as fabric
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import load_file
from ansible_collections.tmc.cross_cluster.plugins.module_utils._names import HUB_NAMESPACE
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import environment_rules
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CUSTOM_RESOURCE_DEFINITION,
    MEMBER,
    NAMESPACE,
    SYNCED_RESOURCE,
    Resource,
)

LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease")
POLL = 0.3


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "hub": {"type": "str", "required": True},
            "clusters": {"type": "dict", "required": True},
            "processor": {"type": "str"},
            "crd": {"type": "str", "default": "taskqueues.demo.tmc.io"},
            "lease": {"type": "str", "default": "default/taskqueue-controller"},
            "expect": {
                "type": "list",
                "elements": "str",
                "choices": ["clusters", "syncers", "members", "kind", "controller"],
                "default": [],
            },
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        check_options(module.params)
        views, problems = wait(module.params)
    except TmcError as error:
        module.fail_json(msg=str(error))
    answer = {
        "clusters": {name: described(view) for name, view in views.items()},
        "rows": fabric.rows(views, module.params["hub"], module.params["crd"].partition(".")[0]),
        "problems": problems,
    }
    if problems:
        module.fail_json(msg="\n".join(problems), problems=problems)
    module.exit_json(changed=False, **answer)


def described(view: fabric.View) -> dict[str, Any]:
    """The view as a result of the module."""
    return {key: value for key, value in asdict(view).items() if key != "name"} | {"syncers": sorted(view.syncers)}


def check_options(params: dict[str, Any]) -> None:
    """Raises TmcError when a name is not one of the clusters, the lease has no namespace, or the time is not positive."""
    clusters = ", ".join(params["clusters"])
    needed = ["hub", *(["processor"] if "controller" in params["expect"] else [])]
    for option in needed:
        if params[option] not in params["clusters"]:
            raise TmcError(f"{option} '{params[option]}' is not one of: {clusters}")
    if [bool(part) for part in params["lease"].split("/")] != [True, True]:
        raise TmcError(f"option lease '{params['lease']}' must be NAMESPACE/NAME, such as default/taskqueue-controller")
    if params["timeout"] <= 0:
        raise TmcError(f"option timeout is {params['timeout']}: it must be greater than 0")


def wait(params: dict[str, Any]) -> tuple[dict[str, fabric.View], list[str]]:
    """Looks until all that is expected holds or the time is over; returns the last look and what was missing then."""
    deadline = time.monotonic() + params["timeout"]
    clients = {
        name: Client(load_file(path, rules=environment_rules()), timeout=5.0)
        for name, path in params["clusters"].items()
    }
    with ThreadPoolExecutor(len(clients)) as pool:
        while True:
            looks = pool.map(lambda name: look(name, clients[name], params), clients)
            views = {view.name: view for view in looks}
            problems = judge(views, params)
            if not problems or time.monotonic() > deadline:
                return views, problems
            time.sleep(POLL)


def judge(views: dict[str, fabric.View], params: dict[str, Any]) -> list[str]:
    """What is expected and does not hold."""
    expect = params["expect"]
    problems = fabric.clusters_problems(views) if expect else []
    if problems:
        return problems
    if "syncers" in expect:
        problems += fabric.syncers_problems(views, params["hub"])
    if "members" in expect:
        problems += fabric.members_problems(views, params["hub"])
    if "kind" in expect:
        problems += fabric.kind_problems(views, params["hub"], params["crd"])
    if "controller" in expect:
        problems += fabric.controller_problems(views, params["processor"])
    return problems


def look(name: str, client: Client, params: dict[str, Any]) -> fabric.View:
    """One cluster's answers."""
    try:
        kube_system = client.get(NAMESPACE, "kube-system") or {"metadata": {"uid": ""}}
        crd = client.get(CUSTOM_RESOURCE_DEFINITION, params["crd"]) or {}
        declared = client.get(SYNCED_RESOURCE, params["crd"]) or {}
        synced = declared.get("spec", {})
        namespace, _slash, lease = params["lease"].partition("/")
        return fabric.View(
            name=name,
            uid=str(kube_system["metadata"]["uid"]),
            version=str(client.request("GET", "/version").get("gitVersion")),
            established=condition(crd, "Established")[0],
            schema=hash_of(crd.get("spec", {}).get("versions")),
            processor=str(synced.get("processor", "")),
            epoch=int(synced.get("epoch", 0)),
            candidates=tuple((synced.get("failover") or {}).get("candidates") or ()),
            controller=holder(client.get(LEASE, lease, namespace)),
            syncers=syncers(client) if name == params["hub"] else frozenset(),
            ready=members(client) if name == params["hub"] else {},
            carried=carried(declared) if name == params["hub"] else {},
        )
    except TmcError as error:
        return fabric.View(name=name, error=str(error))


def syncers(client: Client) -> frozenset[str]:
    """The members whose syncer holds a live Lease on the hub."""
    leases = client.list(LEASE, HUB_NAMESPACE)
    return frozenset(lease["metadata"]["name"].removeprefix("syncer-") for lease in leases if holder(lease))


def members(client: Client) -> dict[str, str]:
    """For each Member on the hub: empty when it is Ready, else why not."""
    try:
        found = client.list(MEMBER)
    except ApiError as error:
        if error.status == 404:  # the kind is not installed yet
            return {}
        raise
    answers = {member["metadata"]["name"]: condition(member, "Ready") for member in found}
    return {name: "" if good else why for name, (good, why) in answers.items()}


def carried(declared: dict[str, Any]) -> dict[str, str]:
    """For each member that tells of itself in a SyncedResource: empty when it carries the kind, else why not."""
    entries = [e for e in (declared.get("status") or {}).get("members") or [] if e["state"] != "Silent"]
    return {e["name"]: "" if e["state"] == "Accepted" else f"{e['state']}: {e.get('message', '')}" for e in entries}


def condition(obj: dict[str, Any], kind: str) -> tuple[bool, str]:
    """Whether the condition is True, and what it says."""
    for entry in (obj.get("status") or {}).get("conditions") or []:
        if entry["type"] == kind:
            return entry["status"] == "True", str(entry.get("message") or entry.get("reason") or "not ready")
    return False, f"no condition {kind} yet"


def holder(lease: dict[str, Any] | None) -> str:
    """Who holds the Lease, when it has been renewed in time; else nobody."""
    spec = (lease or {}).get("spec") or {}
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return ""
    renewed = datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
    end = renewed + timedelta(seconds=spec.get("leaseDurationSeconds") or 0)
    return str(spec["holderIdentity"]) if datetime.now(timezone.utc) < end else ""


def hash_of(value: Any) -> str:
    """Eight hex digits that are equal for equal values; empty for none."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8] if value else ""


if __name__ == "__main__":
    main()
