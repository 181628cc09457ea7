#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets a member trust a hub that was replaced or restored, and lets deletions through that were held back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_acceptance
short_description: Accept a hub that was replaced or restored, or deletions that were held back
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - A member that meets another hub than the one it knows, or one that was restored from an older snapshot, announces its
    own objects there, and otherwise deletes nothing and takes nothing from it, until a person accepts the hub. This
    module does that, on one member.
  - First, kind by kind, it brings the hub to the newest term of a processor that the member knows of, which a hub that
    went back may have lost. Then it writes the identity of the hub into the member's mirrors.
  - The copies on the member whose objects the hub does not have any more stay. Delete by hand those that are not wanted,
    or let their origins announce them again.
  - With O(deletions) it lets through the deletions that the member's syncer held back because they were too many.
extends_documentation_fragment:
  - tmc.cross_cluster.auth
  - tmc.cross_cluster.attributes
options:
  hub_kubeconfig:
    description:
      - Path to the kubeconfig of the hub that is accepted. The usual connection options are for the member's own cluster.
    type: path
    required: true
  hub_context:
    description:
      - Context of O(hub_kubeconfig); its current one by default.
    type: str
  deletions:
    description:
      - Whether to let through deletions that were held back as well.
    type: bool
    default: false
seealso:
  - module: tmc.cross_cluster.member
"""

EXAMPLES = r"""
- name: What would be accepted?
  tmc.cross_cluster.hub_acceptance:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"
    hub_kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"
  check_mode: true
  register: quarantine

- name: Accept it
  tmc.cross_cluster.hub_acceptance:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-east.kubeconfig"
    hub_kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-kcp.kubeconfig"
  when: quarantine.reason == 'HubRestored'
"""

RETURN = r"""
hub_uid:
  description: Identity of the hub that is accepted.
  returned: success
  type: str
  sample: 0c9d8e7f-6a5b-4c3d-2e1f-0a9b8c7d6e5f
reason:
  description:
    - Why the member did not trust the hub before - V(UnknownHub), V(HubRestored), or empty when it did.
  returned: success
  type: str
  sample: HubRestored
kinds:
  description: The kinds whose mirror was changed.
  returned: success
  type: list
  elements: str
  sample: [taskqueues.demo.tmc.io]
objects:
  description: The objects that were written, each as C(<cluster>/<verb>/<kind> <name>).
  returned: success
  type: list
  elements: str
  sample: ["member: patch SyncedResource taskqueues.demo.tmc.io"]
"""

import copy
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _apply, _declare, _fence, _names
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import another_cluster, connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import MUTUALLY_EXCLUSIVE, auth_spec
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import CONFIG_MAP, SYNCED_RESOURCE

Result = dict[str, Any]
Object = dict[str, Any]

HUB_UID = "tmc.io/hub-uid"
BRAKED = "tmc.io/deletions-braked"


class Acceptance:
    """The mirrors of one member, and the hub that they are to know."""

    def __init__(self, module: AnsibleModule) -> None:
        self.params = module.params
        self.check_mode: bool = module.check_mode
        self.local = connect(module)
        self.hub = connect(module, **another_cluster(self.params["hub_kubeconfig"], self.params["hub_context"]))

    def run(self) -> Result:
        hub_uid = self._hub_uid()
        mirrors = sorted(self.local.list(SYNCED_RESOURCE), key=lambda mirror: mirror["metadata"]["name"])
        terms = {m["metadata"]["name"]: changes for m in mirrors if (changes := self._term(m)[0])}
        accepted = [change for mirror in mirrors if (change := self._acceptance(mirror, hub_uid))]
        _apply.check_rights(self.hub, [change for changes in terms.values() for change in changes])
        _apply.check_rights(self.local, accepted)
        if not self.check_mode:
            self._carry_out(mirrors, terms, accepted)
        done = [("hub", c) for some in terms.values() for c in some] + [("member", c) for c in accepted]
        return {
            "changed": bool(done),
            "hub_uid": hub_uid,
            "reason": self._reason(mirrors, hub_uid),
            "kinds": [change.before["metadata"]["name"] for change in accepted if change.before],
            "objects": [f"{where}: {change.verb} {change.title}" for where, change in done],
            "diff": _apply.diff_of([change for _where, change in done]),
        }

    def _hub_uid(self) -> str:
        hub_uid, uid = _apply.cluster_uid(self.hub), _apply.cluster_uid(self.local)
        if hub_uid == uid:
            raise TmcError(
                f"hub_kubeconfig leads to '{self.hub.label}', the member's own connection to '{self.local.label}', and "
                f"both are one cluster (kube-system uid {uid}): give the kubeconfig of the hub in hub_kubeconfig"
            )
        return hub_uid

    def _carry_out(self, mirrors: list[Object], terms: dict[str, Any], accepted: list[_apply.Change]) -> None:
        # The hub first: once it is accepted, the member follows whatever it says.
        for mirror in mirrors:
            name = mirror["metadata"]["name"]
            if name in terms:
                _declare.declare(self.hub, name, partial(self._term, mirror))
        for change in accepted:
            metadata = (change.after or {})["metadata"]
            notes = {key: metadata["annotations"].get(key) for key in (HUB_UID, BRAKED)}
            patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": notes}}
            self.local.patch(SYNCED_RESOURCE, metadata["name"], patch)

    def _term(self, mirror: Object) -> tuple[list[_apply.Change], Object]:
        """The writes on the hub that bring it to the newest term; none when it holds that, or has not the kind."""
        name = mirror["metadata"]["name"]
        live = self.hub.get(SYNCED_RESOURCE, name)
        if live is None:
            return [], {}
        fence = self.hub.get(CONFIG_MAP, name, _names.HUB_NAMESPACE)
        there = [*_fence.of_config_map(fence), *_fence.of_synced_resource(live)]
        known = _fence.of_synced_resource(mirror)[0]
        if known.epoch <= max(term.epoch for term in there):
            return [], live["spec"]
        spec = live["spec"] | {"processor": known.processor, "epoch": known.epoch}
        return _declare.due(name, live, fence, spec, hub=True), spec

    def _acceptance(self, mirror: Object, hub_uid: str) -> _apply.Change | None:
        wanted = copy.deepcopy(mirror)
        notes = wanted["metadata"].setdefault("annotations", {})
        if HUB_UID in notes:
            notes[HUB_UID] = hub_uid
        if self.params["deletions"]:
            notes.pop(BRAKED, None)
        return _apply.Change(SYNCED_RESOURCE, mirror, wanted) if notes != _notes(mirror) else None

    @staticmethod
    def _reason(mirrors: list[Object], hub_uid: str) -> str:
        known = {_notes(mirror).get(HUB_UID, hub_uid) for mirror in mirrors} - {hub_uid}
        if not known:
            return ""
        return "HubRestored" if all(text.startswith(f"{hub_uid}:") for text in known) else "UnknownHub"


def _notes(mirror: Object) -> dict[str, str]:
    return mirror["metadata"].get("annotations") or {}


def main() -> None:
    spec = auth_spec() | {
        "hub_kubeconfig": {"type": "path", "required": True},
        "hub_context": {"type": "str"},
        "deletions": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=spec, mutually_exclusive=MUTUALLY_EXCLUSIVE, supports_check_mode=True)
    run(module, lambda module: Acceptance(module).run())


if __name__ == "__main__":
    main()
