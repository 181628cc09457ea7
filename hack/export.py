# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Copy this repository to where ansible-test and ansible-galaxy want a collection to be.

The copy holds what git knows or would add, uncommitted work included, and not the link `collections/...` to this very
tree, which ansible-test's symlink test refuses (.gitattributes keeps it out of archives too).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from scratch import ROOT


def export(into: Path, leave_out: tuple[str, ...] = ()) -> Path:
    """Replace `into/ansible_collections/tmc/cross_cluster` by a fresh copy; returns that path.

    `leave_out` names folders, with a slash at the end, that the copy shall not hold.
    """
    target = into / "ansible_collections" / "tmc" / "cross_cluster"
    shutil.rmtree(into, ignore_errors=True)
    for name in tracked():
        if (ROOT / name).is_file() and not name.startswith(("collections/", *leave_out)):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


def tracked() -> list[str]:
    """Paths that git knows, or would add with `git add .`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return sorted({name for name in listing.decode().split("\0") if name})
