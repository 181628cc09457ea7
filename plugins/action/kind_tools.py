# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what kind clusters need, gets what can be got, and shows its progress while it does."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import (
    Engine,
    KindError,
    first_that_answers,
)
from ansible_collections.tmc.cross_cluster.plugins.plugin_utils._script import ScriptAction

SCRIPT = Path(__file__).resolve().parents[2] / "controlplane" / "kind.py"
NOT_MADE = 3  # exit code of --check when the program would have to be made
SPEC = {
    "cache_dir": {"type": "path", "required": True},
    "engine": {"type": "str", "default": ""},
    "program": {"type": "str", "default": ""},
    "node_image": {"type": "str", "default": ""},
}
PULL_SECONDS = 1800.0
# kind has the name of its own node image compiled in, and no command that tells it.
OWN_IMAGE = re.compile(rb"kindest/node:v[0-9.]+@sha256:[0-9a-f]{64}")


class ActionModule(ScriptAction):
    """An action, because getting kind or the node image takes minutes."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        options = self.validate_argument_spec(argument_spec=SPEC)[1]
        found: dict[str, Any] = {
            "available": False,
            "problem": "",
            "engine": "",
            "kind": "",
            "source": "",
            "node_image": "",
        }
        try:
            engine = first_that_answers(options["engine"])[0]
            found["engine"] = engine.name
            found["source"], found["kind"] = self._program(options)
            pulled = self._image(engine, options["node_image"], found)
        except KindError as error:
            return {**result, **found, "problem": str(error), "changed": False}
        changed = pulled or found["source"] in ("download", "build", "to be made")
        return {**result, **found, "available": True, "changed": changed, "kubectl": shutil.which("kubectl") or ""}

    def _program(self, options: dict[str, Any]) -> tuple[str, str]:
        """Where kind comes from, and its path; "" in check mode when it would have to be made."""
        command = [sys.executable, str(SCRIPT), "--cache", options["cache_dir"]]
        if options["program"]:
            command += ["--program", options["program"]]
        if self._task.check_mode:
            command.append("--check")
        code, answer, said = self._run_shown(command)
        if code not in (0, NOT_MADE) or len(answer) < 2:
            raise KindError(said[-1].removeprefix("error: ") if said else f"{SCRIPT.name} ended with code {code}")
        return answer[-2].removeprefix("source: "), answer[-1]

    def _image(self, engine: Engine, wanted: str, found: dict[str, Any]) -> bool:
        """See to it that the engine has the node image; whether it did not. kinds at work together would each pull it.

        Where no image was ``wanted`` and kind's own cannot be pulled, a node image that the engine has already will do.
        """
        image = found["node_image"] = wanted or own_image(found["kind"])
        if not image or engine.has_image(image):
            return False
        if not self._task.check_mode:
            Display().display(f"  pulling node image {image} (about 1 GB, once)")
            try:
                engine.run("pull", "--quiet", image, seconds=PULL_SECONDS)
            except KindError as error:
                others = [] if wanted else [other for other in engine.images_called("node") if ":v1." in other]
                if others:
                    found["node_image"] = others[0]
                    Display().display(f"  it cannot be pulled; {engine.name} has {others[0]}, which is taken instead")
                    return False
                raise KindError(
                    f"{engine.name} has no node image {image} and cannot pull it: {error}. Set control_planes_kind_node_image "
                    "(TMC_KIND_NODE_IMAGE) to one that it has"
                ) from error
        return True


def own_image(program: str) -> str:
    """The image that this kind takes by default; "" when that cannot be told."""
    match = OWN_IMAGE.search(Path(program).read_bytes()) if program else None
    return match.group().decode() if match else ""
