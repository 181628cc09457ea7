# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The connection of a process that runs in a pod to the API server of its own cluster.

What Kubernetes gives every container: the API server's address in the environment, and a folder with a token that
kubelet renews, the cluster's CA and the namespace. See "Accessing the Kubernetes API from a Pod" in its documentation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tmc.api.kubeconfig import Connection, KubeconfigError, check_ca, load_kubeconfig

HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_OTHERWISE = "run in a pod whose ServiceAccount token is mounted, or give --kubeconfig FILE"


def connection_from(kubeconfig: str | Path | None) -> Connection:
    """The connection that a kubeconfig names, or without one that of the pod we are in. Raises KubeconfigError."""
    return in_cluster_connection() if kubeconfig is None else load_kubeconfig(kubeconfig)


def in_cluster_connection(env: Mapping[str, str] = os.environ, folder: Path | None = None) -> Connection:
    """The connection of this pod; its token file is read again as kubelet renews it.

    Raises KubeconfigError, naming the variable or the file that is missing.
    """
    folder = folder or FOLDER
    host, port = (_variable(name, env) for name in (HOST, PORT))
    if not port.isdigit():
        raise _fail(f"environment variable {PORT} is '{port}'; it must be a port number")
    if not _text(folder / "token"):
        raise _fail(f"token file '{folder / 'token'}' is empty")
    certificate = _text(folder / "ca.crt").encode()
    check_ca(certificate, "in-cluster")
    return Connection(
        name="in-cluster",
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca=certificate,
        token_file=folder / "token",
        namespace=_text(folder / "namespace") if (folder / "namespace").exists() else "default",
    )


def _variable(name: str, env: Mapping[str, str]) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise _fail(f"environment variable {name} is not set")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError as error:
        raise _fail(f"file '{path}' has characters that no token and no certificate has") from error
    except OSError as error:
        raise _fail(f"file '{path}' cannot be read: {error.strerror}") from error


def _fail(text: str) -> KubeconfigError:
    return KubeconfigError(f"in-cluster: {text}; {_OTHERWISE}")
