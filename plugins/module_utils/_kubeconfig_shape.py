# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of which type the fields of a kubeconfig are: those of client-go's clientcmd/api/v1, which kubectl reads strictly."""

from __future__ import annotations

from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput

TEXT, FLAG, MAPPING, TEXTS, MAPPINGS = "a text", "true or false", "a mapping", "a list of texts", "a list of mappings"
_FIELDS = {
    "context": {"cluster": TEXT, "user": TEXT, "extensions": MAPPINGS},
    "cluster": {
        **dict.fromkeys(("server", "certificate-authority", "certificate-authority-data"), TEXT),
        **dict.fromkeys(("tls-server-name", "proxy-url"), TEXT),
        "insecure-skip-tls-verify": FLAG,
    },
    "user": {
        **dict.fromkeys(("token", "tokenFile", "username", "password", "as"), TEXT),
        **dict.fromkeys(("client-certificate", "client-certificate-data", "client-key", "client-key-data"), TEXT),
        "as-groups": TEXTS,
        "auth-provider": MAPPING,
        "exec": MAPPING,
    },
    "exec": {"command": TEXT, "apiVersion": TEXT, "args": TEXTS, "env": MAPPINGS},
    "env": {"name": TEXT, "value": TEXT},
}


def check(entry: Any, kind: str, place: str) -> None:
    """Raises InvalidInput for a field of another type; ``place`` tells where ``entry``, a context or so, is.

    The value stays out of the message: it may be a credential.
    """
    _require(entry, MAPPING, place)
    for name, wanted in _FIELDS[kind].items():
        _require(entry.get(name), wanted, f"{place}.{name}")
    for index, item in enumerate(entry.get("env") or [] if kind == "exec" else []):
        check(item, "env", f"{place}.env[{index}]")
    if kind == "user" and entry.get("exec") is not None:
        check(entry["exec"], "exec", f"{place}.exec")


def _require(value: Any, wanted: str, place: str) -> None:
    if value is not None and not _is(value, wanted):
        hint = ": put it into quotes" if wanted == TEXT and isinstance(value, (int, float)) else ""
        raise InvalidInput(f"{place} must be {wanted}, got {type(value).__name__}{hint}")


def _is(value: Any, wanted: str) -> bool:
    if wanted in (TEXTS, MAPPINGS):
        inner = str if wanted == TEXTS else dict
        return isinstance(value, list) and all(isinstance(item, inner) for item in value)
    return isinstance(value, {TEXT: str, FLAG: bool, MAPPING: dict}[wanted])
