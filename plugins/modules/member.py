#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Joins a cluster to the fabric, or lets it leave."""

from __future__ import annotations

DOCUMENTATION = r"""
module: member
short_description: Join a cluster to the fabric, or let it leave
description:
  - Joining makes, on the hub, the C(Member) object that ties the name to the identity of the cluster (the uid of its
    C(kube-system) namespace), the admission policies C(tmc-identity.<name>) and C(tmc-tombstones.<name>) that hold its
    syncer to that uid, the ServiceAccount C(syncer-<name>) and its bindings, and, on the cluster itself, the
    ServiceAccount C(tmc-syncer) and its bindings.
  - With O(credentials_dir), writes the two kubeconfigs that the syncer of the member needs, each with a bound token. No
    credential of the member is stored on the hub.
  - Leaving removes what joining made, and takes along from the hub what waits for the member - its finalizer on objects
    of every kind, its name in tombstones, its Lease. Stop its syncer before; what is on its cluster is the matter of
    M(tmc.cross_cluster.fabric_withdrawal).
  - The fabric's manifests (C(manifests/fabric) on both, C(manifests/hub), C(manifests/member)) must be applied before.
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.auth
  - tmc.cross_cluster.attributes
options:
  name:
    description:
      - Name of the member, a DNS label of at most 40 characters. V(hub) and V(sync) are reserved.
    type: str
    required: true
  state:
    description:
      - V(present) joins the cluster, V(absent) lets it leave.
    type: str
    choices: [present, absent]
    default: present
  hub_kubeconfig:
    description:
      - Path to the kubeconfig of the hub. The usual connection options are for the member's own cluster.
    type: path
    required: true
  hub_context:
    description:
      - Context of O(hub_kubeconfig); its current one by default.
    type: str
  hub_name:
    description:
      - Name of the hub, which a member may not have.
    type: str
  credentials_dir:
    description:
      - Folder for C(hub.kubeconfig), C(local.kubeconfig) and their token files; made with mode C(0700) when it is not
        there.
      - Without it and without O(credentials_secret) no token is issued. With O(state=absent) the files are removed.
    type: path
  credentials_secret:
    description:
      - Secret of the member's own cluster, as C(NAMESPACE/NAME), for C(hub.kubeconfig) and C(hub.token), where the syncer runs
        in the cluster. Nothing is written to a file.
      - A token that is there already, such as one that the syncer has renewed, is kept while more than a quarter of its life
        is left. With O(state=absent) the Secret is removed.
    type: str
  token_lifetime:
    description:
      - Seconds for which a token is asked for; 600 at least. One with more than half of its life left is kept.
    type: int
    default: 86400
  hub_server:
    description:
      - URL of the hub to write into C(hub.kubeconfig) when the syncer reaches it at another address than this module.
        Needed with O(credentials_secret) when that address is one of this machine alone, as C(127.0.0.1) is.
    type: str
  local_server:
    description:
      - The same for C(local.kubeconfig).
    type: str
  objects:
    description:
      - With O(state=absent), what becomes of the copies, on the other clusters, of objects that were created on the
        member's cluster. With V(keep) they stay copies, which nobody changes any more. With V(remove) they are deleted
        there. The objects on the member's own cluster stay either way.
      - When neither the C(Member) nor the cluster tells its identity any more, V(remove) takes that which the copies name. It
        is refused when they name several.
    type: str
    choices: [keep, remove]
    default: keep
  force:
    description:
      - With O(state=absent), let the member leave although its cluster does not answer, or although it is the processor
        of a kind; what is on it stays.
    type: bool
    default: false
seealso:
  - module: tmc.cross_cluster.synced_resource
  - module: tmc.cross_cluster.service_account_kubeconfig
"""

EXAMPLES = r"""
- name: Join east
  tmc.cross_cluster.member:
    name: east
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"
    hub_kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"
    hub_name: kcp
    credentials_dir: "{{ tmc_state_dir }}/credentials/east"

- name: Let east leave, although it is gone for good
  tmc.cross_cluster.member:
    name: east
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"
    hub_kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"
    state: absent
    force: true
"""

