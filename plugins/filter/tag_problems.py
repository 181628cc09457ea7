# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds tags on the command line that a playbook does not have."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tag_problems
short_description: Tags that were asked for and that a playbook does not have
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - With a misspelt tag a play does nothing and ends well. This filter returns one sentence for each tag that is not known.
options:
  _input:
    description: Ansible's C(ansible_run_tags), or C(ansible_skip_tags).
    type: list
    elements: str
    required: true
  known:
    description: The tags that the playbook has.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse misspelt tags
  ansible.builtin.assert:
    that: ansible_run_tags | tmc.cross_cluster.tag_problems(known=['check-status', 'check-sync']) == []
"""

RETURN = r"""
_value:
  description: One sentence for each problem.
  type: list
  elements: str
  sample: ["tag 'check-staus' is not one of: check-status, check-sync; did you mean 'check-status'?"]
"""

import difflib
import typing as t

SPECIAL = ("all", "always", "never", "tagged", "untagged")


def tag_problems(tags: t.Sequence[str], known: t.Sequence[str]) -> list[str]:
    """One sentence for each tag that the playbook does not have."""
    return [_problem(tag, known) for tag in tags if tag not in (*known, *SPECIAL)]


def _problem(tag: str, known: t.Sequence[str]) -> str:
    near = difflib.get_close_matches(tag, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"tag '{tag}' is not one of: {', '.join(known) or '(this playbook has none)'}{hint}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"tag_problems": tag_problems}
