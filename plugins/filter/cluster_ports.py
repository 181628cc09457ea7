# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which TCP port the API server of each cluster gets."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_ports
positional: hostvars, state_dir
short_description: The ports of the API servers of a fabric
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - A cluster has the port that its host (C(cluster_port)) or the environment (C(CONTROLLER_<NAME>_PORT)) sets.
  - Else one that was made keeps its port, and a new one gets the next of the ports from 37443 on, in the order of the clusters,
    that no other has. So nothing moves when a host is added or taken away.
  - Pass all clusters of the inventory, also those that a run leaves out.
options:
  _input:
    description: Names of the clusters, the hub first.
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  state_dir:
    description: The state directory, which knows the clusters that were made.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Ports of all clusters
  ansible.builtin.debug:
    msg: "{{ (groups['hub'] + groups['members']) | tmc.cross_cluster.cluster_ports(hostvars, tmc_state_dir) }}"
"""

RETURN = r"""
_value:
  description: The port of each cluster; what was set is returned as its text.
  type: dict
  sample: {kcp: 37443, east: 37444, west: "37500"}
"""

import os
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import (
    EmbeddedError,
    port_variable,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._providers import ports

FIRST = 37443


def cluster_ports(
    clusters: t.Sequence[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], state_dir: str
) -> dict[str, t.Any]:
    """The port of each cluster."""
    try:
        made = ports(State(state_dir))
    except EmbeddedError as error:
        raise AnsibleFilterError(str(error)) from error
    asked = {name: hostvars[name].get("cluster_port", "") for name in clusters}
    chosen = made | {name: port for name in clusters if (port := _text(asked[name]) or _environment(name))}
    taken = {_text(port) for port in (*made.values(), *chosen.values())}
    for position, name in enumerate(clusters):
        if name not in chosen:
            chosen[name] = next(port for port in range(FIRST + position, 65536) if str(port) not in taken)
            taken.add(str(chosen[name]))
    return {name: chosen[name] for name in clusters}


def _text(value: t.Any) -> str:
    return "" if value is None else str(value).strip()


def _environment(name: str) -> str:
    return os.environ.get(port_variable(name), "").strip()


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"cluster_ports": cluster_ports}
