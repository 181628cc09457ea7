# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a state directory: where things are, the ownership marker, atomic writes, the lock.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import EmbeddedError

MARKER = ".tmc-cross-cluster"
OWNER = "tmc.cross_cluster"
# The folders that the collection puts at the top of a state directory, and what tells that one of them is really ours.
FOLDERS = {
    "credentials": ("*/*.kubeconfig",),
    "kind": ("*.owner",),
    "kubeconfigs": ("controller-*.kubeconfig",),
    "logs": ("supervisord.*", "kind-*.log"),
    "planes": ("*/plane.json",),
    "run": ("*.url",),
    "supervisor": ("keeper.py",),
}
REMOVING = ".removing-"  # a tree of ours that is half removed; no cluster's name begins with a dot
MARKER_TEXT = json.dumps({"owner": OWNER, "note": "this directory is removed by the role that made it"}) + "\n"


class State:
    """Paths inside one state directory."""

    def __init__(self, root: str) -> None:
        self.root = Path(os.path.abspath(os.path.expanduser(root)))
        self.marker = self.root / MARKER
        self.planes = self.root / "planes"
        self.kind = self.root / "kind"
        self.kubeconfigs = self.root / "kubeconfigs"
        self.credentials = self.root / "credentials"
        self.logs = self.root / "logs"
        self.report = self.root / "report.json"
        self.run = self.root / "run"  # where the health endpoints of running processes are, a file each
        self.supervisor = self.root / "supervisor"

    def plane(self, cluster: str) -> Path:
        return self.planes / cluster

    def kubeconfig(self, cluster: str) -> Path:
        return self.kubeconfigs / f"controller-{cluster}.kubeconfig"

    def exists(self) -> bool:
        return self.root.is_dir()

    def owned(self) -> bool:
        """Whether the marker says that this directory is ours."""
        try:
            return json.loads(self.marker.read_text(encoding="utf-8")).get("owner") == OWNER
        except FileNotFoundError:
            return False
        except (ValueError, AttributeError):
            return False

    def foreign(self) -> list[str]:
        """Names at the top of the directory that are not the collection's."""
        return sorted(path.name for path in self.root.iterdir() if not self._ours(path)) if self.exists() else []

    def _ours(self, path: Path) -> bool:
        """Without the marker, a folder that only has a name like ours is somebody else's."""
        # An atomic write that was interrupted leaves a temporary file beside its target: ours as well.
        if path.name.startswith((MARKER, REMOVING)) or path == self.report:
            return True
        if path.name not in FOLDERS or self.owned():
            return path.name in FOLDERS
        signs = FOLDERS[path.name]
        return path.is_dir() and (not any(path.iterdir()) or any(any(path.glob(sign)) for sign in signs))

    def claim(self) -> None:
        """Create the directory, 0700, and put the marker into it."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        if not self.owned():
            write(self.marker, MARKER_TEXT)

    @contextmanager
    def locked(self, seconds: float = 120.0) -> Iterator[int]:
        """Hold the directory for one run at a time; gives the lock's descriptor. The directory must be claimed."""
        deadline = time.monotonic() + seconds
        with open(self.marker, encoding="utf-8") as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise EmbeddedError(f"another run has held {self.root} for {seconds:.0f} s") from error
                    time.sleep(0.05)
            yield handle.fileno()


def read(path: Path) -> str | None:
    """Text of a file, or None when there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace C(path) as a whole: readers see the old file or the new one, never a part."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def ensure(path: Path, text: str, mode: int = 0o600) -> bool:
    """Write C(text) to C(path) when its text or its mode differs; whether it did."""
    try:
        same = path.read_text(encoding="utf-8") == text and path.stat().st_mode & 0o777 == mode
    except FileNotFoundError:
        same = False
    if not same:
        write(path, text, mode)
    return not same


def tail(path: Path, lines: int = 2) -> str:
    """The last lines of a log, for an error message."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, path.stat().st_size - 4096))
            text = handle.read().decode("utf-8", "replace")
    except OSError:
        return "(no log)"
    return "\n".join(line[:240] for line in text.splitlines()[-lines:]) or "(empty log)"
