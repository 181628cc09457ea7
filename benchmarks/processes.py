# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The processes of a fabric, their memory and processor time, from /proc."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "etcd", "syncer", "controller", "supervisord", "keeper.py")


@dataclass(frozen=True)
class Usage:
    """Processor seconds so far, and resident MiB now."""

    cpu: float
    memory: float


def processes_below(directory: Path, clusters: Collection[str] = ()) -> dict[str, int]:
    """Process ids by name (`syncer east`) of all that work in `directory` or name it in their command line."""
    found: dict[str, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            working = os.readlink(entry / "cwd")
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
        pid = int(entry.name)
        if pid != os.getpid() and any(f"{directory}/" in text for text in (*words, f"{working}/")):
            name = process_name(words, working, clusters)
            found[name if name not in found else f"{name} ({pid})"] = pid
    return found


def process_name(words: list[str], working: str, clusters: Collection[str]) -> str:
    """What to call a process: its program, and the cluster that it serves, as its options or working directory say."""
    programs = [Path(word).name for word in words[:4] if word]
    program = next((name for name in programs if name in PROGRAMS), programs[0] if programs else "?")
    if program not in PROGRAMS and any("supervisor" in word for word in words):
        program = "supervisord"
    options = [word.partition("=")[2] for word in words if word.startswith(("--member=", "--cluster="))]
    cluster = next((name for name in (*options, *reversed(working.split("/"))) if name in clusters), "")
    return f"{program} {cluster}".strip()


def usage(pid: int) -> Usage:
    """Raises OSError when the process is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    seconds = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return Usage(seconds, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def usages(directory: Path, clusters: Collection[str]) -> dict[str, Usage]:
    """By name; processes that have just ended are left out."""
    found = {}
    for name, pid in sorted(processes_below(directory, clusters).items()):
        try:
            found[name] = usage(pid)
        except OSError:
            continue
    return found
