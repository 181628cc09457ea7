#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies one context of the user's kubeconfig into a file of its own."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeconfig_context
short_description: Copy one context of a kubeconfig into a file of its own
description:
  - Writes a kubeconfig, mode C(0600), that holds one context only and no reference to certificate files. A token file
    stays a reference, because it is renewed where it is; a program to run stays one, too.
  - The source is only read, and never removed.
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
extends_documentation_fragment:
  - tmc.cross_cluster.attributes
options:
  state:
    description:
      - V(present) writes the file for O(name) below O(state_dir), V(absent) removes it when this module wrote it.
    type: str
    choices: [present, absent]
    default: present
  kubeconfig:
    description:
      - Path of the kubeconfig to copy from; several, separated as in E(KUBECONFIG), are merged as kubectl does it.
      - Default E(KUBECONFIG), else C(~/.kube/config).
    type: str
  context:
    description:
      - Name of the context; the current one by default.
    type: str
  name:
    description:
      - Name of the context that is written.
    type: str
    required: true
  state_dir:
    description:
      - The state directory of the fabric; it is made, 0700, when it is not there. The file is
        C(kubeconfigs/<name>.kubeconfig) below it.
    type: path
    required: true
  allow_exec:
    description:
      - Whether the context may run a program to get credentials. Default E(K8S_AUTH_ALLOW_EXEC), which the other
        modules read, too.
    type: bool
    default: false
  allow_insecure_mode:
    description:
      - Whether a kubeconfig that others on the machine can read is accepted as the source.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: The cluster that production-east leads to
  tmc.cross_cluster.kubeconfig_context:
    context: production-east
    name: controller-east
    state_dir: ~/.local/state/tmc-cross-cluster
"""

RETURN = r"""
path:
  description: Path of the file.
  returned: success
  type: str
  sample: /home/me/.local/state/tmc-cross-cluster/kubeconfigs/controller-east.kubeconfig
server:
  description: URL of the API server.
  returned: with O(state=present)
  type: str
  sample: https://east.example.com:6443
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig_files
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State, ensure, read
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_preflight import state_problems
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Rules
from ansible_collections.tmc.cross_cluster.plugins.module_utils._module import run
from ansible_collections.tmc.cross_cluster.plugins.module_utils._providers import strangers


def body(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    state = State(params["state_dir"])
    path = state.kubeconfigs / f"{params['name']}.kubeconfig"
    verb, change = ("remove", remove) if params["state"] == "absent" else ("write", write)
    try:
        return {"path": str(path), **change(module, state, path)}
    except OSError as error:
        raise TmcError(f"cannot {verb} {path}: {error}") from error


def write(module: AnsibleModule, state: State, path: Path) -> dict[str, Any]:
    params = module.params
    source = params["kubeconfig"] or _kubeconfig_files.DEFAULT
    refuse_what_is_not_ours(path, source, state)
    document = extract(params, source)
    text = _kubeconfig_files.render(document)
    changed = read(path) != text or path.stat().st_mode & 0o777 != 0o600
    if changed and not module.check_mode:
        state.claim()
        ensure(path, text)
    return {"changed": changed, "server": document["clusters"][0]["cluster"]["server"]}


def extract(params: dict[str, Any], source: str) -> dict[str, Any]:
    rules = Rules(allow_exec=params["allow_exec"], allow_insecure_mode=params["allow_insecure_mode"])
    document = _kubeconfig_files.merged(source, rules)
    return _kubeconfig_files.extract(document, source, params["context"], params["name"], rules)


def refuse_what_is_not_ours(path: Path, source: str, state: State) -> None:
    """Raises InvalidInput for a target that is the source itself or was written by somebody else."""
    files = _kubeconfig_files.paths_of(source)
    if any(each.exists() and path.exists() and each.samefile(path) for each in files):
        raise InvalidInput(f"kubeconfig '{source}' lies in the state directory itself: keep yours somewhere else")
    if is_ours(path) is False:
        raise InvalidInput(f"'{path}' is there and belongs to another provider: choose another tmc_state_dir")
    for problem in (*state_problems(state, 0), *strangers(state, "existing")):
        raise InvalidInput(problem)


def remove(module: AnsibleModule, _state: State, path: Path) -> dict[str, Any]:
    """Only a file that this module wrote."""
    ours = is_ours(path)
    if ours and not module.check_mode:
        path.unlink()
    return {"changed": bool(ours)}


def is_ours(path: Path) -> bool | None:
    """Whether this module wrote the file; None when there is none."""
    try:
        text = read(path)
    except UnicodeDecodeError:
        return False
    return None if text is None else _kubeconfig_files.is_extract(text)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "kubeconfig": {"type": "str", "fallback": (env_fallback, ["KUBECONFIG"])},
            "context": {"type": "str"},
            "name": {"type": "str", "required": True},
            "state_dir": {"type": "path", "required": True},
            "allow_exec": {"type": "bool", "default": False, "fallback": (env_fallback, ["K8S_AUTH_ALLOW_EXEC"])},
            "allow_insecure_mode": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    run(module, body)


if __name__ == "__main__":
    main()
