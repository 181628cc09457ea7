#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks whether clusters that exist already can become a fabric, before anything is written to any of them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_preflight
short_description: Look whether existing clusters can become a fabric
description:
  - Asks all clusters at once and tells everything that is wrong in one message. Writes nothing.
  - Looks at whether they answer, without a proxy, are new enough (1.30), are different clusters, let the user do what is needed
    (by C(SelfSubjectAccessReview)), belong to another fabric, have another definition of a kind, and, where syncers run
    as Deployments, whether Pods could reach the hub.
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.attributes
  - tmc.cross_cluster.attributes.info
options:
  clusters:
    description:
      - The clusters.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the cluster in the fabric.
        type: str
        required: true
      kubeconfig:
        description:
          - Path of its kubeconfig; several, separated as in E(KUBECONFIG), are merged.
        type: str
      context:
        description:
          - Context of that; the current one by default.
        type: str
      server_inside:
        description:
          - URL of its API server as Pods of other clusters reach it. Default the kubeconfig's.
        type: str
  hub:
    description:
      - Name of the hub.
    type: str
    required: true
  deployments:
    description:
      - Whether syncers and controller are to run as Deployments in the clusters.
    type: bool
    default: false
  definitions:
    description:
      - Files with the custom resource definitions that the fabric will carry.
    type: list
    elements: path
    default: []
  allow_exec:
    description:
      - Whether a kubeconfig may run a program to get credentials. Default E(K8S_AUTH_ALLOW_EXEC).
    type: bool
    default: false
  request_timeout:
    description:
      - Seconds after which one request is given up.
    type: float
    default: 15.0
"""

EXAMPLES = r"""
- name: Look before anything is written
  tmc.cross_cluster.fabric_preflight:
    hub: kcp
    clusters:
      - {name: kcp, context: production-hub}
      - {name: east, context: production-east}
"""

RETURN = r"""
clusters:
  description: What was found, by name.
  returned: success
  type: dict
  contains:
    uid:
      description: Identity of the cluster, the uid of its namespace C(kube-system).
      type: str
    version:
      description: Version of the API server.
      type: str
  sample: {kcp: {uid: 0c9d8e7f-6a5b-4c3d-2e1f-0a9b8c7d6e5f, version: v1.35.4}}
problems:
  description: Everything that is wrong, one sentence each.
  returned: on failure
  type: list
  elements: str
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _apply, _kubeconfig_files, _rights, _strangers
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Rules, check_server, load_document
from ansible_collections.tmc.cross_cluster.plugins.module_utils._manifest_files import read
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._reach import problem_inside


@dataclass
class Seen:
    """One cluster as it was found."""

    name: str
    inside: str = ""
    client: Client | None = None
    uid: str = ""
    version: str = ""
    problems: list[str] = field(default_factory=list)


