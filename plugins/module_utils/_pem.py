# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of PEM texts, with the standard library only (cryptography costs 0.1 s to import)."""

from __future__ import annotations

import re
import ssl
import time

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput

_HEADER = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_LOCKED = re.compile(r"^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED", re.MULTILINE)


def check_pem(pem: str, kind: str, place: str) -> None:
    """Raises InvalidInput unless ``pem`` holds a ``kind`` ("CERTIFICATE", "PRIVATE KEY"); a CA must not have expired."""
    found = _HEADER.findall(pem)
    if not any(header.endswith(kind) for header in found):
        raise InvalidInput(f"{place}: got {', '.join(found) or 'no PEM block'} where {kind} is expected")
    if _LOCKED.search(pem):
        raise InvalidInput(
            f"{place} is encrypted, and nobody can be asked for its pass phrase: give it without one "
            "(openssl pkey -in FILE -out PLAIN)"
        )
    if kind == "CERTIFICATE":
        _check_validity(pem, place)


def _check_validity(pem: str, place: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(f"{place} is not a readable certificate: {error}") from error
    ends = [str(authority.get("notAfter", "")) for authority in context.get_ca_certs()]
    # A bundle may carry an old CA beside its successor: only when none is left is it of no use.
    if ends and all(ssl.cert_time_to_seconds(end) < time.time() for end in ends):
        raise InvalidInput(f"{place}: CA expired on {ends[0]}; get a new kubeconfig from the cluster")
