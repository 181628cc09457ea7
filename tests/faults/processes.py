# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Real `tmc` processes under test: started, killed with SIGKILL, frozen and woken."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

NURSERY = Path(__file__).with_name("nursery.py")


class Processes:
    """The programs by name. `commands`: the arguments of `tmc`. A program has one log, which restarts append to."""

    def __init__(self, nursery: asyncio.subprocess.Process, commands: dict[str, list[str]], logs: Path) -> None:
        self.commands = commands
        self.pids: dict[str, int] = {}
        self.starts = 0
        self._nursery = nursery
        self._logs = logs
        self._turn = asyncio.Lock()

    def log(self, name: str) -> Path:
        """What all incarnations of a program wrote."""
        return self._logs / f"{name}.log"

    async def start(self, name: str) -> None:
        assert name not in self.pids, f"{name} runs already"
        answer = await self._ask(start=self.commands[name], log=str(self.log(name)))
        self.pids[name] = answer["pid"]
        self.starts += 1

    async def kill(self, name: str) -> None:
        """SIGKILL; returns when it is dead. One that does not run is left alone."""
        pid = self.pids.pop(name, None)
        if pid is not None:
            await self._ask(signal=int(signal.SIGKILL), pid=pid)

    async def freeze(self, name: str) -> None:
        await self._ask(signal=int(signal.SIGSTOP), pid=self.pids[name])

    async def wake(self, name: str) -> None:
        await self._ask(signal=int(signal.SIGCONT), pid=self.pids[name])

    async def succeed(self, name: str) -> str:
        """Start another replica, which has the name from now on; the new name of the old one."""
        old = f"{name}, the former"
        self.pids[old] = self.pids.pop(name)
        await self.start(name)
        return old

    async def ended(self) -> list[str]:
        """Programs that ended without being asked to."""
        return [name for name, pid in list(self.pids.items()) if (await self._ask(signal=0, pid=pid))["ended"]]

    async def _ask(self, **order: Any) -> dict[str, Any]:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        async with self._turn:
            self._nursery.stdin.write(json.dumps(order).encode() + b"\n")
            line = await self._nursery.stdout.readline()
        if not line:
            raise RuntimeError("the nursery of processes has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def processes(commands: dict[str, list[str]], logs: Path) -> AsyncIterator[Processes]:
    """All of them end with the context."""
    pipe = asyncio.subprocess.PIPE
    nursery = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(NURSERY), stdin=pipe, stdout=pipe, env=dict(os.environ), start_new_session=True
    )
    try:
        yield Processes(nursery, commands, logs)
    finally:
        assert nursery.stdin is not None
        nursery.stdin.close()
        await nursery.wait()
