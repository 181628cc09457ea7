#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Applies files of manifests to one cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: manifests
short_description: Apply files of Kubernetes manifests to one cluster
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Applies all objects of some files, in order, with server-side apply. Writes only what differs, and waits until the
    custom resource definitions among them are served.
  - A custom resource definition that somebody else installed is never written over. It serves as it is when its spec
    is the wanted one; else the module fails.
  - Meant for the manifests of this collection. A third of the time of M(kubernetes.core.k8s), which can do much more.
options:
  kubeconfig:
    description: Path of the cluster's kubeconfig.
    type: path
    required: true
  files:
    description: Paths of YAML files, each with one or more objects.
    type: list
    elements: path
    required: true
  exclude:
    description: Names of objects in these files that are left out.
    type: list
    elements: str
    default: []
  patches:
    description:
      - Changes of objects in these files, each with C(kind), C(metadata.name) and what differs, as in a kustomization.
      - Mappings are merged key by key, V(null) takes a key away; lists of things with a C(name), such as containers and
        their variables, are merged by name; everything else is replaced.
    type: list
    elements: dict
    default: []
  state:
    description:
      - V(present) applies the objects.
      - V(absent) removes those of them that carry the label C(app.kubernetes.io/managed-by=tmc.cross_cluster), last first; a
        stranger of the same name stays. It does not wait until they are gone.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: How long to wait for custom resource definitions, in seconds.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    description: Asks the cluster what would change and writes nothing.
  diff_mode:
    support: none
    description: Says which objects change, not how.
"""

EXAMPLES = r"""
- name: The fabric's kinds
  tmc.cross_cluster.manifests:
    kubeconfig: /path/to/kcp.kubeconfig
    files: [manifests/fabric/crds.yaml]

- name: The syncer of east
  tmc.cross_cluster.manifests:
    kubeconfig: /path/to/east.kubeconfig
    files: [manifests/syncer/rbac.yaml, manifests/syncer/deployment.yaml]
    patches:
      - kind: Deployment
        metadata: {name: kcp-syncer}
        spec: {replicas: 1}
"""

RETURN = r"""
applied:
  description: Kind and name of the objects that were written or removed.
  returned: always
  type: list
  elements: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils._apply import contains
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import load_file
from ansible_collections.tmc.cross_cluster.plugins.module_utils._manifest_files import read
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._names import MANAGED_BY
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import environment_rules
from ansible_collections.tmc.cross_cluster.plugins.module_utils._ownership import is_foreign_definition
from ansible_collections.tmc.cross_cluster.plugins.module_utils._patches import patched
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import CUSTOM_RESOURCE_DEFINITION, Resource

POLL = 0.05


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "path", "required": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "patches": {"type": "list", "elements": "dict", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    run(module, body)


def body(module: AnsibleModule) -> dict[str, Any]:
    """The module's result. Raises TmcError."""
    objects = [obj for file in module.params["files"] for obj in read(file)]
    wanted = patched(
        [obj for obj in objects if obj["metadata"]["name"] not in module.params["exclude"]], module.params["patches"]
    )
    cluster = Cluster(Client(load_file(module.params["kubeconfig"], rules=environment_rules())))
    if module.params["state"] == "absent":
        removed = [cluster.title(obj) for obj in reversed(wanted) if cluster.remove(obj, write=not module.check_mode)]
        return {"changed": bool(removed), "applied": removed}
    applied = [cluster.title(obj) for obj in wanted if cluster.apply(obj, write=not module.check_mode)]
    if not module.check_mode:
        cluster.wait_served(wanted, module.params["timeout"])
    return {"changed": bool(applied), "applied": applied}


class Cluster:
    """Writes to one cluster. Raises TmcError."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._resources: dict[tuple[str, str], Resource] = {}

    def title(self, obj: Object) -> str:
        return f"{obj['kind']} {obj['metadata']['name']}"

    def apply(self, obj: Object, *, write: bool) -> bool:
        """Whether the object was (or, without ``write``, would be) changed."""
        resource, where, live = self._look(obj)
        metadata = obj["metadata"]
        if contains(live, obj) or (live and self._serves_as_it_is(live, obj)):
            return False
        if write:
            self._client.patch(resource, metadata["name"], obj, where, content_type=APPLY_PATCH, strict=True)
        return True

    def remove(self, obj: Object, *, write: bool) -> bool:
        """Whether the object was there with our mark and is (or, without ``write``, would be) removed."""
        resource, where, live = self._look(obj)
        if live is None or not contains(live["metadata"].get("labels") or {}, MANAGED_BY):
            return False
        if write:
            metadata = live["metadata"]
            self._client.delete(resource, metadata["name"], where, uid=metadata["uid"], propagation="Background")
        return True

    def _look(self, obj: Object) -> tuple[Resource, str, Object | None]:
        """The resource of an object, its namespace and what the cluster has of it."""
        resource = self._resource(obj)
        where = obj["metadata"].get("namespace", "default") if resource.namespaced else ""
        return resource, where, self._client.get(resource, obj["metadata"]["name"], where)

    def _serves_as_it_is(self, live: Object, wanted: Object) -> bool:
        """Whether somebody else's definition of the kind is the wanted one; TmcError when it is another one."""
        if wanted["kind"] != "CustomResourceDefinition" or not is_foreign_definition(live):
            return False
        if contains(live["spec"], wanted["spec"]):
            return True
        raise TmcError(
            f"{self.title(live)} is on '{self._client.label}' already, was not made by this collection and differs from "
            "what would be applied: make the two equal (kubectl apply) or remove the one that is there; nothing was "
            "written over"
        )

    def wait_served(self, objects: list[Object], timeout: float) -> None:
        """Until every custom resource definition among the objects is established."""
        deadline = time.monotonic() + timeout
        for name in [obj["metadata"]["name"] for obj in objects if obj["kind"] == "CustomResourceDefinition"]:
            while not self._established(name):
                if time.monotonic() > deadline:
                    raise TmcError(f"{name} is not served by '{self._client.label}' after {timeout:g} s")
                time.sleep(POLL)

    def _established(self, name: str) -> bool:
        crd = self._client.get(CUSTOM_RESOURCE_DEFINITION, name) or {}
        conditions = (crd.get("status") or {}).get("conditions") or []
        return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)

    def _resource(self, obj: Object) -> Resource:
        """The REST resource of an object's kind, as the API server lists it."""
        key = (obj["apiVersion"], obj["kind"])
        if key not in self._resources:
            group, _slash, version = obj["apiVersion"].rpartition("/")
            listing: Any = self._client.request("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
            for entry in listing["resources"]:
                if "/" not in entry["name"]:
                    found = Resource(group, version, entry["name"], entry["kind"], entry["namespaced"])
                    self._resources[(obj["apiVersion"], entry["kind"])] = found
        if key not in self._resources:
            raise InvalidInput(f"'{self._client.label}' does not serve {obj['apiVersion']} {obj['kind']}")
        return self._resources[key]


if __name__ == "__main__":
    main()
