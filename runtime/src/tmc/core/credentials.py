# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A process renews its own bound token, so that nobody else has to and none lives for ever."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
import time
from pathlib import Path
from typing import Protocol

from tmc.api.client import ApiClient, Object
from tmc.api.errors import ApiError, Unreachable
from tmc.api.resource import SECRETS, SERVICE_ACCOUNTS
from tmc.api.token import is_newer, lifetime_of
from tmc.core.backoff import Backoff
from tmc.core.files import write_private

log = logging.getLogger(__name__)

LONGEST_SLEEP = 600.0  # look at the clock now and then: a suspended machine's timers stand still
RENEW_AT = 0.5  # of its life


class TokenPlace(Protocol):
    """Where a token is kept between starts of the process, and for its other replicas."""

    async def kept(self) -> str:
        """The token that is there; empty: none. Raises ApiError, Unreachable, OSError."""
        ...

    async def keep(self, token: str) -> None:
        """Put ``token`` there, unless a newer one is. Raises ApiError, Unreachable, OSError."""
        ...


class TokenFile:
    """A private file on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return f"file {self._path}"

    async def kept(self) -> str:
        return self._path.read_text(encoding="ascii").strip() if self._path.exists() else ""

    async def keep(self, token: str) -> None:
        write_private(self._path, token.encode("ascii") + b"\n")


class TokenSecret:
    """A key of a Secret, from which kubelet brings the token to every replica. Needs get and patch of that Secret."""

    def __init__(self, client: ApiClient, namespace: str, name: str, key: str, *, field_manager: str) -> None:
        self._client = client
        self._namespace, self._name, self._key = namespace, name, key
        self._field_manager = field_manager

    def __str__(self) -> str:
        return f"key {self._key} of Secret {self._namespace}/{self._name}"

    async def kept(self) -> str:
        return self._token_in(await self._read())

    async def keep(self, token: str) -> None:
        secret = await self._read()
        if is_newer(self._token_in(secret), token):
            return
        metadata = {name: secret["metadata"][name] for name in ("uid", "resourceVersion")}
        patch = {"metadata": metadata, "data": {self._key: base64.b64encode(token.encode("ascii") + b"\n").decode()}}
        await self._client.patch(SECRETS, self._name, self._namespace, patch, field_manager=self._field_manager)

    async def _read(self) -> Object:
        return await self._client.get(SECRETS, self._name, self._namespace)

    def _token_in(self, secret: Object) -> str:
        try:
            return base64.b64decode((secret.get("data") or {}).get(self._key, "")).decode("ascii").strip()
        except (binascii.Error, UnicodeDecodeError, TypeError):
            return ""  # whatever that is, a good token may take its place


async def keep_token_fresh(
    client: ApiClient, place: TokenPlace, namespace: str, service_account: str, *, lifetime: float = 86400.0
) -> None:
    """Renew the client's own token at half of its life and keep it in ``place``, until cancelled.

    ``lifetime`` in seconds is what is asked for; the API server may give less. The client uses a new token at once,
    also while ``place`` cannot be written. A token that another replica has put there is taken over instead.
    """
    who, backoff = f"{namespace}/{service_account}", Backoff(1.0, 60.0, least=1.0)
    due = _due(_current(client))
    while True:
        await _sleep_until(due)
        try:
            token = await _newest(client, place)
            renewed = _due(token) <= time.time()
            if renewed:
                token = await _request_token(client, namespace, service_account, lifetime)
                client.use_token(token)
            if token != await place.kept():
                await place.keep(token)
                log.info("token of %s is kept in %s", who, place)
        except (ApiError, Unreachable, OSError) as error:
            log.warning("token of %s was not renewed in %s: %s", who, place, error)
            due = time.time() + backoff.next()
            continue
        backoff.reset()
        # The own clock alone counts for a token that has just been granted: the API server's may be another.
        due = time.time() + _life(token, lifetime) * RENEW_AT if renewed else _due(token)


async def keep_token_file_fresh(
    client: ApiClient, namespace: str, service_account: str, *, lifetime: float = 86400.0
) -> None:
    """The same with the token file of the client's connection.

    Returns at once when there is none, or one that this process may not replace.
    """
    path = client.connection.token_file
    if path is None:
        return
    if not os.access(path.parent, os.W_OK):
        log.info("token file %s is not ours to renew", path)
        return
    await keep_token_fresh(client, TokenFile(path), namespace, service_account, lifetime=lifetime)


async def _newest(client: ApiClient, place: TokenPlace) -> str:
    """The token in use, or the one in ``place`` if that is newer: then it is in use from now on."""
    current = _current(client)
    try:
        kept = await place.kept()
    except (ApiError, Unreachable, OSError) as error:
        log.info("%s cannot be read: %s", place, error)  # no reason not to renew
        return current
    if not is_newer(kept, current):
        return current
    client.use_token(kept)
    return kept


def _current(client: ApiClient) -> str:
    try:
        return client.token() or ""
    except Unreachable:  # its file is not there
        return ""


async def _sleep_until(due: float) -> None:
    """Wait for a wall-clock second, which no event announces."""
    while (left := due - time.time()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(left, LONGEST_SLEEP))


async def _request_token(client: ApiClient, namespace: str, service_account: str, lifetime: float) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": int(lifetime)},
    }
    answer = await client.request("POST", SERVICE_ACCOUNTS.path(namespace, service_account, "token"), body=body)
    return str(answer["status"]["token"])


def _due(token: str) -> float:
    """The wall-clock second at which the token is to be renewed; 0 when that cannot be told."""
    dates = lifetime_of(token)
    return dates[0] + (dates[1] - dates[0]) * RENEW_AT if dates else 0.0


def _life(token: str, default: float) -> float:
    dates = lifetime_of(token)
    return max(dates[1] - dates[0], 60.0) if dates else default
