#!/usr/bin/env python3
# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Run the gates one after the other, stop at the first that fails, end with one summary.

Runs with the Python of `.venv` (see `make test`). What a gate writes goes to `.cache/gates/<gate>.log`; tests show it
as they go, the others only when they fail. The exit code is 0 when every gate that was asked for has passed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kind_lab import e2e_environment, lacking
from scratch import ROOT, cache_dir, molecule_environment

BIN = ROOT / ".venv" / "bin"
LOGS = ROOT / ".cache" / "gates"
# Ansible's files stay in the checkout, and no gate lints or runs a copy that the user has installed.
HOME = {"ANSIBLE_HOME": str(ROOT / ".ansible"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
QUIET = {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Gate:
    """One named step. `deadline` in seconds only ends a hang; it says nothing about speed.

    `lacking` tells what this machine lacks for it: then the gate is skipped, with that reason.
    """

    name: str
    group: str
    commands: tuple[tuple[str, ...], ...]
    shown: bool = False
    deadline: float = 900.0
    environment: Callable[[], dict[str, str]] = dict
    lacking: Callable[[], str] = str


@dataclass
class Result:
    """What became of a gate: `passed`, `failed`, `skipped` (`reason` says why) or `not run`."""

    gate: Gate
    outcome: str = "not run"
    seconds: float = 0.0
    log: Path = field(default_factory=Path)
    reason: str = ""


def pytest(*arguments: str) -> tuple[str, ...]:
    return ("pytest", "--timeout=600", "--durations=20", *arguments)


BINARIES = ("python", "controlplane/binaries.py", "--cache", str(cache_dir()))
STORY = "tests/e2e/test_fabric.py"
MYPY_TOOLS = (
    "mypy",
    "--strict",
    *(f"hack/{name}.py" for name in ("test", "setup", "sanity", "galaxy", "kind_lab", "mypy_plugins")),
)

GATES = (
    Gate("ruff", "lint", (("ruff", "check", "."), ("ruff", "format", "--check", "."))),
    Gate("mypy", "lint", (("mypy", "--strict", "runtime/src/tmc"), ("python", "hack/mypy_plugins.py"), MYPY_TOOLS)),
    Gate("import-linter", "lint", (("lint-imports", "--no-cache"),)),
    Gate("yamllint", "lint", (("yamllint", "--strict", "."),)),
    Gate("ansible-lint", "lint", (("ansible-lint", "--offline", "--profile", "production"),)),
    Gate("docs", "lint", (("antsibull-docs", "lint-collection-docs", "--plugin-docs", "."),)),
    Gate("changelog", "lint", (("antsibull-changelog", "lint"),)),
    Gate("unit", "unit", (pytest("runtime/tests", "tests/unit"),), shown=True),
    Gate("sanity", "sanity", (("python", "hack/sanity.py"),), deadline=1800.0),
    Gate("galaxy", "galaxy", (("python", "hack/galaxy.py"),)),
    Gate("binaries", "integration", (BINARIES,), shown=True, deadline=3600.0),
    Gate("integration", "integration", (pytest("tests/integration"),), shown=True, deadline=2400.0),
    Gate("operators", "integration", (pytest("tests/operators"),), shown=True, deadline=2400.0),
    Gate("faults", "faults", (pytest("-s", "--timeout=1500", "tests/faults"),), shown=True, deadline=1800.0),
    Gate("molecule", "molecule", (("molecule", "test"),), True, 1800.0, molecule_environment),
    Gate("e2e-embedded", "e2e", (pytest("-x", STORY),), True, 1800.0, lambda: e2e_environment("embedded")),
    Gate("e2e-existing", "e2e", (pytest("-x", STORY),), True, 1800.0, lambda: e2e_environment("existing")),
    Gate("kind", "kind", (pytest("tests/e2e"),), True, 3600.0, lambda: e2e_environment("kind"), lacking),
)


def main(arguments: list[str]) -> int:
    """Run the gates that `arguments` select; returns the exit code."""
    options = parse(arguments)
    gates = [gate for gate in GATES if not options.only or {gate.name, gate.group} & set(options.only)]
    if options.list:
        print("\n".join(f"{gate.name:<16}{gate.group}" for gate in gates))
        return 0
    signal.signal(signal.SIGTERM, interrupt)
    LOGS.mkdir(parents=True, exist_ok=True)
    results = [Result(gate, log=LOGS / f"{gate.name}.log") for gate in gates]
    try:
        run_all(results, keep_going=options.keep_going)
    except KeyboardInterrupt:
        print("\ngates: interrupted", file=sys.stderr)
    summarise(results)
    return 0 if all(result.outcome in ("passed", "skipped") for result in results) else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    names = sorted({name for gate in GATES for name in (gate.name, gate.group)})
    parser = argparse.ArgumentParser(prog="make test", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=names, help="a gate or a group of gates; may be repeated")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first gate that fails")
    parser.add_argument("--list", action="store_true", help="name the gates and their groups, run nothing")
    return parser.parse_args(arguments)


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def run_all(results: list[Result], *, keep_going: bool) -> None:
    """Run each gate in order, writing into its result what became of it."""
    for result in results:
        print(f"==> {result.gate.name}", flush=True)
        started = time.monotonic()
        result.outcome = "failed"  # also what an interruption leaves behind
        try:
            result.reason = result.gate.lacking()
            passed = bool(result.reason) or run(result.gate, result.log)
        finally:
            result.seconds = time.monotonic() - started
        if passed:
            result.outcome = "skipped" if result.reason else "passed"
            continue
        print(f"==> {result.gate.name} FAILED (log: {result.log.relative_to(ROOT)})", flush=True)
        if not keep_going:
            return


def run(gate: Gate, log: Path) -> bool:
    """Run the commands of one gate; True when all of them exit with 0 within the deadline."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | QUIET | HOME | gate.environment()
    ends = time.monotonic() + gate.deadline
    with log.open("wb") as output, log.open("rb") as written:
        for command in gate.commands:
            output.write(f"$ {shlex.join(command)}\n".encode())
            output.flush()
            if not run_command(command, environment, output.fileno(), written if gate.shown else None, ends):
                show(written)
                return False
    return True


def run_command(
    command: tuple[str, ...], environment: dict[str, str], log: int, written: BinaryIO | None, ends: float
) -> bool:
    """One command in a process group of its own, so that a hang can be ended with all that it started.

    It writes to a file, which is shown from there: a pipe would stay open as long as anything that it left running.
    """
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    ) as process:
        try:
            while process.poll() is None and time.monotonic() < ends:
                show(written)
                time.sleep(0.1)
            if process.returncode is None:
                print(f"gates: {shlex.join(command)} did not end before its deadline; it was ended", file=sys.stderr)
            return process.returncode == 0
        finally:
            end_group(process)
            show(written)


def show(written: BinaryIO | None) -> None:
    """Copy to the terminal what has come since the last time."""
    if written:
        sys.stdout.write(written.read().decode(errors="replace"))
        sys.stdout.flush()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, first by asking, with everything of its group. One that has ended is left alone:
    what it means to leave running (a supervisor) has left the group."""
    if process.poll() is not None:
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        os.killpg(process.pid, number)
        try:
            process.wait(timeout=20)
            break
        except subprocess.TimeoutExpired:
            continue
    with contextlib.suppress(ProcessLookupError):  # nobody is left in the group
        os.killpg(process.pid, signal.SIGKILL)


def summarise(results: list[Result]) -> None:
    """One table: what ran, how it ended, how long it took."""
    print("\nGates")
    for result in results:
        taken = f"{result.seconds:7.1f} s" if result.outcome != "not run" else " " * 9
        print(f"  {result.gate.name:<16}{result.outcome:<9}{taken}{f'  {result.reason}' if result.reason else ''}")
    outcomes = ("passed", "failed", "not run", "skipped")
    counts = [sum(result.outcome == outcome for result in results) for outcome in outcomes]
    total = sum(result.seconds for result in results)
    skipped = f", {counts[3]} skipped" if counts[3] else ""
    print(f"  {counts[0]} gates passed, {counts[1]} failed, {counts[2]} not run{skipped}, in {total:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
