# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One context of a user's kubeconfig files as a file of its own.

The user's files are merged as kubectl does it for a list of them: of two entries of one name the first file's counts,
and relative paths start where their file is.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, KubeconfigMissing
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import yaml

Document = dict[str, Any]

DEFAULT = "~/.kube/config"
SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
PATHS = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
}
EMBEDDED = ("certificate-authority", "client-certificate", "client-key")
PROVENANCE = "tmc.cross_cluster"


def paths_of(paths: str) -> list[Path]:
    """The files that are named as in KUBECONFIG."""
    return [Path(path).expanduser() for path in paths.split(os.pathsep) if path]


def merged(paths: str, rules: _kubeconfig.Rules) -> Document:
    """The files of ``paths`` (separated as in KUBECONFIG) as one document. KubeconfigMissing when there is none."""
    files = [str(path) for path in paths_of(paths)]
    found = [path for path in files if os.path.exists(path)]
    if not found:
        raise KubeconfigMissing(f"kubeconfig '{paths}' does not exist")
    whole: Document = {"apiVersion": "v1", "kind": "Config", **{section: [] for section in SECTIONS}}
    for path in found:
        document = _kubeconfig.read_document(path, rules)
        whole.setdefault("current-context", document.get("current-context"))
        whole["current-context"] = whole["current-context"] or document.get("current-context")
        for section, kind in SECTIONS.items():
            _add(whole[section], document, section, kind, path)
    return whole


def _add(known: list[Document], document: Document, section: str, kind: str, path: str) -> None:
    names = {entry["name"] for entry in known}
    folder = os.path.dirname(os.path.abspath(path))
    for name, entry in _kubeconfig.entries(document, section, path).items():
        if name not in names:
            known.append({"name": name, kind: _absolute(entry.get(kind) or {}, kind, folder)})


def _absolute(entry: Document, kind: str, folder: str) -> Document:
    paths: Document = {
        key: os.path.join(folder, os.path.expanduser(entry[key])) for key in PATHS.get(kind, ()) if entry.get(key)
    }
    plugin = entry.get("exec") if kind == "user" else None
    if isinstance(plugin, dict) and os.path.dirname(str(plugin.get("command", ""))):
        paths["exec"] = plugin | {"command": os.path.join(folder, plugin["command"])}
    return entry | paths


def extract(document: Document, source: str, context: str | None, name: str, rules: _kubeconfig.Rules) -> Document:
    """A kubeconfig of just this context, under ``name``, without references to certificate files.

    A token file stays a reference, because it is renewed where it is. Raises InvalidInput for what the modules could
    not use: a program to run without ``allow_exec``, TLS verification that is off, a file that cannot be read.
    """
    chosen, entry = _kubeconfig.pick_context(document, source, context)
    _kubeconfig.load_document(_without_programs(document) if rules.allow_exec else document, source, chosen, rules)
    cluster = _kubeconfig.entries(document, "clusters", source)[entry["cluster"]]["cluster"]
    note = {"provider": "existing", "context": chosen}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": _embedded(cluster)}],
        "users": [{"name": name, "user": _embedded(_user(document, entry))}],
        "contexts": [
            {
                "name": name,
                "context": {"cluster": name, "user": name, "extensions": [{"name": PROVENANCE, "extension": note}]},
            }
        ],
        "current-context": name,
    }


def _without_programs(document: Document) -> Document:
    """``document`` for a look at all but what a program would give: none is run for it."""
    users = [{**user, "user": {**user["user"], "exec": None}} for user in document["users"]]
    return {**document, "users": users}


def _user(document: Document, context: Document) -> Document:
    users = {user["name"]: user["user"] for user in document["users"]}
    return users.get(context.get("user")) or {}


def _embedded(entry: Document) -> Document:
    """``entry`` with the content of the certificate files that it names."""
    result = {key: value for key, value in entry.items() if key not in EMBEDDED and key != "extensions"}
    for key in EMBEDDED:
        if entry.get(key) and not entry.get(f"{key}-data"):
            result[f"{key}-data"] = base64.b64encode(_content(entry[key], key)).decode()
    return result


def _content(path: str, key: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise InvalidInput(f"{key} names the file '{path}', which cannot be read: {error}") from error


def render(document: Document) -> str:
    return str(yaml.safe_dump(document, sort_keys=False))


def is_extract(text: str) -> bool:
    """Whether this is the text of a file that extract() made: no other one is ever removed."""
    try:
        contexts = _kubeconfig.entries(_kubeconfig.parse_text(text, "text"), "contexts", "text")
    except InvalidInput:
        return False
    notes = [
        extension.get("name")
        for entry in contexts.values()
        for extension in (entry.get("context") or {}).get("extensions") or []
    ]
    return PROVENANCE in notes
