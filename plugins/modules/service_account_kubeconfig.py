#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes a kubeconfig with a bound token for a service account that exists."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_account_kubeconfig
short_description: Write a kubeconfig for a service account
description:
  - Asks the cluster for a bound token of an existing ServiceAccount and writes it, together with a kubeconfig that
    refers to it, to files with mode C(0600). The kubeconfig embeds the cluster's CA.
  - A token that belongs to the same ServiceAccount (by uid) and has more than half of its life left is kept.
  - Nothing is changed on the cluster.
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.auth
  - tmc.cross_cluster.attributes
options:
  path:
    description:
      - Path of the kubeconfig. The token lies beside it, with the ending C(.token).
      - The folder is made with mode C(0700) when it is not there.
    type: path
    required: true
  state:
    description:
      - V(absent) removes the two files.
    type: str
    choices: [present, absent]
    default: present
  namespace:
    description:
      - Namespace of the ServiceAccount.
    type: str
    default: default
  service_account:
    description:
      - Name of the ServiceAccount.
    type: str
    required: true
  cluster_name:
    description:
      - Name of cluster and context in the kubeconfig.
    type: str
    required: true
  token_lifetime:
    description:
      - Seconds for which the token is asked for; 600 at least.
    type: int
    default: 86400
  server:
    description:
      - URL of the API server to write, when the user of the file reaches it at another address than this module does.
    type: str
"""

EXAMPLES = r"""
- name: Credentials of the controller
  tmc.cross_cluster.service_account_kubeconfig:
    kubeconfig: "{{ tmc_state_dir }}/kubeconfigs/controller-west.kubeconfig"
    service_account: taskqueue-controller
    cluster_name: west
    path: "{{ tmc_state_dir }}/credentials/west/controller.kubeconfig"
"""

RETURN = r"""
path:
  description: Path of the kubeconfig.
  returned: success
  type: str
  sample: /state/credentials/west/controller.kubeconfig
token_path:
  description: Path of the token.
  returned: success
  type: str
  sample: /state/credentials/west/controller.token
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _tokens
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import check_server
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import connect, run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import MUTUALLY_EXCLUSIVE, auth_spec


def body(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    wish = _tokens.Wish(
        path=params["path"],
        namespace=params["namespace"],
        account=params["service_account"],
        cluster=params["cluster_name"],
        lifetime=params["token_lifetime"],
        server=params["server"],
    )
    paths = {"path": wish.path, "token_path": wish.token_path}
    if wish.lifetime < _tokens.SHORTEST_LIFETIME:
        raise InvalidInput(
            f"token_lifetime is {wish.lifetime}: it must be at least {_tokens.SHORTEST_LIFETIME} seconds"
        )
    if wish.server:
        check_server(wish.server, "option server")
    if params["state"] == "absent":
        return {"changed": _tokens.remove(wish, check_mode=module.check_mode), **paths}
    return {"changed": _tokens.ensure(connect(module), wish, check_mode=module.check_mode), **paths}


def main() -> None:
    spec = auth_spec() | {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "namespace": {"type": "str", "default": "default"},
        "service_account": {"type": "str", "required": True},
        "cluster_name": {"type": "str", "required": True},
        "token_lifetime": {"type": "int", "default": 86400, "no_log": False},
        "server": {"type": "str"},
    }
    module = AnsibleModule(argument_spec=spec, mutually_exclusive=MUTUALLY_EXCLUSIVE, supports_check_mode=True)
    run(module, body)


if __name__ == "__main__":
    main()
