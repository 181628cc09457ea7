# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads one context of a kubeconfig and says precisely what is wrong with it.

Nothing of the machine's environment (SSL_CERT_FILE and the like) takes part: a cluster is trusted by the CA that
its own kubeconfig carries.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, KubeconfigMissing
from ansible_collections.tmc.cross_cluster.plugins.module_utils._exec_plugin import credentials
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig_shape import check
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import yaml
from ansible_collections.tmc.cross_cluster.plugins.module_utils._pem import check_pem

Document = dict[str, Any]


@dataclass(frozen=True)
class Connection:
    """All that is needed to talk to one API server. PEM texts, not file names; secrets are kept out of repr."""

    server: str
    label: str = ""
    ca_pem: str | None = None
    verify: bool = True
    server_name: str | None = None
    proxy: str | None = None
    token: str | None = field(default=None, repr=False)
    cert_pem: str | None = field(default=None, repr=False)
    key_pem: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    impersonate_user: str | None = None
    impersonate_groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """What is let through that is refused otherwise, each by a module option of the same name."""

    allow_exec: bool = False
    allow_insecure_mode: bool = False
    allow_insecure_tls: bool = False


def load_file(path: str, context: str | None = None, rules: Rules = Rules()) -> Connection:
    """The connection of ``context`` (default: the current one) of the file at ``path``."""
    expanded = os.path.expanduser(path)
    return load_document(read_document(expanded, rules), expanded, context, rules)


def read_document(path: str, rules: Rules = Rules()) -> Document:
    """The file at ``path``, parsed; refused when others can read it, unless ``rules`` let that through."""
    return _parse(_read_private(path, rules), path)


def load_document(document: Document, source: str, context: str | None = None, rules: Rules = Rules()) -> Connection:
    """The connection of ``context`` of a parsed kubeconfig; ``source`` names it, and relative paths start there."""
    entry_name, entry = pick_context(document, source, context)
    cluster_name = entry.get("cluster") or ""
    user_name = entry.get("user") or ""
    cluster = _named(document, "clusters", "cluster", cluster_name, entry_name, source)
    user = _named(document, "users", "user", user_name, entry_name, source) if user_name else {}
    folder = os.path.dirname(os.path.abspath(source))
    check_server(cluster.get("server"), f"kubeconfig '{source}': cluster '{cluster_name}'")
    insecure = bool(cluster.get("insecure-skip-tls-verify"))
    if insecure and not rules.allow_insecure_tls:
        raise InvalidInput(
            f"kubeconfig '{source}' is refused: TLS verification is off for cluster '{cluster_name}' "
            "(insecure-skip-tls-verify); put its certificate-authority-data there, or set validate_certs to false"
        )
    secrets = _user_secrets(user, user_name, source, folder, rules)
    return Connection(
        server=cluster["server"].rstrip("/"),
        label=entry_name,
        ca_pem=_material(cluster, "certificate-authority", f"cluster '{cluster_name}'", source, folder, "CERTIFICATE"),
        verify=not insecure,
        server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
        impersonate_user=user.get("as"),
        impersonate_groups=tuple(user.get("as-groups") or ()),
        **secrets,
    )


def check_server(server: object, where: str) -> None:
    """Raises InvalidInput unless ``server`` is ``https://host[:port]``."""
    parts = urlsplit(server) if isinstance(server, str) else urlsplit("")
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme == "https" and parts.hostname and plain and _port_is_fine(parts):
        return
    raise InvalidInput(f"{where}: server {server!r} must be an https URL with a host, and no path: https://host:port")


def _port_is_fine(parts: Any) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _read_private(path: str, rules: Rules) -> str:
    if not os.path.exists(path):
        raise KubeconfigMissing(f"kubeconfig '{path}' does not exist")
    if os.path.isdir(path):
        raise InvalidInput(f"kubeconfig '{path}' is a directory, not a file")
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077 and not rules.allow_insecure_mode:
        raise InvalidInput(
            f"kubeconfig '{path}' has mode {mode:04o}, so others on this machine can read its credentials: "
            f"run chmod 600 {path}, or set allow_insecure_mode to true"
        )
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"kubeconfig '{path}' cannot be read: {error}") from error


def parse_text(text: str, source: str) -> Document:
    """A kubeconfig given as text; InvalidInput tells the line when it is not YAML."""
    return _parse(text, source)


