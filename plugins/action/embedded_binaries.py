# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs controlplane/binaries.py on the controller and shows its progress while it works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.tmc.cross_cluster.plugins.plugin_utils._script import ScriptAction

SCRIPT = Path(__file__).resolve().parents[2] / "controlplane" / "binaries.py"
NOT_MADE = 3  # exit code of --check when the binaries would have to be made


class ActionModule(ScriptAction):
    """An action, because a module's output is seen only when it has ended, and a build takes minutes."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        spec = {"cache_dir": {"type": "path", "required": True}, "binary_dir": {"type": "path"}}
        options = self.validate_argument_spec(argument_spec=spec)[1]
        command = [sys.executable, str(SCRIPT), "--cache", options["cache_dir"]]
        if options["binary_dir"]:
            command += ["--binary-dir", options["binary_dir"]]
        if self._task.check_mode:
            command.append("--check")
        code, answer, said = self._run_shown(command)
        if code not in (0, NOT_MADE) or len(answer) < 2:
            raise AnsibleActionFail("\n".join(said) or f"{SCRIPT.name} ended with code {code}")
        source = answer[-2].removeprefix("source: ")
        return {
            **result,
            "changed": source in ("download", "build", "to be made"),
            "source": source,
            "path": answer[-1],
            "available": code == 0,
        }
