# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Build the collection as Galaxy would get it and put it through Galaxy's own importer."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from subprocess import PIPE, STDOUT

from export import export
from scratch import ROOT

WORK = ROOT / ".cache" / "galaxy"
# What a collection must not carry: links (the one to this tree would be a loop) and programs.
LARGEST_FILE = 1 << 20


def main() -> int:
    """Export, build, inspect, import; returns the exit code."""
    tree = export(WORK)
    subprocess.run(["ansible-galaxy", "collection", "build", "--output-path", WORK, tree], check=True)
    (artefact,) = WORK.glob("*.tar.gz")
    return inspect(artefact) or importer(artefact)


def inspect(artefact: Path) -> int:
    """1 when the artefact holds what it must not."""
    with tarfile.open(artefact) as archive:
        wrong = [member.name for member in archive if member.issym() or member.size > LARGEST_FILE]
    if wrong:
        print(f"{artefact.name} must not contain links or files over {LARGEST_FILE} bytes: {', '.join(wrong)}. "
              "Add them to build_ignore in galaxy.yml.")  # fmt: skip
    return 1 if wrong else 0


def importer(artefact: Path) -> int:
    """Run the importer; 1 when it fails or reports an error (its exit code alone does not tell)."""
    environment = os.environ | {"GALAXY_IMPORTER_CHECK_REQUIRED_TAGS": "1", "GALAXY_IMPORTER_RUN_FLAKE8": "0"}
    command = [sys.executable, "-m", "galaxy_importer.main", str(artefact)]
    run = subprocess.run(command, cwd=WORK, env=environment, text=True, stdout=PIPE, stderr=STDOUT)
    print(run.stdout)
    failed = run.returncode != 0 or not (WORK / "importer_result.json").is_file() or "ERROR" in run.stdout
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
