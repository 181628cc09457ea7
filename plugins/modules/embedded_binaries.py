#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: embedded_binaries
short_description: Find, download or build the binaries of Kubernetes control planes
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Gives a directory with C(etcd), C(kube-apiserver), C(kube-controller-manager) and C(kubectl) in the versions of
    C(controlplane/versions.yml).
  - The first that serves is taken - O(binary_dir); the environment variable E(KUBEBUILDER_ASSETS); the cache; a download from the
    publishers, checked against the checksums that they publish; a build with Go from the committed C(go.mod) and C(go.sum).
  - Runs on the controller, and shows its progress while it downloads or builds.
options:
  cache_dir:
    description: Cache directory. Binaries are kept in C(bin/<version>) below it; what is there is always whole.
    type: path
    required: true
  binary_dir:
    description: Directory that has the binaries already. It is an error when it lacks one.
    type: path
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Control-plane binaries
  tmc.cross_cluster.embedded_binaries:
    cache_dir: ~/.cache/tmc-cross-cluster
  register: binaries
"""

RETURN = r"""
path:
  description: The directory.
  returned: success
  type: str
source:
  description: Where the binaries came from - V(tmc_binary_dir), V(KUBEBUILDER_ASSETS), V(cache), V(download), V(build), or V(to be made) in check mode.
  returned: success
  type: str
available:
  description: Whether the directory is there. False only in check mode.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={"cache_dir": {"type": "path", "required": True}, "binary_dir": {"type": "path"}},
        supports_check_mode=True,
    )
    module.fail_json(msg="this module is an action of the same name and runs on the controller only")


if __name__ == "__main__":
    main()
