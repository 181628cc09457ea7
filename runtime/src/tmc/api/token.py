# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The bearer token of a connection: from its file, re-read as it is renewed, or a newer one that was just granted."""

from __future__ import annotations

import base64
import binascii
import time

import orjson

from tmc.api.errors import Unreachable
from tmc.api.kubeconfig import Connection

REREAD_SECONDS = 60.0


def lifetime_of(token: str) -> tuple[float, float] | None:
    """(issued at, expires at) of a JWT in wall-clock seconds, unverified; None for other tokens."""
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["iat"]), float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


def is_newer(token: str, than: str) -> bool:
    """Whether ``token`` was issued after ``than``; what has no date is older than everything."""
    issued, other = lifetime_of(token), lifetime_of(than)
    return issued is not None and (other is None or issued[0] > other[0])


class TokenSource:
    """Gives the current token; a file is read again when its mtime changes and at least once a minute."""

    def __init__(self, connection: Connection) -> None:
        self._file = connection.token_file
        self._token = connection.token
        self._granted: str | None = None
        self._mtime_ns = -1
        self._read_at = 0.0

    @property
    def renewable(self) -> bool:
        """True when reading again could give another token."""
        return self._file is not None

    def use(self, token: str) -> None:
        """Prefer this token, which was granted just now, until the file has one that is as new."""
        self._granted = token

    def forget(self) -> None:
        """The server refused the token: read the file again at the next request."""
        self._granted = None
        self._mtime_ns = -1

    def current(self) -> str | None:
        """The token, or None for a connection without one. Raises Unreachable when its file was never readable."""
        if self._file is not None:
            self._read_file()
        if self._granted is not None and self._token is not None and not is_newer(self._granted, self._token):
            self._granted = None
        return self._granted or self._token

    def _read_file(self) -> None:
        assert self._file is not None
        try:
            mtime_ns = self._file.stat().st_mtime_ns
            if mtime_ns != self._mtime_ns or time.monotonic() - self._read_at > REREAD_SECONDS:
                self._token = self._file.read_text(encoding="ascii").strip() or self._token
                self._mtime_ns, self._read_at = mtime_ns, time.monotonic()
        except (OSError, UnicodeDecodeError) as error:
            if self._token is None and self._granted is None:
                raise Unreachable(f"token file '{self._file}' cannot be read: {error}", ambiguous=False) from error
        if self._token is None and self._granted is None:
            raise Unreachable(f"token file '{self._file}' is empty", ambiguous=False)
