# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What files and folders hold, in a short text."""

from __future__ import annotations

DOCUMENTATION = r"""
name: content_digest
short_description: A digest of what files and folders hold
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Another text when one of the files has another content, or when one came or went below one of the folders.
  - Where they are does not count, nor C(__pycache__) and what begins with a dot below a folder.
options:
  _input:
    description: Paths of files and folders on this machine.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
- name: Show what stands for the code
  ansible.builtin.debug:
    msg: "{{ ['runtime/src', 'runtime/pyproject.toml'] | tmc.cross_cluster.content_digest }}"
"""

RETURN = r"""
_value:
  description: The digest, 64 hexadecimal digits.
  type: str
"""

import hashlib
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.tmc.cross_cluster.plugins.module_utils._content import digest


def content_digest(paths: t.Sequence[str]) -> str:
    """One digest of all of them, in this order."""
    try:
        together = "\n".join(digest(str(path)) for path in paths)
    except OSError as error:
        raise AnsibleFilterError(f"content_digest: '{error.filename}' cannot be read: {error.strerror}") from error
    return hashlib.sha256(together.encode()).hexdigest()


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"content_digest": content_digest}