class Preflight:
    """The questions, to all clusters of one fabric."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.hub: str = params["hub"]
        self.definitions = read_definitions(params["definitions"])
        self.kinds = [(crd["spec"]["group"], crd["spec"]["names"]["plural"]) for crd in self.definitions]

    def look(self) -> tuple[list[Seen], list[str]]:
        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(self._ask, self.params["clusters"]))
        problems = [problem for each in seen for problem in each.problems]
        return seen, [*problems, *same_cluster(seen), *self._strangers(seen), *self._reach(seen)]

    def _ask(self, entry: dict[str, Any]) -> Seen:
        seen = Seen(entry["name"])
        try:
            seen.client = connect(entry, self.params)
            seen.inside = entry["server_inside"] or seen.client.connection.server
            check_server(seen.inside, f"cluster_server_inside of '{seen.name}'")
            seen.version = _apply.require_server(seen.client)
            seen.uid = _apply.cluster_uid(seen.client)
            missing = _rights.lacking(seen.client, self.kinds, deployments=self.params["deployments"])
            if missing:
                seen.problems.append(
                    f"'{seen.name}': user '{_apply.whoami(seen.client)}' may not {_rights.summary(missing)}; "
                    "use a kubeconfig of a user who may, such as the cluster's administrator"
                )
        except TmcError as error:
            seen.problems.append(f"'{seen.name}': {error}")
        return seen

    def _strangers(self, seen: list[Seen]) -> Iterator[str]:
        answering = [(each, each.client) for each in seen if each.uid and each.client and not each.problems]
        uids = {each.name: each.uid for each, _client in answering}
        members = {name: uid for name, uid in uids.items() if name != self.hub}
        for each, client in answering:
            yield from _strangers.definitions(client, each.name, self.definitions)
            if each.name == self.hub:
                yield from _strangers.on_hub(client, each.name, members)
            elif self.hub in uids:
                yield from _strangers.on_member(client, each.name, uids[self.hub])

    def _reach(self, seen: list[Seen]) -> Iterator[str]:
        for each in seen:
            if self.params["deployments"] and each.name == self.hub and each.client and each.uid:
                problem = problem_inside(each.client.connection, each.inside)
                if problem:
                    yield problem


def connect(entry: dict[str, Any], params: dict[str, Any]) -> Client:
    rules = Rules(allow_exec=params["allow_exec"])
    source = entry["kubeconfig"] or _kubeconfig_files.DEFAULT
    document = _kubeconfig_files.merged(source, rules)
    connection = load_document(document, source, entry["context"], rules)
    if connection.proxy:
        raise InvalidInput(
            f"kubeconfig '{source}': the cluster has a proxy-url, which neither syncers nor the controller can use: "
            "name a context without one, whose server they reach directly"
        )
    return Client(connection, timeout=params["request_timeout"])


def same_cluster(seen: list[Seen]) -> Iterator[str]:
    by_uid: dict[str, list[str]] = {}
    for each in seen:
        if each.uid:
            by_uid.setdefault(each.uid, []).append(each.name)
    for uid, names in by_uid.items():
        if len(names) > 1:
            yield (
                f"{' and '.join(sorted(names))} are the same cluster (kube-system uid {uid}): "
                "cluster_context of each host must lead to a cluster of its own"
            )


def read_definitions(paths: list[str]) -> list[Object]:
    """The CRDs in these files but the fabric's own; raises InvalidInput."""
    found = []
    for path in paths:
        definitions = [each for each in read(path) if each["kind"] == "CustomResourceDefinition"]
        for crd in definitions:
            require_names(crd, path)
        found += definitions
    return [crd for crd in found if crd["spec"]["group"] != "fabric.tmc.io"]


def require_names(crd: Object, path: str) -> None:
    spec = crd["spec"] if isinstance(crd.get("spec"), dict) else {}
    names = spec["names"] if isinstance(spec.get("names"), dict) else {}
    if not (isinstance(spec.get("group"), str) and isinstance(names.get("plural"), str)):
        title = f"CustomResourceDefinition {crd['metadata']['name']}"
        raise InvalidInput(f"'{path}' holds {title} without spec.group and spec.names.plural")


def body(module: AnsibleModule) -> dict[str, Any]:
    seen, problems = Preflight(module.params).look()
    if problems:
        lines = "\n".join(f"- {problem}" for problem in problems)
        module.fail_json(msg=f"{len(problems)} problem(s); nothing was written:\n{lines}", problems=problems)
    return {"changed": False, "clusters": {each.name: {"uid": each.uid, "version": each.version} for each in seen}}


def main() -> None:
    cluster = {
        "name": {"type": "str", "required": True},
        "kubeconfig": {"type": "str"},
        "context": {"type": "str"},
        "server_inside": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "clusters": {"type": "list", "elements": "dict", "required": True, "options": cluster},
            "hub": {"type": "str", "required": True},
            "deployments": {"type": "bool", "default": False},
            "definitions": {"type": "list", "elements": "path", "default": []},
            "allow_exec": {"type": "bool", "default": False, "fallback": (env_fallback, ["K8S_AUTH_ALLOW_EXEC"])},
            "request_timeout": {"type": "float", "default": 15.0},
        },
        supports_check_mode=True,
    )
    run(module, body)


if __name__ == "__main__":
    main()
