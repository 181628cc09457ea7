# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one family of errors that the modules' shared code raises; only a module's main() turns one into a failure."""

from __future__ import annotations


class TmcError(Exception):
    """A message for the user: it names the field, the bad value, what is allowed and the fix."""


class InvalidInput(TmcError):
    """An option or a document is wrong; nothing was sent to any cluster."""


class NotReady(TmcError):
    """Something that an earlier step makes is not there. Check mode predicts a change instead of failing."""


class Unreachable(NotReady):
    """No API server answered at the address of the kubeconfig."""


class KubeconfigMissing(NotReady):
    """The kubeconfig file is not there."""


class ApiError(TmcError):
    """An API server refused a request. ``status`` is the HTTP code, ``reason`` the machine-readable word for it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotServed(ApiError, NotReady):
    """The API server does not know the kind at all: its CRD is missing."""
