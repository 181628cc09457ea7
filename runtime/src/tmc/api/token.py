# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The bearer token of a connection, re-read from its file as it is renewed."""

from __future__ import annotations

import time

from tmc.api.errors import Unreachable
from tmc.api.kubeconfig import Connection

REREAD_SECONDS = 60.0


class TokenSource:
    """Gives the current token; a file is read again when its mtime changes and at least once a minute."""

    def __init__(self, connection: Connection) -> None:
        self._file = connection.token_file
        self._token = connection.token
        self._mtime_ns = -1
        self._read_at = 0.0

    @property
    def renewable(self) -> bool:
        """True when reading again could give another token."""
        return self._file is not None

    def forget(self) -> None:
        """The server refused the token: read the file again at the next request."""
        self._mtime_ns = -1

    def current(self) -> str | None:
        """The token, or None for a connection without one. Raises Unreachable when its file was never readable."""
        if self._file is None:
            return self._token
        try:
            mtime_ns = self._file.stat().st_mtime_ns
            if mtime_ns != self._mtime_ns or time.monotonic() - self._read_at > REREAD_SECONDS:
                self._token = self._file.read_text(encoding="ascii").strip() or self._token
                self._mtime_ns, self._read_at = mtime_ns, time.monotonic()
        except (OSError, UnicodeDecodeError) as error:
            if self._token is None:
                raise Unreachable(f"token file '{self._file}' cannot be read: {error}", ambiguous=False) from error
        if self._token is None:
            raise Unreachable(f"token file '{self._file}' is empty", ambiguous=False)
        return self._token
