#!/usr/bin/env python3
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find, download or build the program kind. Standard library only.

The first that serves: --program; kind on PATH; the cache; a download from the publisher, checked against its checksum;
a build with Go from the committed go.mod and go.sum. The last line on stdout is the program, the line before it says
where that came from; progress is on stderr.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _build import build_kind
from _cache import BinariesError, Versions, read_versions
from _download import download_kind

NOT_MADE = 3  # exit code of --check when the program would have to be downloaded or built


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def end(signum: int, frame: FrameType | None) -> None:
    """A polite end, so that a running build ends with us and what it left is removed."""
    sys.exit(128 + signum)


def given(program: str | None) -> tuple[str, Path] | None:
    """The program that the user has, and where from, or None. Raises BinariesError for a bad --program."""
    found = shutil.which(program or "kind")
    if found:
        return ("given" if program else "PATH"), Path(found).absolute()
    if program:
        raise BinariesError(
            f"kind program '{program}' does not exist or is not executable; set control_planes_kind_program"
        )
    return None


def make(versions: Versions, target: Path) -> str:
    """Download into the cache or, where that cannot be, build; returns which."""
    tried: list[str] = []
    with tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent) as scratch:
        folder = Path(scratch)
        for name in ("download", "build"):
            try:
                if name == "download":
                    download_kind(versions, folder, say)
                else:
                    build_kind(folder, say)
            except BinariesError as error:
                tried.append(f"{name}: {error}")
                say(f"{name} not possible: {error}")
                continue
            os.chmod(folder / "kind", 0o755)
            os.replace(folder / "kind", target)
            return name
    raise BinariesError(
        f"there is no kind program, and none can be had: {'; '.join(tried)}. Install kind, or set "
        "control_planes_kind_program"
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One run at a time makes it; the others wait for it."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find(versions: Versions, cache: Path, program: str | None, check: bool) -> tuple[str, Path] | None:
    """Where kind comes from and is; None in check mode when it would have to be made."""
    found = given(program)
    target = cache / "bin" / f"kind-v{versions.kind}" / "kind"
    if found or check:
        return found or (("cache", target) if os.access(target, os.X_OK) else None)
    with locked(target.parent):
        if os.access(target, os.X_OK):
            return "cache", target
        return make(versions, target), target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", required=True, help="cache directory; the program is kept in <cache>/bin/kind-<version>"
    )
    parser.add_argument("--program", help="the kind program to take")
    parser.add_argument(
        "--check", action="store_true", help=f"only look; exit {NOT_MADE} when it would have to be made"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    try:
        cache = Path(arguments.cache).expanduser().resolve()
        found = find(read_versions(), cache, arguments.program, arguments.check)
    except BinariesError as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        say(f"error: cannot write {arguments.cache}: {error.strerror or error}: {error.filename or ''}")
        return 1
    print("source: {}\n{}".format(*(found or ("to be made", ""))))
    return 0 if found else NOT_MADE


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
