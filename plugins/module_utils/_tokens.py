# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bound tokens of service accounts, and kubeconfigs that use them."""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import write
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import yaml
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import SERVICE_ACCOUNT

SHORTEST_LIFETIME = 600


@dataclass(frozen=True)
class Wish:
    """A kubeconfig to be written at ``path`` for a service account; the token lies beside it as ``<stem>.token``."""

    path: str
    namespace: str
    account: str
    cluster: str
    lifetime: int
    server: str | None = None

    @property
    def token_path(self) -> str:
        return os.path.splitext(self.path)[0] + ".token"


def ensure(client: Client, wish: Wish, *, check_mode: bool = False) -> bool:
    """Writes token and kubeconfig unless those that are there still serve; whether anything was (would be) written."""
    account = client.get(SERVICE_ACCOUNT, wish.account, wish.namespace)
    if account is None:
        if check_mode:
            return True
        raise TmcError(
            f"ServiceAccount {wish.namespace}/{wish.account} does not exist on '{client.label}': "
            "create it before its kubeconfig"
        )
    text = render(client, wish)
    fresh = serves(_read(wish.token_path), str(account["metadata"]["uid"]), time.time())
    same = _read(wish.path) == text and _is_private(wish.path) and _is_private(wish.token_path)
    if fresh and same:
        return False
    if not check_mode:
        _make_folder(os.path.dirname(os.path.abspath(wish.path)))
        if not fresh:
            write_private(wish.token_path, request_token(client, wish))
        elif not _is_private(wish.token_path):
            os.chmod(wish.token_path, 0o600)
        write_private(wish.path, text)
    return True


def remove(wish: Wish, *, check_mode: bool = False) -> bool:
    """Removes the two files; returns whether there was any."""
    found = [path for path in (wish.path, wish.token_path) if os.path.lexists(path)]
    for path in [] if check_mode else found:
        try:
            os.unlink(path)
        except OSError as error:
            raise TmcError(f"cannot remove {path}: {error}") from error
    return bool(found)


def request_token(client: Client, wish: Wish) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": wish.lifetime},
    }
    path = SERVICE_ACCOUNT.path(wish.namespace, wish.account, "token")
    try:
        return str(client.request("POST", path, body=body)["status"]["token"])
    except ApiError as error:
        raise TmcError(f"no token for {wish.namespace}/{wish.account} from '{client.label}': {error}") from error


def serves(token: str | None, account_uid: str, now: float, *, least: float = 0.5) -> bool:
    """Whether ``token`` belongs to the account of that uid and has more than ``least`` (a share) of its life left."""
    claims = _claims(token)
    issued, expires = claims.get("iat", 0), claims.get("exp", 0)
    bound_to = (claims.get("kubernetes.io") or {}).get("serviceaccount", {}).get("uid")
    return bool(bound_to == account_uid and expires - now > (expires - issued) * least)


def _claims(token: str | None) -> dict[str, Any]:
    """The payload of a JWT, unverified (the API server is the judge of it); empty when it is none."""
    try:
        payload = (token or "").strip().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def render(client: Client, wish: Wish) -> str:
    """The kubeconfig: CA embedded, token by a file name relative to it, so that the folder can be mounted anywhere."""
    connection = client.connection
    cluster: dict[str, Any] = {"server": wish.server or connection.server}
    if connection.ca_pem:
        cluster["certificate-authority-data"] = base64.b64encode(connection.ca_pem.encode()).decode()
    if connection.server_name:
        cluster["tls-server-name"] = connection.server_name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": wish.cluster, "cluster": cluster}],
        "users": [{"name": wish.account, "user": {"tokenFile": os.path.basename(wish.token_path)}}],
        "contexts": [{"name": wish.cluster, "context": {"cluster": wish.cluster, "user": wish.account}}],
        "current-context": wish.cluster,
    }
    return str(yaml.safe_dump(document, sort_keys=False))


def write_private(path: str, text: str) -> None:
    """0600 from birth, and whole or not at all."""
    try:
        write(Path(path), text)
    except OSError as error:
        raise TmcError(f"cannot write {path}: {error}") from error


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)  # a folder that is there already keeps its mode: it is not ours
    except OSError as error:
        raise TmcError(f"cannot make the folder {path} for credentials: {error}") from error


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return None


def _is_private(path: str) -> bool:
    return os.path.exists(path) and stat.S_IMODE(os.stat(path).st_mode) == 0o600
