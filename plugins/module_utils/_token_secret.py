# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A syncer's credential for the hub, in a Secret of the member's own cluster: where a syncer that is a pod finds it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from urllib.parse import urlsplit

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names, _tokens
from ansible_collections.tmc.cross_cluster.plugins.module_utils._apply import contains
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import APPLY_PATCH, Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._reach import is_loopback
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import SERVICE_ACCOUNT, Resource

SECRET = Resource("", "v1", "secrets", "Secret")
KUBECONFIG = "hub.kubeconfig"
TOKEN = "hub.token"
# The syncer renews its token at half of its life; one that is a little late with it is not disturbed.
LEAST_LIFE = 0.25


def split(where: str) -> tuple[str, str]:
    """(namespace, name) of ``namespace/name``; raises InvalidInput."""
    namespace, slash, name = where.partition("/")
    if not (slash and namespace and name) or "/" in name:
        raise InvalidInput(
            f"credentials_secret is '{where}': it must be NAMESPACE/NAME of a Secret, such as default/kcp-syncer-hub"
        )
    return namespace, name


def ensure(hub: Client, member: Client, wish: _tokens.Wish, where: str, *, check_mode: bool = False) -> bool:
    """Writes the Secret unless the one that is there still serves; whether it was (or would be) written.

    A token that the syncer has renewed is kept. ``wish.path`` gives the names of the keys, no file is written.
    """
    namespace, name = split(where)
    _require_way(hub, wish)
    account = hub.get(SERVICE_ACCOUNT, wish.account, wish.namespace)
    if account is None:
        if check_mode:
            return True
        raise TmcError(f"ServiceAccount {wish.namespace}/{wish.account} does not exist on '{hub.label}'")
    live = member.get(SECRET, name, namespace)
    token = value(live, TOKEN)
    fresh = _tokens.serves(token, str(account["metadata"]["uid"]), time.time(), least=LEAST_LIFE)
    wanted = secret(namespace, name, _tokens.render(hub, wish), token if fresh and token else "")
    if fresh and contains(live, wanted):
        return False
    if not check_mode:
        if not fresh:
            wanted = secret(namespace, name, _tokens.render(hub, wish), _tokens.request_token(hub, wish))
        member.patch(SECRET, name, wanted, namespace, content_type=APPLY_PATCH, strict=True)
    return True


def kubeconfig_digest(hub: Client, wish: _tokens.Wish) -> str:
    """Stands for the kubeconfig in the Secret: address and CA of the hub, not the token."""
    return hashlib.sha256(_tokens.render(hub, wish).encode()).hexdigest()[:16]


def _require_way(hub: Client, wish: _tokens.Wish) -> None:
    """Raises InvalidInput when Pods would take this machine's way to the hub, which they do not have."""
    here = hub.connection.server
    if not wish.server and is_loopback(urlsplit(here).hostname or ""):
        raise InvalidInput(
            f"hub_server is missing: Pods of the member would look for the hub at {here}, which is themselves. Set it to the URL "
            "that they reach the hub at (member_hub_server of the role member, cluster_server_inside of the hub)"
        )


def remove(member: Client, where: str, *, check_mode: bool = False) -> bool:
    """Removes the Secret, if it carries our mark; returns whether it was (or would be) there."""
    namespace, name = split(where)
    live = member.get(SECRET, name, namespace)
    if live is None or not contains(live["metadata"].get("labels") or {}, _names.MANAGED_BY):
        return False
    if not check_mode:
        member.delete(SECRET, name, namespace, uid=live["metadata"]["uid"])
    return True


def secret(namespace: str, name: str, kubeconfig: str, token: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(_names.MANAGED_BY)},
        "type": "Opaque",
        "data": {KUBECONFIG: encoded(kubeconfig), TOKEN: encoded(token)},
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def value(live: Object | None, key: str) -> str | None:
    """What a Secret holds under a key; None when there is nothing of use."""
    try:
        return base64.b64decode(((live or {}).get("data") or {})[key], validate=True).decode("ascii")
    except (KeyError, binascii.Error, UnicodeDecodeError):
        return None
