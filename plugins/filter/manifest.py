# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a file of Kubernetes manifests."""

from __future__ import annotations

DOCUMENTATION = r"""
name: manifest
short_description: The objects in a file of Kubernetes manifests
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers
description:
  - Reads a YAML file of one or more documents and returns the objects in it, so that one task applies all of them.
options:
  _input:
    description: Path of the file.
    type: path
    required: true
  folder:
    description: Where a relative path starts.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Apply several files in one task
  kubernetes.core.k8s:
    apply: true
    resource_definition: "{{ files | map('tmc.cross_cluster.manifest', folder) | flatten }}"
  vars:
    files: [hub/rbac.yaml, hub/admission.yaml]
    folder: manifests
"""

RETURN = r"""
_value:
  description: The objects, in the order of the file; empty documents are left out.
  type: list
  elements: dict
"""

import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleFilterError


def manifest(path: str, folder: str) -> list[dict[str, t.Any]]:
    """The objects in a file; raises AnsibleFilterError when it cannot be read or is not YAML."""
    file = Path(folder, path)
    try:
        return [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document]
    except OSError as error:
        raise AnsibleFilterError(f"cannot read the manifest {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise AnsibleFilterError(f"the manifest {file} is not YAML: {error}") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"manifest": manifest}