RETURN = r"""
name:
  description: Name of the member.
  returned: success
  type: str
  sample: east
cluster_uid:
  description: Identity of the member's cluster.
  returned: when the cluster answers
  type: str
  sample: 5d3c1f0e-0d5c-4f1e-9a0b-3f6c7f0a1b2c
hub_uid:
  description: Identity of the hub.
  returned: when the hub answers
  type: str
  sample: 0c9d8e7f-6a5b-4c3d-2e1f-0a9b8c7d6e5f
objects:
  description: The objects that were written or removed, each as C(<cluster>/<verb>/<kind> <name>).
  returned: success
  type: list
  elements: str
  sample: ["hub: create Member east", "member: create ServiceAccount default/tmc-syncer"]
credentials:
  description: Paths of the kubeconfigs, and which of them were written anew.
  returned: with O(credentials_dir)
  type: dict
  contains:
    hub:
      description: Path of the kubeconfig for the hub.
      type: str
    local:
      description: Path of the kubeconfig for the member's own cluster.
      type: str
    renewed:
      description: The ones whose token or content was renewed.
      type: list
      elements: str
  sample: {hub: /credentials/east/hub.kubeconfig, local: /credentials/east/local.kubeconfig, renewed: [hub, local]}
hub_kubeconfig_digest:
  description: Stands for the content of C(hub.kubeconfig) in the Secret; another one when the address or the CA of the hub changed,
    the same when the token was renewed.
  returned: with O(credentials_secret)
  type: str
  sample: 9f86d081884c7d65
"""

