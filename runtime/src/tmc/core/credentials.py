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

import orjson

from tmc.api.client import ApiClient
from tmc.api.errors import ApiError, Unreachable
from tmc.api.kubeconfig import Connection
from tmc.api.resource import SERVICE_ACCOUNTS
from tmc.core.backoff import Backoff
from tmc.core.files import write_private

log = logging.getLogger(__name__)

LONGEST_SLEEP = 600.0  # look at the clock now and then: a suspended machine's timers stand still


async def keep_token_fresh(
    client: ApiClient, connection: Connection, namespace: str, service_account: str, *, lifetime: float = 86400.0
) -> None:
    """Renew the token in the connection's token file at half of its life, until cancelled.

    ``lifetime`` in seconds is what is asked for; the API server may give less. Returns at once when the connection has
    no token file, or one that this process may not replace (kubelet renews the tokens that it mounts).
    """
    path = connection.token_file
    if path is None:
        return
    if not os.access(path.parent, os.W_OK):
        log.info("token file %s is not ours to renew", path)
        return
    backoff = Backoff(1.0, 60.0, least=1.0)
    due = _half_life(path.read_text(encoding="ascii").strip()) if path.exists() else 0.0
    while True:
        await _sleep_until(due)
        try:
            token = await _request_token(client, namespace, service_account, lifetime)
            write_private(path, token.encode("ascii") + b"\n")
        except (ApiError, Unreachable, OSError) as error:
            log.warning("token of %s/%s was not renewed: %s", namespace, service_account, error)
            due = time.time() + backoff.next()
            continue
        backoff.reset()
        due = time.time() + _life(token, lifetime) / 2
        log.info("token of %s/%s renewed", namespace, service_account)


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


def _claims(token: str) -> tuple[float, float] | None:
    """(issued at, expires at) of a JWT, unverified; None for other tokens."""
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["iat"]), float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


def _half_life(token: str) -> float:
    """The wall-clock second at which half of the token's life is over; 0 when that cannot be told."""
    claims = _claims(token)
    return sum(claims) / 2 if claims else 0.0


def _life(token: str, default: float) -> float:
    claims = _claims(token)
    return max(claims[1] - claims[0], 60.0) if claims else default
