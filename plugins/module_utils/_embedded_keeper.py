# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeper: restarts supervisord unless it ended cleanly. A stand-alone script in C(<state>/supervisor/).

One keeper a directory (a lock says so). A keeper that finds a living supervisord, because the keeper before it was
killed, watches that one instead of starting another. SIGTERM stops supervisord, and with it everything it runs.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from types import FrameType

STDERR_LIMIT = 1 << 20  # bytes; what supervisord says before it has a log
QUICK_DEATH = 5.0  # seconds; a supervisord that lived shorter is not restarted at once


def listening_pid(path: str) -> int | None:
    """Process that listens on a unix socket, or None. Asked of the kernel, so a recycled pid cannot fool it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return None
        return struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


class Keeper:
    """Watches over the one supervisord of the current directory."""

    def __init__(self) -> None:
        self.pid = 0
        self.stopping = False

    def terminate(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = True
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGTERM)
            except ProcessLookupError:
                self.pid = 0

    def adopt(self, pid: int) -> bool:
        """Wait for the end of a supervisord that is not our child; whether it was clean."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        self.pid = pid
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll()
        os.close(handle)
        # Its exit code is not ours to read, but a supervisord that ends by itself removes its pid file.
        return not os.path.exists("supervisord.pid")

    def start(self) -> bool:
        """Run supervisord to its end; whether that was clean."""
        log = "../logs/supervisord.stderr"
        small = os.path.exists(log) and os.path.getsize(log) < STDERR_LIMIT
        with open(log, "ab" if small else "wb") as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.pid = child.pid
        if self.stopping:  # the signal came between the fork and the line above
            child.terminate()
        return child.wait() == 0

    def run(self) -> None:
        while not self.stopping:
            began = time.monotonic()
            pid = listening_pid("supervisord.sock")
            if self.adopt(pid) if pid else self.start():
                return
            self.pid = 0
            if time.monotonic() - began < QUICK_DEATH:
                time.sleep(1)


def main() -> int:
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    keeper = Keeper()
    signal.signal(signal.SIGTERM, keeper.terminate)
    signal.signal(signal.SIGINT, keeper.terminate)
    with open("keeper.lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        keeper.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