import os
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils import (
    _apply,
    _fabric,
    _leaving,
    _names,
    _token_secret,
    _tokens,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import (
    InvalidInput,
    KubeconfigMissing,
    NotReady,
    TmcError,
    Unreachable,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import check_server
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import another_cluster, connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import MUTUALLY_EXCLUSIVE, auth_spec
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CLUSTER_ROLE,
    MEMBER,
    NAMESPACE,
    SYNCED_RESOURCE,
)

Result = dict[str, Any]


class Join:
    """One member, seen from its own cluster and from the hub."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        self.name: str = module.params["name"]
        self.hub = connect(module, **another_cluster(self.params["hub_kubeconfig"], self.params["hub_context"]))
        self.local = self._connect_local()

    def _connect_local(self) -> Any:
        """A client of the member's own cluster; None when it may be gone and its kubeconfig is."""
        try:
            return connect(self.module)
        except KubeconfigMissing:
            if self.params["state"] == "absent" and self.params["force"]:
                return None
            raise

    def present(self) -> Result:
        for client in (self.hub, self.local):
            _apply.require_server(client)
        hub_uid, uid = self._distinct_identities()
        self._require_manifests()
        self._refuse_taken_name(uid)
        hub = _apply.plan_present(self.hub, [_fabric.member(self.name, uid), *_fabric.hub_identity(self.name, uid)])
        local = _apply.plan_present(self.local, _fabric.member_identity())
        result = self._carry_out(hub, local)
        return (
            result | {"name": self.name, "cluster_uid": uid, "hub_uid": hub_uid} | self._credentials(result["changed"])
        )

    def absent(self) -> Result:
        hub_uid = _apply.cluster_uid(self.hub)
        uid, local = self._leave_local()
        live = self.hub.get(MEMBER, self.name)
        if live and uid and live["spec"]["clusterUID"] != uid:
            raise TmcError(self._taken(live["spec"]["clusterUID"], uid) + ", so it is not removed")
        self._refuse_processor()
        farewell = self._farewell(live, uid)
        # The Member goes first: nobody waits for one that is not there. The account goes last: it says farewell.
        member = _apply.plan_absent(self.hub, [_fabric.member(self.name, uid or "")])
        hub = _apply.plan_absent(self.hub, list(reversed(_fabric.hub_identity(self.name, uid or ""))))
        result = self._carry_out([*member, *hub], local, farewell)
        removed = [_tokens.remove(wish, check_mode=self.module.check_mode) for wish in self._wishes().values()]
        if self.params["credentials_secret"] and uid:
            where = self.params["credentials_secret"]
            removed.append(_token_secret.remove(self.local, where, check_mode=self.module.check_mode))
        result["changed"] |= any(removed)
        return result | {"name": self.name, "cluster_uid": uid, "hub_uid": hub_uid}

    def _refuse_processor(self) -> None:
        works_on = [
            each["metadata"]["name"]
            for each in self.hub.list(SYNCED_RESOURCE)
            if each["spec"]["processor"] == self.name and not self.params["force"]
        ]
        if works_on:
            raise TmcError(
                f"'{self.name}' is the processor of {', '.join(works_on)}: move that to another cluster first "
                "(module processor), or set force to true to let it leave all the same"
            )

    def _farewell(self, live: Any, uid: str | None) -> list[_leaving.Errand]:
        """What has to be done on the hub so that nothing waits for the member any more."""
        farewell = _leaving.Farewell(self.hub, self.name)
        if self.params["objects"] == "keep":
            return farewell.errands()
        # An earlier run may have removed the Member, and its cluster may be gone: then the copies themselves tell.
        origin_uid = live["spec"]["clusterUID"] if live else uid or farewell.origin_uid()
        return farewell.errands(origin_uid=origin_uid)

    def _distinct_identities(self) -> tuple[str, str]:
        hub_uid, uid = _apply.cluster_uid(self.hub), _apply.cluster_uid(self.local)
        if hub_uid == uid:
            raise TmcError(
                f"hub and '{self.name}' are the same cluster (kube-system uid {uid}): "
                f"hub_kubeconfig leads to '{self.hub.label}', the member's own connection to '{self.local.label}'"
            )
        return hub_uid, uid

    def _require_manifests(self) -> None:
        needed = (
            (self.hub, NAMESPACE, _names.HUB_NAMESPACE, "manifests/fabric"),
            (self.local, NAMESPACE, _names.HUB_NAMESPACE, "manifests/fabric"),
            (self.hub, CLUSTER_ROLE, _names.HUB_SYNCER_ROLE, "manifests/hub"),
            (self.local, CLUSTER_ROLE, _names.MEMBER_SYNCER, "manifests/member"),
        )
        for client, resource, name, manifest in needed:
            if client.get(resource, name) is None:
                raise NotReady(f"{resource.kind} {name} is not on '{client.label}': apply {manifest} there first")

    def _refuse_taken_name(self, uid: str) -> None:
        for member in self.hub.list(MEMBER):
            name, joined = member["metadata"]["name"], member["spec"]["clusterUID"]
            if name == self.name and joined != uid:
                raise TmcError(f"{self._taken(joined, uid)}: let that one leave first, or choose another name")
            if name != self.name and joined == uid:
                raise TmcError(
                    f"cluster '{self.local.label}' (uid {uid}) has joined as '{name}' already: "
                    f"it cannot join as '{self.name}' too"
                )

    def _taken(self, joined: str, uid: str) -> str:
        return (
            f"Member {self.name} on hub '{self.hub.label}' is the cluster with uid {joined}, "
            f"not '{self.local.label}' (uid {uid})"
        )

    def _leave_local(self) -> tuple[str | None, list[_apply.Change]]:
        if self.local is None:
            return None, []
        try:
            uid = _apply.cluster_uid(self.local)
            return uid, _apply.plan_absent(self.local, list(reversed(_fabric.member_identity())))
        except Unreachable as error:
            if self.params["force"]:
                return None, []
            raise TmcError(f"{error}; set force to true to let '{self.name}' leave all the same") from error

    def _carry_out(
        self, hub: list[_apply.Change], local: list[_apply.Change], farewell: Sequence[_leaving.Errand] = ()
    ) -> Result:
        # All rights on both clusters before the first write on either.
        _apply.check_rights(self.hub, hub)
        _apply.check_rights(self.local, local)
        if not self.module.check_mode:
            self._say(farewell, hub)
            _apply.carry_out(self.hub, hub, checked=True)
            _apply.carry_out(self.local, local, checked=True)
        objects = [f"{where}: {c.verb} {c.title}" for where, plan in (("hub", hub), ("member", local)) for c in plan]
        objects = [*(f"hub: {errand.title}" for errand in farewell), *objects]
        return {"changed": bool(objects), "objects": objects, "diff": _apply.diff_of([*hub, *local])}

    def _say(self, farewell: Sequence[_leaving.Errand], hub: list[_apply.Change]) -> None:
        """With the account of its syncer, which an earlier run may have removed."""
        if not farewell:
            return
        _apply.carry_out(self.hub, [change for change in hub if change.resource == MEMBER], checked=True)
        account = _fabric.syncer_account(self.name)
        missing = _apply.plan_present(self.hub, account)
        _apply.carry_out(self.hub, missing)
        _leaving.Farewell(self.hub, self.name).run(list(farewell))
        if missing:
            _apply.carry_out(self.hub, _apply.plan_absent(self.hub, list(reversed(account))))

    def _credentials(self, changed: bool) -> Result:
        in_secret, changed_secret = self._in_secret()
        in_files, changed_files = self._in_files()
        return in_secret | in_files | {"changed": changed or changed_secret or changed_files}

    def _in_secret(self) -> tuple[Result, bool]:
        where, wish = self.params["credentials_secret"], self._wish("hub")
        if not where:
            return {}, False
        changed = _token_secret.ensure(self.hub, self.local, wish, where, check_mode=self.module.check_mode)
        return {"hub_kubeconfig_digest": _token_secret.kubeconfig_digest(self.hub, wish)}, changed

    def _in_files(self) -> tuple[Result, bool]:
        clients, wishes = {"hub": self.hub, "local": self.local}, self._wishes()
        if not wishes:
            return {}, False
        renewed = [
            side
            for side, wish in wishes.items()
            if _tokens.ensure(clients[side], wish, check_mode=self.module.check_mode)
        ]
        paths = {side: wish.path for side, wish in wishes.items()}
        return {"credentials": {**paths, "renewed": renewed}}, bool(renewed)

    def _wishes(self) -> dict[str, _tokens.Wish]:
        return {side: self._wish(side) for side in ("hub", "local")} if self.params["credentials_dir"] else {}

    def _wish(self, side: str) -> _tokens.Wish:
        """The kubeconfig for one side; without O(credentials_dir) its path is only a name."""
        namespace, account, cluster = {
            "hub": (_names.HUB_NAMESPACE, f"syncer-{self.name}", self.params["hub_name"] or "hub"),
            "local": (_names.MEMBER_NAMESPACE, _names.MEMBER_SYNCER, self.name),
        }[side]
        path = os.path.join(self.params["credentials_dir"] or "", f"{side}.kubeconfig")
        lifetime, server = self.params["token_lifetime"], self.params[f"{side}_server"]
        return _tokens.Wish(path, namespace, account, cluster, lifetime, server)


def check(params: dict[str, Any]) -> None:
    """Everything that can be said to be wrong before any cluster is asked."""
    problem = _names.cluster_name_problem(params["name"])
    if problem is None and params["name"] == params["hub_name"]:
        problem = f"name {params['name']!r} is reserved: it is the name of the hub"
    if problem is None and params["token_lifetime"] < _tokens.SHORTEST_LIFETIME:
        problem = (
            f"token_lifetime is {params['token_lifetime']}: it must be at least {_tokens.SHORTEST_LIFETIME} seconds"
        )
    if problem:
        raise InvalidInput(problem)
    if params["credentials_secret"]:
        _token_secret.split(params["credentials_secret"])
    for option in ("hub_server", "local_server"):
        if params[option]:
            check_server(params[option], f"option {option}")


def body(module: AnsibleModule) -> Result:
    check(module.params)
    return Join(module).present() if module.params["state"] == "present" else leave(module)


def leave(module: AnsibleModule) -> Result:
    """Check mode predicts nothing here: it is the look before a syncer stops, and no earlier task makes what is missing."""
    try:
        return Join(module).absent()
    except NotReady as error:
        raise TmcError(f"'{module.params['name']}' cannot leave: {error}") from error


def main() -> None:
    spec = auth_spec() | {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "objects": {"type": "str", "choices": ["keep", "remove"], "default": "keep"},
        "hub_kubeconfig": {"type": "path", "required": True},
        "hub_context": {"type": "str"},
        "hub_name": {"type": "str"},
        "credentials_dir": {"type": "path"},
        "credentials_secret": {"type": "str", "no_log": False},
        "token_lifetime": {"type": "int", "default": 86400, "no_log": False},
        "hub_server": {"type": "str"},
        "local_server": {"type": "str"},
        "force": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=spec, mutually_exclusive=MUTUALLY_EXCLUSIVE, supports_check_mode=True)
    run(module, body)


if __name__ == "__main__":
    main()
