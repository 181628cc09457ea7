# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to the one supervisord of a state directory: start it, make a program present or absent, end it.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import fcntl
import inspect
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _embedded_keeper as keeper
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _embedded_tied as tied
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State, ensure, read, tail
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_programs import Program, supervisord_conf
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import EmbeddedError

try:
    from supervisor.states import STOPPED_STATES, ProcessStates
    from supervisor.xmlrpc import Faults, SupervisorTransport

    HAS_SUPERVISOR = True
except ImportError:
    HAS_SUPERVISOR = False

RPC_SECONDS = 30.0
START_SECONDS = 30.0
LOG_LINES = 5
# The play's environment (tokens, proxies, CA bundles) is not the programs' business.
ENVIRONMENT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")


class SupervisorGone(EmbeddedError):
    """There is no supervisord to talk to."""


class Supervisor:
    """The supervisord of one state directory, running or not."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.folder = state.supervisor
        self._proxy: Any = None

    # -- files ------------------------------------------------------------------------------------------------

    def conf(self, name: str) -> Path:
        return self.folder / "conf.d" / f"{name}.conf"

    def definition(self, name: str) -> Path:
        return self.folder / "programs" / f"{name}.json"

    def configured(self) -> list[str]:
        """Names of the programs that have a configuration."""
        return sorted(path.stem for path in (self.folder / "conf.d").glob("*.conf"))

    def differs(self, program: Program) -> bool:
        """Whether the program's files are not what they should be."""
        return (
            read(self.conf(program.name)) != program.section()
            or read(self.definition(program.name)) != program.definition()
        )

    def write(self, program: Program) -> bool:
        """Write the program's files; whether they changed. The definition first: the section is what counts."""
        changed = ensure(self.definition(program.name), program.definition())
        return ensure(self.conf(program.name), program.section()) or changed

    def forget(self, name: str) -> None:
        """Remove the program's files."""
        self.conf(name).unlink(missing_ok=True)
        self.definition(name).unlink(missing_ok=True)

    # -- the process ------------------------------------------------------------------------------------------

    def _in_folder(self, call: Callable[[], Any]) -> Any:
        """Call with the folder as working directory: the socket's absolute path may be too long to connect to."""
        before = os.open(".", os.O_DIRECTORY)
        os.chdir(self.folder)
        try:
            return call()
        finally:
            os.fchdir(before)
            os.close(before)

    def pid(self) -> int | None:
        """Process id of the running supervisord, or None."""
        if not self.folder.is_dir():
            return None
        return self._in_folder(lambda: keeper.listening_pid("supervisord.sock"))

    def keeper_pid(self) -> int | None:
        """Process id of the running keeper, or None."""
        try:
            with open(self.folder / "keeper.lock", "r+", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return int(read(self.folder / "keeper.lock") or 0) or None
        return None

    def running(self) -> bool:
        return self.keeper_pid() is not None and self.pid() is not None

    def await_keeper(self) -> bool:
        """Whether supervisord runs, after giving a keeper that is just restarting it the time to do so."""
        if self.pid() is None and self.keeper_pid() is not None:
            wait_for(lambda: self.pid() is not None or self.keeper_pid() is None, START_SECONDS, self._no_start)
        return self.pid() is not None

    def _no_start(self) -> str:
        return f"supervisord did not start: {tail(self.state.logs / 'supervisord.stderr')}"

    def ensure_running(self) -> bool:
        """Start keeper and supervisord when either is missing, and wait until it answers; whether it had to."""
        self.state.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "conf.d").mkdir(mode=0o700, parents=True, exist_ok=True)
        ensure(self.folder / "keeper.py", inspect.getsource(keeper))
        ensure(self.folder / "tied.py", inspect.getsource(tied))
        ensure(self.folder / "supervisord.conf", supervisord_conf(str(self.folder)))
        if self.running():
            return False
        subprocess.Popen(
            [sys.executable, str(self.folder / "keeper.py")],
            cwd=self.folder,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.running, START_SECONDS, self._no_start)
        return True

    # -- remote calls -----------------------------------------------------------------------------------------

    def call(self, method: str, *arguments: object, allow: Iterable[int] = ()) -> Any:
        """Call C(supervisor.<method>); None for a fault whose code is in C(allow).

        Asks again when supervisord was killed meanwhile and the keeper brings it back: what is called here may be
        called twice. Raises SupervisorGone when nobody answers, EmbeddedError for other faults.
        """
        for last in (False, False, True):
            try:
                return self._in_folder(lambda: getattr(self._connect().supervisor, method)(*arguments))
            except Fault as fault:
                if fault.faultCode in allow:
                    return None
                raise EmbeddedError(f"supervisord refused {method}{arguments}: {fault.faultString}") from fault
            except (OSError, HTTPException) as error:
                self._proxy = None
                if last or not self.await_keeper():
                    raise SupervisorGone(
                        f"supervisord of {self.state.root} does not answer {method}: {error!r}"
                    ) from error
        return None

    def _connect(self) -> Any:
        if self._proxy is None:
            socket.setdefaulttimeout(RPC_SECONDS)  # the transport has no timeout of its own
            self._proxy = ServerProxy("http://localhost", SupervisorTransport(None, None, "unix://supervisord.sock"))
        return self._proxy

    def processes(self) -> dict[str, dict[str, Any]]:
        """Everything supervisord runs: name to {statename, pid, ...}; empty when it is not running."""
        if self.pid() is None:
            return {}
        try:
            return {info["name"]: info for info in self.call("getAllProcessInfo")}
        except SupervisorGone:
            return {}

    def runs(self, name: str) -> bool:
        """Whether supervisord runs this program or is about to."""
        return self.running() and self.processes().get(name, {"state": ProcessStates.FATAL})["state"] not in halted()

    def converge(self, names: Iterable[str]) -> list[str]:
        """Make what runs equal to what is configured, for these programs; the names that had to be touched.

        Other programs are left alone: another run may be at work on them.
        """
        wanted = list(names)
        added, changed, removed = self.call("reloadConfig")[0]
        touched = [name for name in wanted if name in {*added, *changed, *removed}]
        self.stop([name for name in touched if name not in added])
        for name in touched:
            self.call("removeProcessGroup", name, allow=[Faults.BAD_NAME])
            if name not in removed:
                self.call("addProcessGroup", name, allow=[Faults.ALREADY_ADDED])
        processes = self.processes()
        # Stopped by hand, or ended and waiting for longer and longer: a program that is configured is a program that runs.
        idle = [name for name in wanted if name not in touched and processes.get(name, {}).get("state") in halted()]
        self.stop([name for name in idle if processes[name]["state"] == ProcessStates.BACKOFF])
        for name in idle:
            self.call("startProcess", name, False, allow=[Faults.ALREADY_STARTED])
        return [*touched, *idle]

    def await_up(self, name: str, ready_file: str = "") -> None:
        """Wait until a program that was started is up: it stays alive, and has written its file if it has one.

        Raises EmbeddedError with the end of its log when it ends instead, or is not up in time.
        """
        log = self.state.logs / f"{name}.log"

        def why(what: str) -> str:
            return f"program '{name}' {what}; the end of {log}:\n{tail(log, LOG_LINES)}"

        def up() -> bool:
            info = self.processes().get(name, {})
            if info.get("state") in (ProcessStates.BACKOFF, ProcessStates.FATAL):
                raise EmbeddedError(why("ended right after its start"))
            return info.get("state") == ProcessStates.RUNNING and written_since(ready_file, info["start"])

        wait_for(up, START_SECONDS, lambda: why(f"was not up within {START_SECONDS:.0f} s"))

    def stop(self, names: Iterable[str], seconds: float = 30.0) -> None:
        """Stop programs, all at once, and wait until they are gone."""
        asked = [name for name in names if name in self.processes()]
        for name in asked:
            self.call("stopProcess", name, False, allow=[Faults.NOT_RUNNING, Faults.BAD_NAME])

        def stopped() -> bool:
            held = self.processes()
            return all(name not in held or held[name]["state"] in STOPPED_STATES for name in asked)

        wait_for(stopped, seconds, lambda: f"programs did not stop in {seconds:.0f} s: {', '.join(asked)}")

    def shut_down(self, seconds: float = 60.0) -> None:
        """End supervisord with all its programs, and the keeper; wait until they are gone.

        Works with either of the two killed, too: programs die with supervisord.
        """
        pids = [info["pid"] for info in self.processes().values() if info["pid"]]
        guardians = [pid for pid in (self.keeper_pid(), self.pid()) if pid]
        for pid in guardians:
            _signal(pid, signal.SIGTERM)
        watched = [*guardians, *pids]
        wait_for(
            lambda: not any(alive(pid) for pid in watched) and self.keeper_pid() is None and self.pid() is None,
            seconds,
            lambda: f"still running after {seconds:.0f} s: pid {', '.join(str(p) for p in watched if alive(p))}",
        )


def halted() -> tuple[int, ...]:
    """States of a program that does not run; in the last one it will be started again, after a while."""
    return (ProcessStates.STOPPED, ProcessStates.EXITED, ProcessStates.FATAL, ProcessStates.BACKOFF)


def written_since(path: str, second: int) -> bool:
    """Whether this file is from that second or later; true when no file is named."""
    try:
        return not path or os.stat(path).st_mtime >= second
    except FileNotFoundError:
        return False


def alive(pid: int) -> bool:
    """Whether a process runs. One that ended and was not yet collected by its parent does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            return handle.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
    """Poll until C(condition) holds. Raises EmbeddedError with the complaint after C(seconds)."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise EmbeddedError(complaint())
        time.sleep(0.05)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):  # gone already: what we wanted
        os.kill(pid, number)
