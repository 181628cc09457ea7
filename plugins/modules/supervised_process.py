#!/usr/bin/python
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: supervised_process
short_description: A local process under the supervisord of a state directory
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Makes a program run for ever on this machine, restarted when it ends, its output in C(<state_dir>/logs/<name>.log) with
    rotation; or stops it and forgets it.
  - Starts supervisord when it does not run. The program is restarted when its definition or something of O(restart_on) changed, or
    when it keeps ending.
  - Waits until the program is up. One that ends right after its start makes the module fail, with the end of its log.
  - The program gets a small environment (E(PATH), E(HOME) and the like) and O(env), not that of the play.
options:
  state:
    description: Whether the program is to run.
    type: str
    choices: [present, absent]
    default: present
  state_dir:
    description: Directory that holds everything of the fabric on this machine.
    type: path
    required: true
  name:
    description: Name of the program - lower-case letters, digits and C(-), not beginning with C(plane-).
    type: str
    required: true
  argv:
    description: Program and arguments. Needed with O(state=present).
    type: list
    elements: str
  env:
    description: Environment variables. Their values are kept in a file of mode 0600 and are not shown in a diff.
    type: dict
    default: {}
  directory:
    description: Working directory; the home of supervisord when left out.
    type: path
  ready_file:
    description:
      - A file that the program writes when it is up; it is waited for. Without it, a program that lives for a second is up.
    type: path
  restart_on:
    description:
      - Files and folders that the program reads at its start alone, such as a kubeconfig or its own code. It is restarted when one of them
        is not what it was, whoever changed it.
      - Of a folder, everything below it counts but C(__pycache__) and what begins with a dot.
      - They must be there. In check mode, what is not there yet is predicted to be a change.
    type: list
    elements: path
    default: []
requirements:
  - Linux
  - supervisor >= 4.3
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: The syncer of member east
  tmc.cross_cluster.supervised_process:
    state_dir: ~/.local/state/tmc-cross-cluster
    name: syncer-east
    argv: [tmc, syncer, --member, east, --hub, kcp, --hub-kubeconfig, /srv/east/hub.kubeconfig]
    env:
      CONTROLLER_SYNC_INTERVAL: 10s
    restart_on: [/srv/east/hub.kubeconfig]

- name: No syncer any more
  tmc.cross_cluster.supervised_process:
    state: absent
    state_dir: ~/.local/state/tmc-cross-cluster
    name: syncer-east
"""

RETURN = r"""
log:
  description: The file that the program's output goes to.
  returned: success
  type: str
"""

import json
import os
import re
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.tmc.cross_cluster.plugins.module_utils._content import digest
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State, read
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_preflight import state_problems
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_programs import Program
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_supervisor import HAS_SUPERVISOR, Supervisor
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import EmbeddedError

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "state_dir": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "argv": {"type": "list", "elements": "str"},
    "env": {"type": "dict", "default": {}},
    "directory": {"type": "path"},
    "ready_file": {"type": "path"},
    "restart_on": {"type": "list", "elements": "path", "default": []},
}


def checked(params: dict[str, Any], check: bool) -> Program:
    """The program, its executable resolved. Raises EmbeddedError naming what is wrong."""
    name, argv = str(params["name"]), list(params["argv"] or [])
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?", name) or name.startswith("plane-"):
        raise EmbeddedError(
            f"name '{name}' is invalid: lower-case letters, digits and '-', at most 100, not beginning with 'plane-'"
        )
    if params["state"] == "present":
        executable = shutil.which(argv[0]) if argv else None
        if executable is None:
            raise EmbeddedError(f"argv[0] '{argv[0] if argv else ''}' of program '{name}' is not an executable file")
        argv[0] = os.path.abspath(executable)
    directory = str(params["directory"] or "")
    if directory and not os.path.isdir(directory):
        raise EmbeddedError(f"directory '{directory}' of program '{name}' does not exist")
    env = {str(key): str(value) for key, value in dict(params["env"]).items()}
    read_at_start = params["restart_on"] if params["state"] == "present" else []
    return Program(name, argv, env, directory, restart_on={path: content(name, path, check) for path in read_at_start})


def content(name: str, path: str, check: bool) -> str:
    """What stands for the content of this path. Raises EmbeddedError when it cannot be read."""
    try:
        return digest(path)
    except OSError as error:
        if check and isinstance(error, FileNotFoundError):
            return ""
        raise EmbeddedError(
            f"restart_on '{path}' of program '{name}' cannot be read: {error.strerror or error}; "
            "it must be a file or a folder that is there"
        ) from error


def shown(text: str | None) -> object:
    """A definition for a diff: the environment's names without its values."""
    if text is None:
        return "absent"
    definition = json.loads(text)
    plain = {key: definition[key] for key in ("argv", "cwd", "restart_on") if key in definition}
    return {**plain, "env": sorted(definition["env"])}


def present(program: Program, supervisor: Supervisor, ready_file: str, check: bool) -> bool:
    """Whether the program had to be written, started or restarted."""
    problems = list(state_problems(supervisor.state, 0))
    if problems:
        raise EmbeddedError("; ".join(problems))
    if check:
        return supervisor.differs(program) or not supervisor.runs(program.name)
    supervisor.state.claim()
    with supervisor.state.locked():
        changed = supervisor.write(program)
        supervisor.ensure_running()
        changed |= bool(supervisor.converge([program.name]))
    supervisor.await_up(program.name, ready_file)
    return changed


def absent(name: str, supervisor: Supervisor, check: bool) -> bool:
    """Whether there was something to stop or to forget."""
    if not supervisor.state.exists():
        return False
    if not supervisor.conf(name).exists() and name not in supervisor.processes():
        return False
    if not supervisor.state.owned():
        raise EmbeddedError(f"refused: state directory '{supervisor.state.root}' has no ownership marker")
    if not check:
        with supervisor.state.locked():
            supervisor.forget(name)
            if supervisor.pid() is not None:
                supervisor.converge([name])
    return True


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("state", "present", ["argv"])], supports_check_mode=True
    )
    if not HAS_SUPERVISOR:
        module.fail_json(msg=missing_required_lib("supervisor"))
    supervisor = Supervisor(State(module.params["state_dir"]))
    try:
        program = checked(module.params, module.check_mode)
        before = shown(read(supervisor.definition(program.name)))
        if module.params["state"] == "present":
            changed = present(program, supervisor, module.params["ready_file"] or "", module.check_mode)
            after = shown(program.definition())
        else:
            changed, after = absent(program.name, supervisor, module.check_mode), "absent"
    except EmbeddedError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"cannot write {supervisor.state.root}: {error.strerror or error}: {error.filename or ''}")
    log = str(supervisor.state.logs / f"{program.name}.log")
    module.exit_json(changed=changed, log=log, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
