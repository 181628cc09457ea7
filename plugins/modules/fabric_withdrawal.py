#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes the fabric off a cluster that goes on living."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_withdrawal
short_description: Take the fabric off a cluster, and nothing else
description:
  - Removes from one cluster everything that the fabric put there. The cluster is then as if the fabric had never been
    on it, but for what users did meanwhile.
  - Removed are the fabric's programs and identities, admission policies, rights, settings, Leases and Events, the kinds
    of the group C(fabric.tmc.io), the kind C(TaskQueue) when this collection installed it (and nobody else has written
    it), the namespace C(tmc-system), copies of other clusters' objects, and namespaces that a syncer made for them while
    nothing of others is in them.
  - Objects that users created on the cluster stay, without the fabric's finalizers C(tmc.io/*) and notes, also those of
    kinds that are not carried any more. With the kind C(TaskQueue) go its objects, unless O(definitions=keep).
  - Run it with O(scope=programs) on all clusters first, so that no syncer makes anew what is removed elsewhere.
  - It can be interrupted and run again.
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.auth
  - tmc.cross_cluster.attributes
options:
  scope:
    description:
      - V(programs) removes what runs, and its identities. V(all) removes that and everything else.
    type: str
    choices: [programs, all]
    default: all
  copies:
    description:
      - What becomes of copies of other clusters' objects. V(keep) makes them ordinary objects of this cluster, and
        leaves their kind here.
    type: str
    choices: [remove, keep]
    default: remove
  definitions:
    description:
      - What becomes of kinds that this collection installed for users, such as C(TaskQueue), while there are objects of
        them that were created on this cluster. V(keep) leaves kind and objects, V(remove) removes both.
    type: str
    choices: [remove, keep]
    default: remove
  keep_watch:
    description:
      - Leave the policy C(tmc-parameters) and its binding, which judge nothing, so that the API server goes on watching
        ConfigMaps as parameters of policies. Without them one that runs on judges a fabric that is brought up again by
        the settings of this one, until it is restarted (kubernetes/kubernetes issue 130887).
    type: bool
    default: false
  force:
    description:
      - Skip a cluster that does not answer, instead of failing.
    type: bool
    default: false
  timeout:
    description:
      - Seconds until what was deleted must be gone, for each step.
    type: float
    default: 120
seealso:
  - module: tmc.cross_cluster.member
"""

EXAMPLES = r"""
- name: Look what would go
  tmc.cross_cluster.fabric_withdrawal:
    context: production-east
  check_mode: true

- name: Take the fabric off
  tmc.cross_cluster.fabric_withdrawal:
    context: production-east
"""

RETURN = r"""
removed:
  description: The objects that were removed, as C(<kind> <namespace>/<name>); in check mode those that would be.
  returned: success
  type: list
  elements: str
  sample: ["Deployment default/kcp-syncer", "CustomResourceDefinition members.fabric.tmc.io"]
released:
  description: Objects of users from which the fabric's marks were taken.
  returned: success
  type: list
  elements: str
  sample: ["Widget shop/blue"]
kept:
  description: What might be taken for the fabric's and was left alone, each with the reason.
  returned: success
  type: list
  elements: str
  sample: ["Namespace shop: it holds ConfigMap shop/settings"]
skipped_cluster:
  description: Whether the cluster did not answer and was left as it is.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _apply
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import KubeconfigMissing, TmcError, Unreachable
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import (
    MUTUALLY_EXCLUSIVE,
    auth_spec,
    require_positive,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._removal import Journal, Remover
from ansible_collections.tmc.cross_cluster.plugins.module_utils._withdrawal import Withdrawal

Result = dict[str, Any]


def body(module: AnsibleModule) -> Result:
    require_positive(module.params, "timeout")
    try:
        return withdraw(module)
    except (Unreachable, KubeconfigMissing) as error:
        if not module.params["force"]:
            raise TmcError(f"{error}; nothing was removed from it. Set force to true to leave it as it is") from error
        module.warn(f"skipped, its objects stay: {error}")
        return result_of(Journal(), skipped=True)


def withdraw(module: AnsibleModule) -> Result:
    client = connect(module, connections=8)
    uid = _apply.cluster_uid(client)
    remover = Remover(client, check_mode=module.check_mode, timeout=module.params["timeout"])
    kept = {f"keep_{what}": module.params[what] == "keep" for what in ("copies", "definitions")}
    withdrawal = Withdrawal(client, uid, remover, **kept, keep_watch=module.params["keep_watch"])
    if module.params["scope"] == "programs":
        withdrawal.programs()
    else:
        withdrawal.everything()
    return result_of(remover.journal, skipped=False)


def result_of(journal: Journal, *, skipped: bool) -> Result:
    gone = dict.fromkeys(journal.removed, "there")
    return {
        "changed": journal.changed,
        "removed": journal.removed,
        "released": journal.released,
        "kept": journal.kept,
        "skipped_cluster": skipped,
        "diff": {"before": gone | dict.fromkeys(journal.released, "held by the fabric"), "after": {}},
    }


def main() -> None:
    spec = auth_spec() | {
        "scope": {"type": "str", "choices": ["programs", "all"], "default": "all"},
        "copies": {"type": "str", "choices": ["remove", "keep"], "default": "remove"},
        "definitions": {"type": "str", "choices": ["remove", "keep"], "default": "remove"},
        "keep_watch": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 120.0},
    }
    module = AnsibleModule(argument_spec=spec, mutually_exclusive=MUTUALLY_EXCLUSIVE, supports_check_mode=True)
    run(module, body)


if __name__ == "__main__":
    main()
