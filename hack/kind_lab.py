# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests need of a machine, and how they are told which clusters to take."""

from __future__ import annotations

import json
import os
import subprocess

from scratch import ROOT, cache_dir

BIN = ROOT / ".venv" / "bin"
MARK = " => "  # what Ansible writes between a host's name and its result


def e2e_environment(provider: str) -> dict[str, str]:
    """Environment of `pytest tests/e2e`. kind and kubectl that are only in the cache go behind what is on PATH."""
    cached = sorted(path.parent for name in ("kubectl", "kind") for path in (cache_dir() / "bin").glob(f"*/{name}"))
    path = [str(BIN), os.environ.get("PATH", ""), *map(str, cached)]
    return {"TMC_E2E_PROVIDER": provider, "PATH": os.pathsep.join(path)}


def lacking() -> str:
    """Why no kind cluster can be made on this machine, in one line; "" when one can. Gets what can be got."""
    image = os.environ.get("TMC_KIND_NODE_IMAGE", "")
    arguments = f"cache_dir={cache_dir()} node_image='{image}'"
    command = [str(BIN / "ansible"), "localhost", "--connection=local", "--module-name=tmc.cross_cluster.kind_tools"]
    settings = {"ANSIBLE_HOME": str(ROOT / ".ansible"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
    done = subprocess.run(
        [*command, f"--args={arguments}"], cwd=ROOT, env=os.environ | settings, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    answer_text = done.stdout.partition(MARK)[2]
    if done.returncode or not answer_text:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}): {done.stdout}")
    answer = json.JSONDecoder().raw_decode(answer_text)[0]
    return "" if answer["available"] else " ".join(str(answer["problem"]).split())