def _parse(text: str, source: str) -> Document:
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        # Only the parser's own words: the text around the mark may be a credential.
        raise InvalidInput(f"'{source}' is not a kubeconfig: {line}{getattr(error, 'problem', 'not YAML')}") from None
    if not isinstance(document, dict):
        found = "nothing" if document is None else f"a {type(document).__name__}"
        raise InvalidInput(f"'{source}' is not a kubeconfig: the top level must be a mapping, got {found}")
    return document


def entries(document: Document, section: str, source: str) -> dict[str, Any]:
    """The clusters, users or contexts by their names, each field of the right type; else InvalidInput."""
    items = document.get(section) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInput(f"'{source}' is not a kubeconfig: {section} must be a list of mappings")
    kind = section.removesuffix("s")
    for index, item in enumerate(items):
        if not isinstance(item.get("name"), str):
            raise InvalidInput(f"kubeconfig '{source}': {section}[{index}].name must be a text: put it into quotes")
        check(item.get(kind) or {}, kind, f"kubeconfig '{source}': {kind} '{item['name']}'")
    return {item["name"]: item for item in items}


def pick_context(document: Document, source: str, context: str | None) -> tuple[str, Document]:
    contexts = entries(document, "contexts", source)
    wanted = context or document.get("current-context")
    available = ", ".join(sorted(contexts)) or "none"
    if not wanted:
        raise InvalidInput(f"kubeconfig '{source}' has no current-context: set context to one of: {available}")
    if not isinstance(wanted, str):
        raise InvalidInput(f"kubeconfig '{source}': current-context {wanted!r} must be a text: put it into quotes")
    if wanted not in contexts:
        raise InvalidInput(f"context '{wanted}' not found in kubeconfig '{source}'; available: {available}")
    return wanted, contexts[wanted].get("context") or {}


def _named(document: Document, section: str, kind: str, name: str, context: str, source: str) -> Document:
    known = entries(document, section, source)
    if name not in known:
        defined = ", ".join(sorted(known)) or "none"
        raise InvalidInput(
            f"kubeconfig '{source}': context '{context}' refers to {kind} '{name}' which is not defined; "
            f"defined: {defined}"
        )
    return known[name].get(kind) or {}


def _user_secrets(user: Document, name: str, source: str, folder: str, rules: Rules) -> dict[str, Any]:
    where = f"user '{name}'"
    if user.get("exec") or user.get("auth-provider"):
        return _plugin_secrets(user, name, source, rules)
    return {
        "token": _token(user, where, source, folder),
        "cert_pem": _material(user, "client-certificate", where, source, folder, "CERTIFICATE"),
        "key_pem": _material(user, "client-key", where, source, folder, "PRIVATE KEY"),
        "username": user.get("username"),
        "password": user.get("password"),
    }


def _token(user: Document, where: str, source: str, folder: str) -> str | None:
    if user.get("tokenFile"):
        return _read_beside(folder, user["tokenFile"], f"kubeconfig '{source}': {where}.tokenFile").strip()
    return user.get("token")


def _plugin_secrets(user: Document, name: str, source: str, rules: Rules) -> dict[str, Any]:
    plugin = user.get("exec") or {}
    program = plugin.get("command", "an auth-provider")
    if not rules.allow_exec or not plugin:
        raise InvalidInput(
            f"kubeconfig '{source}' is refused: user '{name}' would run program '{program}' to get credentials; "
            "set allow_exec to true if you trust it, or use a token or a client certificate"
        )
    status = credentials(plugin, os.path.dirname(os.path.abspath(source)), f"kubeconfig '{source}': user '{name}'")
    return {
        "token": status.get("token"),
        "cert_pem": status.get("clientCertificateData"),
        "key_pem": status.get("clientKeyData"),
    }


def _material(entry: Document, key: str, where: str, source: str, folder: str, kind: str) -> str | None:
    """The PEM of ``key``: from ``key-data`` (base64) or the file that ``key`` names."""
    place = f"kubeconfig '{source}': {where}.{key}"
    encoded = entry.get(f"{key}-data")
    if encoded is None and not entry.get(key):
        return None
    if encoded is None:
        pem = _read_beside(folder, entry[key], place)
    else:
        place += "-data"
        try:
            pem = base64.b64decode(str(encoded), validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            raise InvalidInput(f"{place} is not base64 of PEM text") from None
    check_pem(pem, kind, place)
    return pem


def _read_beside(folder: str, path: str, place: str) -> str:
    full = os.path.join(folder, os.path.expanduser(path))
    try:
        with open(full, encoding="utf-8") as handle:
            return handle.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{place} names the file '{full}', which cannot be read: {error}") from error
