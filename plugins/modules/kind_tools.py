#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kind_tools
short_description: Look for what kind clusters need, and get it
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Tells whether kind clusters can be made on this machine, and why not. Does not fail when they cannot.
  - Asks the container engine; finds the program kind, else downloads it, checked against its publisher's checksum, else builds it
    with Go from the committed C(go.mod) and C(go.sum); and sees to it that the engine has the node image.
  - Runs on the controller, and shows its progress while it downloads, builds or pulls.
options:
  cache_dir:
    description: Cache directory. The program is kept in C(bin/kind-<version>) below it.
    type: path
    required: true
  engine:
    description: The container engine, docker or podman. Empty, the one that E(KIND_EXPERIMENTAL_PROVIDER) names, else the first that answers.
    type: str
    default: ""
  program:
    description: The kind program to take. Empty, the one on C(PATH), else the one in the cache.
    type: str
    default: ""
  node_image:
    description: Image of the nodes. Empty, kind's own.
    type: str
    default: ""
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: What kind needs
  tmc.cross_cluster.kind_tools:
    cache_dir: ~/.cache/tmc-cross-cluster
  register: tools
"""

RETURN = r"""
available:
  description: Whether kind clusters can be made here.
  returned: success
  type: bool
problem:
  description: Why not, and what to do about it; empty when they can.
  returned: success
  type: str
engine:
  description: The engine that answers; empty when none does.
  returned: success
  type: str
kind:
  description: Path of the program; empty when there is none, or none yet in check mode.
  returned: success
  type: str
source:
  description: Where it came from - V(given), V(PATH), V(cache), V(download), V(build), or V(to be made) in check mode.
  returned: success
  type: str
node_image:
  description: The image of the nodes; empty when kind does not tell its own.
  returned: success
  type: str
kubectl:
  description: Path of kubectl, which only a person needs; empty when it is not on C(PATH).
  returned: when RV(available) is true
  type: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "cache_dir": {"type": "path", "required": True},
            "engine": {"type": "str", "default": ""},
            "program": {"type": "str", "default": ""},
            "node_image": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="this module is an action of the same name and runs on the controller only")


if __name__ == "__main__":
    main()
