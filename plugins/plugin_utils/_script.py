# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that take minutes, run by an action so that a person sees their progress: a module's output comes at its end.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

SHOWN_LINES = 20


class ScriptAction(ActionBase):
    """An action on the controller that runs programs."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def _run_shown(self, command: list[str]) -> tuple[int, list[str], list[str]]:
        """Exit code, lines of stdout, last lines of stderr, which are shown as they come."""
        said: list[str] = []
        display = Display()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **{str(k): str(v) for k, v in self._environment().items()}},
        ) as process:
            try:
                for line in process.stderr or ():
                    said = [*said[1 - SHOWN_LINES :], line.rstrip("\n")]
                    display.display(f"  {said[-1]}")
                answer = process.stdout.read().splitlines() if process.stdout else []
            except BaseException:
                process.terminate()
                raise
        return process.returncode, answer, said

    def _environment(self) -> dict[str, Any]:
        """The task's own C(environment:), which an action has to apply by itself."""
        merged: dict[str, Any] = {}
        for entry in self._task.environment or []:
            merged.update(self._templar.template(entry) or {})
        return merged
