# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on a TCP port of 127.0.0.1, asked of Linux' /proc.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

_LISTEN = "0A"


def is_free(port: int) -> bool:
    """Whether a server could listen on C(port) of 127.0.0.1 now. A connection that lingers does not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listeners(port: int) -> set[str]:
    """Inodes of the sockets that listen on C(port), as text."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as handle:
                rows = [line.split() for line in handle.readlines()[1:]]
        except OSError:
            continue
        found |= {row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}
    return found


def holds(pid: int, inodes: set[str]) -> bool:
    """Whether process C(pid) has one of these sockets open. False for a process that we may not look into."""
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            target = os.readlink(f"{folder}/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            return True
    return False


def describe_holder(port: int, pids: Iterable[int] | None = None) -> str:
    """C( (pid 123, nc)) for an error message, or nothing when it cannot be told."""
    inodes = listeners(port)
    for pid in pids if pids is not None else (int(p) for p in os.listdir("/proc") if p.isdigit()):
        if holds(pid, inodes):
            try:
                with open(f"/proc/{pid}/comm", encoding="utf-8") as handle:
                    return f" (pid {pid}, {handle.read().strip()})"
            except OSError:
                return f" (pid {pid})"
    return ""
