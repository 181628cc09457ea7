# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tie a program's life to supervisord's, then become it. A stand-alone script in C(<state>/supervisor/).

C(tied.py NAME DIGEST) reads C(programs/NAME.json) (argv, env, cwd) and replaces itself by that program. When
supervisord is killed the kernel kills the program (PR_SET_PDEATHSIG survives exec), so the next supervisord never
meets orphans that hold ports and data. DIGEST is not read: it is on the command line so that a changed definition
is a changed command to supervisord.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process with its parent; end it now when that parent is already another."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    with open("supervisord.pid", encoding="utf-8") as handle:
        if os.getppid() != int(handle.read()):
            raise SystemExit("supervisord was gone before the program started")


def main() -> None:
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    with open(f"programs/{sys.argv[1]}.json", encoding="utf-8") as handle:
        program = json.load(handle)
    die_with_parent()
    if program["cwd"]:
        os.chdir(program["cwd"])
    os.execvpe(program["argv"][0], program["argv"], {**os.environ, **program["env"]})


if __name__ == "__main__":
    main()
