# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for control planes, all at once.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import http.client
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State, tail
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_programs import plane_program_names
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster, EmbeddedError

# Ready, and the namespaces that everybody expects are there (they come a moment after /readyz).
PROBES = ("/readyz", "/api/v1/namespaces/kube-system", "/api/v1/namespaces/default")
POLL_SECONDS = 0.1
REQUEST_SECONDS = 5.0


def wait_ready(clusters: list[Cluster], state: State, seconds: float) -> dict[str, float]:
    """Wait until every cluster serves; seconds it took, by name.

    Raises EmbeddedError naming each cluster that did not, its last error and the ends of its logs.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(clusters))) as pool:
        answers = list(pool.map(lambda cluster: _wait_one(cluster, state, seconds), clusters))
    late = [answer for answer in answers if isinstance(answer, str)]
    if late:
        raise EmbeddedError("\n".join(late))
    return {cluster.name: answer for cluster, answer in zip(clusters, answers) if not isinstance(answer, str)}


def _wait_one(cluster: Cluster, state: State, seconds: float) -> float | str:
    began = time.monotonic()
    context = _tls(state.plane(cluster.name) / "pki")
    while True:
        error = _ask(cluster.port, context)
        elapsed = time.monotonic() - began
        if error is None:
            return round(elapsed, 2)
        if elapsed > seconds:
            return _complaint(cluster, state, seconds, error)
        time.sleep(POLL_SECONDS)


def _tls(pki: Path) -> ssl.SSLContext:
    """This cluster's own CA and nothing else, whatever SSL_CERT_FILE says."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    return context


def _ask(port: int, context: ssl.SSLContext) -> str | None:
    """None when every probe answers 200, else what was wrong."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=REQUEST_SECONDS, context=context)
    try:
        for path in PROBES:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                return f"{path} answered {response.status}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None


def _complaint(cluster: Cluster, state: State, seconds: float, error: str) -> str:
    logs = [state.logs / f"{name}.log" for name in plane_program_names(cluster.name)[1:]]
    ends = "\n".join(f"--- {log} ---\n{tail(log)}" for log in logs)
    return f"cluster '{cluster.name}' (port {cluster.port}) is not ready after {seconds:.0f} s: {error}\n{ends}"
