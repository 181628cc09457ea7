# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether Pods could reach an API server at an address, as far as that can be told from here."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from urllib.parse import urlsplit

from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Connection

PATIENCE = 5.0  # seconds


def problem_inside(connection: Connection, inside: str) -> str | None:
    """Why ``inside``, the hub's URL as Pods use it, cannot work; None when nothing speaks against it.

    That something listens there can be told only inside, but a certificate that is not for the name can be seen here.
    """
    host = urlsplit(inside).hostname or ""
    if is_loopback(host):
        return (
            f"Pods of the members would look for the hub at {inside}, which is themselves: set cluster_server_inside of "
            "the hub to the URL that they reach it at, or tmc_run_as to process"
        )
    if not connection.verify or connection.proxy or connection.server_name:
        return None
    reason = certificate_problem(connection, host)
    if reason is None:
        return None
    return (
        f"the hub's certificate is not for {host}, where Pods of the members would look for it ({reason}): set "
        "cluster_server_inside of the hub to a URL with a name that the certificate has"
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def certificate_problem(connection: Connection, host: str) -> str | None:
    """What TLS says when the server that answers here is taken for ``host``."""
    here = urlsplit(connection.server)
    context = (
        ssl.create_default_context(cadata=connection.ca_pem) if connection.ca_pem else ssl.create_default_context()
    )
    address = (here.hostname or "", here.port or 443)
    try:
        plain = socket.create_connection(address, timeout=PATIENCE)
        with plain, context.wrap_socket(plain, server_hostname=host):
            return None
    except ssl.SSLCertVerificationError as error:
        return str(error.verify_message)
    except OSError:
        return None  # that nothing answers is told elsewhere
