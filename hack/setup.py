#!/usr/bin/env python3
# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Make or refresh `.venv`. Standard library only: this runs before anything is installed.

A stamp holds the hash of everything that decides what the environment contains; while it matches, a
run costs a few milliseconds and touches nothing. Usage: `python3 hack/setup.py demo|test`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements"
# Each set with the files that it is made of; a later set contains the earlier ones.
SETS = {"demo": ("demo.txt",), "test": ("demo.txt", "test.txt")}
OLDEST = (3, 11)
# Settings that would send packages somewhere else than into the environment, or break its interpreter.
HARMFUL = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_NO_DEPS", "PIP_CONSTRAINT", "PYTHONHOME", "PYTHONPATH")


class SetupError(Exception):
    """Something that a person has to put right; the message says what and how."""


def main(arguments: list[str]) -> int:
    """Set up the set that is named in `arguments`; returns the exit code."""
    if len(arguments) != 1 or arguments[0] not in SETS:
        print(f"usage: setup.py {'|'.join(SETS)}", file=sys.stderr)
        return 2
    try:
        check_python()
        with Exclusive():
            ensure(arguments[0])
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def check_python() -> None:
    """Raise SetupError when this interpreter cannot carry the project."""
    if sys.version_info[:2] < OLDEST:
        raise SetupError(
            f"Python {sys.version.split()[0]} at {sys.executable} is too old: {OLDEST[0]}.{OLDEST[1]} or newer is "
            "needed. Install one and say which: make PYTHON=/path/to/python3.12 demo"
        )


class Exclusive:
    """One set-up at a time in a checkout: two of pip in one environment break it."""

    def __enter__(self) -> None:
        (ROOT / ".cache").mkdir(exist_ok=True)
        self._lock = (ROOT / ".cache" / "setup.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._lock.close()


def ensure(name: str) -> None:
    """Bring `.venv` to what the set `name` asks for, unless a stamp says that it is."""
    if any(stamp(larger).is_file() and stamp(larger).read_text() == digest(larger) for larger in containing(name)):
        return
    print(f"setup: installing requirements/{name}.txt into .venv (this takes a minute or two) ...", flush=True)
    stamp(name).unlink(missing_ok=True)
    if not belongs_here():
        create()
    install(name)
    stamp(name).write_text(digest(name))
    print("setup: done", flush=True)


def containing(name: str) -> list[str]:
    """The sets that contain all of `name`, itself first."""
    return [other for other, files in SETS.items() if set(SETS[name]) <= set(files)]


def stamp(name: str) -> Path:
    return VENV / f".stamp-{name}"


def digest(name: str) -> str:
    """Hash of what decides the contents: interpreter, place of the checkout, requirements, the runtime's metadata."""
    files = [REQUIREMENTS / file for file in SETS[name]]
    files += [REQUIREMENTS / "constraints.txt", ROOT / "runtime" / "pyproject.toml"]
    total = hashlib.sha256(f"{sys.version}\0{sys.base_prefix}\0{ROOT}".encode())
    for file in files:
        total.update(b"\0" + file.read_bytes())
    return total.hexdigest()


def belongs_here() -> bool:
    """Whether `.venv` works, was made by this interpreter and for this place (its scripts hold absolute paths)."""
    expected = f"{sys.version}\0{sys.base_prefix}\0{ROOT}"
    marker = VENV / ".made-for"
    if not marker.is_file() or marker.read_text() != expected:
        return False
    return subprocess.run([VENV / "bin" / "python", "-m", "pip", "--version"], capture_output=True).returncode == 0


def create() -> None:
    """A fresh `.venv`, replacing what is there; raises SetupError when the interpreter lacks the means."""
    try:
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(VENV)
    except (subprocess.CalledProcessError, OSError, ImportError) as error:
        raise SetupError(
            f"{sys.executable} cannot make {VENV}: {error}. On Debian and Ubuntu the package python3-venv is "
            "missing; otherwise look for a full disk (df .) or a read-only directory."
        ) from error
    (VENV / ".made-for").write_text(f"{sys.version}\0{sys.base_prefix}\0{ROOT}")


def install(name: str) -> None:
    """Install the set with pip, as the user has configured it, less what would misplace the packages."""
    environment = {key: value for key, value in os.environ.items() if key not in HARMFUL}
    environment |= {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command: list[str | Path] = [
        *(VENV / "bin" / "python", "-m", "pip", "install", "--quiet"),
        *("--requirement", REQUIREMENTS / f"{name}.txt", "--constraint", REQUIREMENTS / "constraints.txt"),
    ]
    if subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL).returncode != 0:
        raise SetupError(
            "pip failed, see above. Usual causes: no route to a package index (behind a proxy, set HTTPS_PROXY; with "
            "a mirror, `pip config set global.index-url URL`) or a full disk (about 1 GB is needed). Then run again."
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
