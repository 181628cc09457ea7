# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our contexts in the kubeconfig that a person's kubectl reads, and nothing else in it.

kind does the same, but it also makes each new cluster the current one and fails while another holds the file's lock.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import read, write
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import KindError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import parse_text
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import yaml

SECTIONS = ("clusters", "contexts", "users")
LOCK_SECONDS = 10.0
CA = "certificate-authority-data"
# An extension of a file that was not there before us: only such a one is removed, when nothing is left in it.
MADE = {"name": "tmc.cross_cluster", "extension": {"made": True}}
BARE = ("apiVersion", "kind", "current-context")
Document = dict[str, Any]


def paths() -> list[Path]:
    """The files that kubectl reads: those of KUBECONFIG, else ~/.kube/config. Links are followed."""
    named = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [Path(os.path.realpath(os.path.expanduser(part))) for part in named or ["~/.kube/config"]]


def target() -> Path:
    """The file that new contexts go to, chosen as kubectl and kind choose: the first that exists, else the last."""
    return next((path for path in paths() if path.is_file()), paths()[-1])


def problems() -> Iterator[str]:
    """Why our contexts could not be written into it."""
    path = target()
    try:
        load(path)
    except (KindError, OSError) as error:
        yield f"your own kubeconfig {path} cannot be read: {error}; mend it, set KUBECONFIG, or switch this off"
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield f"your own kubeconfig {path} cannot be written ({folder}); set KUBECONFIG, or switch this off"


def load(path: Path) -> Document:
    """The file as a document; empty when there is none. Raises KindError when it is no kubeconfig."""
    text = read(path) or ""
    try:
        document: Document = parse_text(text, str(path)) if text.strip() else {}
    except TmcError as error:
        raise KindError(str(error)) from error
    for section in SECTIONS:
        entries = document.get(section)
        if entries is not None and not (isinstance(entries, list) and all(isinstance(one, dict) for one in entries)):
            raise KindError(f"'{path}' is not a kubeconfig: {section} must be a list of mappings")
    return document


def merged(document: Document, additions: list[Document]) -> Document:
    """C(document) with the clusters, contexts and users of C(additions); its current context stays when it has one."""
    result = {"apiVersion": "v1", "kind": "Config", **document}
    for addition in additions:
        for section in SECTIONS:
            added = {one["name"]: one for one in addition[section]}
            kept = [added.pop(one.get("name"), one) for one in result.get(section) or []]
            result[section] = [*kept, *added.values()]
    if additions and not result.get("current-context"):
        result["current-context"] = additions[0]["current-context"]
    return result


def without(document: Document, doomed: Callable[[Document], bool]) -> Document:
    """C(document) without the clusters that C(doomed) picks, and without the contexts and users that are only theirs."""
    clusters = {one.get("name") for one in document.get("clusters") or [] if doomed(one)}
    contexts = document.get("contexts") or []
    gone = [one for one in contexts if (one.get("context") or {}).get("cluster") in clusters]
    kept = [one for one in contexts if one not in gone]
    users = {(one.get("context") or {}).get("user") for one in gone}
    users -= {(one.get("context") or {}).get("user") for one in kept}
    if not clusters:
        return document
    result = {
        **document,
        "clusters": [one for one in document["clusters"] if one.get("name") not in clusters],
        "contexts": kept,
        "users": [one for one in document.get("users") or [] if one.get("name") not in users],
    }
    if document.get("current-context") in {one.get("name") for one in gone}:
        result["current-context"] = ""
    return result


def update(path: Path, change: Callable[[Document], Document], write_it: bool) -> bool:
    """Change the file under kubectl's own lock; whether it had to be changed. Raises KindError."""
    if change(load(path)) == load(path):
        return False
    if write_it:
        with _locked(path):
            document = change(load(path))
            if not path.exists():
                document = {**document, "extensions": [MADE]}
            if {key: value for key, value in document.items() if value and key not in BARE} == {"extensions": [MADE]}:
                path.unlink(missing_ok=True)
            else:
                write(path, yaml.safe_dump(document, sort_keys=False), _mode(path))
    return True


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else 0o600


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """kubectl, kind and we take turns by creating C(<file>.lock)."""
    lock = Path(f"{path}.lock")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError as error:
            if time.monotonic() > deadline:
                raise KindError(
                    f"{lock} has been there for {LOCK_SECONDS:.0f} s: another kubectl or kind holds it, or one was "
                    "killed; when none is running, remove it"
                ) from error
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
