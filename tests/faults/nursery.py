# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts `tmc` processes in milliseconds: one process has everything imported and forks a child for each.

Reads JSON lines on stdin and answers each with one on stdout:
`{"start": [argv], "log": path}` -> `{"pid": n}`; `{"signal": n, "pid": p}` -> `{"ended": true|false}`.
A SIGKILL is answered when the child is dead. At the end of stdin all children are killed.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from typing import Any

import tmc.cli


def main() -> int:
    """Serve until stdin ends."""
    children: set[int] = set()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        answer = start(order, children) if "start" in order else send(order, children)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return 0


def start(order: dict[str, Any], children: set[int]) -> dict[str, Any]:
    pid = os.fork()
    if pid == 0:
        become(order["start"], order["log"])
    children.add(pid)
    return {"pid": pid}


def become(argv: list[str], log: str) -> None:
    """The child: `tmc` with these arguments, writing to `log`. Does not return."""
    code = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((nothing, output, output)):
            os.dup2(descriptor, number)
        os.closerange(3, 256)
        os.setpgid(0, 0)
        code = tmc.cli.main(argv)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


def send(order: dict[str, Any], children: set[int]) -> dict[str, Any]:
    """Signal 0 only asks whether the child has ended."""
    pid, number = order["pid"], order["signal"]
    if pid not in children:
        return {"ended": True}
    if number:
        os.kill(pid, number)
    flags = 0 if number == signal.SIGKILL else os.WNOHANG
    ended = os.waitpid(pid, flags)[0] == pid
    if ended:
        children.discard(pid)
    return {"ended": ended}


if __name__ == "__main__":
    sys.exit(main())
