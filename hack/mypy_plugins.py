# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Type-check the plugins under the name they have when Ansible loads them: `ansible_collections.tmc.cross_cluster`."""

from __future__ import annotations

import subprocess
import sys

from scratch import ROOT

PLUGINS = "ansible_collections/tmc/cross_cluster/plugins"


def main() -> int:
    """Run mypy from the collections folder; returns its exit code."""
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), PLUGINS]
    return subprocess.run(command, cwd=ROOT / "collections").returncode


if __name__ == "__main__":
    sys.exit(main())
