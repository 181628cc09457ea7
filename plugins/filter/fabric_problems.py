# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks an inventory that models clusters as hosts, before anything is started."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fabric_problems
short_description: What is wrong with an inventory of clusters
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - A fabric is one host in the group C(hub) and one host for each other cluster in the group C(members).
  - Takes Ansible's C(groups) and returns one sentence for each problem. An empty list means that all is well.
options:
  _input:
    description: Ansible's C(groups).
    type: dict
    required: true
  processor:
    description: The cluster whose controller works on the TaskQueues. Must be one of the clusters.
    type: str
    required: true
  candidates:
    description: The members that may take the TaskQueues over in a failover. Each must be a member.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse an inventory that is no fabric
  ansible.builtin.assert:
    that: groups | tmc.cross_cluster.fabric_problems(processor='west') == []
"""

RETURN = r"""
_value:
  description: One sentence for each problem.
  type: list
  elements: str
  sample: ["cluster name 'hub' is reserved; call the host something else"]
"""

import re
import typing as t

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
MAX_NAME = 40
RESERVED = ("hub", "sync")


def fabric_problems(
    groups: t.Mapping[str, t.Sequence[str]], processor: str, candidates: t.Sequence[str] = ()
) -> list[str]:
    """One sentence for each thing that keeps these hosts from being a fabric."""
    hubs, members = list(groups.get("hub", [])), list(groups.get("members", []))
    found = []
    if len(hubs) != 1:
        got = "none" if not hubs else ", ".join(hubs)
        found.append(f"exactly one cluster must be in the inventory group 'hub', got: {got}; -i inventory/ is a sample")
    if not members:
        found.append("the inventory group 'members' has no host; add a host for each cluster that joins the hub")
    found += [
        f"cluster '{name}' is in both groups 'hub' and 'members'; leave it in one" for name in hubs if name in members
    ]
    for name in dict.fromkeys([*hubs, *members]):
        found += _name_problems(name)
    clusters = list(dict.fromkeys([*hubs, *members]))
    if processor not in clusters:
        found.append(
            f"tmc_processor '{processor}' is not one of: {', '.join(clusters) or '(no clusters)'}; "
            "set it to one of these, or add the host to the inventory"
        )
    return found + _candidates_problems(candidates, members)


def _candidates_problems(candidates: t.Sequence[str], members: list[str]) -> list[str]:
    if isinstance(candidates, str):
        return [f"tmc_failover_candidates is the text '{candidates}', not a list; write it as [{candidates}]"]
    return [
        f"tmc_failover_candidates: '{name}' is not one of the members: {', '.join(members) or '(none)'}; "
        "only a member takes over"
        for name in candidates
        if name not in members
    ]


def _name_problems(name: str) -> list[str]:
    if name in RESERVED:
        return [f"cluster name '{name}' is reserved; call the host something else"]
    if len(name) > MAX_NAME:
        return [f"cluster name '{name}' is too long ({len(name)}); at most {MAX_NAME} characters"]
    if not _NAME.fullmatch(name):
        return [f"cluster name '{name}' is invalid: use lower-case letters, digits and '-', as in 'east-1'"]
    return []


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"fabric_problems": fabric_problems}
