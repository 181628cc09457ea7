# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of control-plane binaries: what is whole, how it is filled. Standard library only."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
MANIFEST = "manifest.json"
WORKSHOP = ".making-"

Say = Callable[[str], None]


class BinariesError(Exception):
    """The binaries cannot be had this way; the message says why."""


@dataclass(frozen=True)
class Versions:
    kubernetes: str
    etcd: str
    kind: str = ""


def read_versions(path: Path = HERE / "versions.yml") -> Versions:
    """The pinned versions. The file is YAML of plain C(key: value) lines, so that no parser is needed."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith("#"))
    return Versions(pairs["kubernetes"].strip(), pairs["etcd"].strip(), pairs["kind"].strip())


def lacking(folder: Path) -> list[str]:
    """Binaries that C(folder) does not have as executable files."""
    return [name for name in BINARIES if not ((folder / name).is_file() and os.access(folder / name, os.X_OK))]


class Cache:
    """C(<root>/bin/<version>): filled in a workshop beside it and renamed into place, so it is whole or not there."""

    def __init__(self, root: Path, versions: Versions) -> None:
        self.versions = versions
        self.bin = root / "bin"
        self.folder = self.bin / f"v{versions.kubernetes}-etcd-v{versions.etcd}"

    def whole(self) -> bool:
        """Whether every binary is there, with the size that it had when it was put there."""
        if lacking(self.folder):
            return False
        try:
            sizes = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))["sizes"]
        except (FileNotFoundError, ValueError, KeyError):
            return False
        return all((self.folder / name).stat().st_size == sizes.get(name) for name in BINARIES)

    @contextmanager
    def locked(self, say: Say) -> Iterator[None]:
        """One run at a time makes binaries; the others wait for it."""
        self.bin.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(self.bin / ".lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another run is making the binaries: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        """A directory to make binaries in, on the cache's own disk. The lock must be held."""
        for leftover in self.bin.glob(f"{WORKSHOP}*"):  # of a run that was killed
            shutil.rmtree(leftover)
        folder = Path(tempfile.mkdtemp(prefix=WORKSHOP, dir=self.bin))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, workshop: Path, source: str) -> None:
        """Move what was made into place. The lock must be held."""
        result = workshop / "result"
        result.mkdir(mode=0o755)
        for name in BINARIES:
            os.replace(workshop / name, result / name)
            os.chmod(result / name, 0o755)
            _sync(result / name)
        sizes = {name: (result / name).stat().st_size for name in BINARIES}
        manifest = json.dumps({"source": source, "sizes": sizes}, indent=2, sort_keys=True)
        (result / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
        if self.folder.exists():  # not whole, or we would not be here
            self.folder.rename(workshop / "replaced")
        result.rename(self.folder)


def _sync(path: Path) -> None:
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())
