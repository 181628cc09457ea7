# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs: command lines of a control plane, and supervisord's configuration. Pure functions.

A program's definition (argv, env, cwd, what it is restarted on) is a JSON file that C(tied.py) reads, so nothing of it has to survive the
quoting of an ini file. The ini section holds a digest of it: a changed definition is a changed section.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster

LOG_BYTES = "10MB"
LOG_BACKUPS = 3
# A unix socket's address ends at 107 bytes, and supervisord binds the name plus ".<pid>" first.
SOCKET_LIMIT = 95
CONTROLLERS = ("namespace-controller", "garbage-collector-controller", "serviceaccount-controller")
# Relative to the plane's directory, where all three programs run: an absolute path may be too long for a socket.
# etcd insists on host:port even for unix sockets, so these are the files "client:0" and "peer:0".
ETCD_CLIENT = "unix://client:0"
ETCD_PEER = "unix://peer:0"
AUTHENTICATION = """\
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
    - path: /livez
    - path: /readyz
    - path: /healthz
"""


@dataclass(frozen=True)
class Program:
    """One supervised program. C(priority): the lower starts first and stops last.

    C(restart_on): digests of files that it reads at its start alone, by their paths.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""
    priority: int = 500
    stop_seconds: int = 10
    restart_on: Mapping[str, str] = field(default_factory=dict)

    def definition(self) -> str:
        """Text of C(programs/<name>.json)."""
        document: dict[str, object] = {"argv": list(self.argv), "cwd": self.cwd, "env": dict(self.env)}
        if self.restart_on:
            document["restart_on"] = dict(self.restart_on)
        return json.dumps(document, indent=2, sort_keys=True) + "\n"

    def section(self) -> str:
        """Text of C(conf.d/<name>.conf). Relative paths are relative to supervisord's directory."""
        digest = hashlib.sha256(self.definition().encode()).hexdigest()[:16]
        # tied.py needs no virtual environment, and its python, python3 and python3.11 must not be three definitions.
        python = os.path.realpath(sys.executable)
        command = shlex.join([python, "-I", "-S", "tied.py", self.name, digest]).replace("%", "%%")
        return (
            f"[program:{self.name}]\n"
            f"command={command}\n"
            f"priority={self.priority}\n"
            "autostart=true\n"
            "autorestart=true\n"
            "startsecs=1\n"
            "startretries=1000000\n"
            f"stopwaitsecs={self.stop_seconds}\n"
            "redirect_stderr=true\n"
            f"stdout_logfile=../logs/{self.name}.log\n"
            f"stdout_logfile_maxbytes={LOG_BYTES}\n"
            f"stdout_logfile_backups={LOG_BACKUPS}\n"
        )


def supervisord_conf(directory: str) -> str:
    """Text of C(supervisord.conf) for a supervisord that runs in C(directory)."""
    socket = "supervisord.sock"
    if len(os.fsencode(os.path.join(directory, socket))) > SOCKET_LIMIT:
        socket = "/proc/self/cwd/supervisord.sock"
    return (
        "[supervisord]\n"
        "nodaemon=true\n"
        "silent=true\n"
        "umask=077\n"
        "pidfile=supervisord.pid\n"
        "logfile=../logs/supervisord.log\n"
        f"logfile_maxbytes={LOG_BYTES}\n"
        f"logfile_backups={LOG_BACKUPS}\n"
        "nocleanup=true\n"
        "\n"
        "[unix_http_server]\n"
        f"file={socket}\n"
        "chmod=0700\n"
        "\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        "\n"
        "[supervisorctl]\n"
        "serverurl=unix://supervisord.sock\n"
        "\n"
        "[include]\n"
        "files=conf.d/*.conf\n"
    )


def plane_program_names(cluster: str) -> list[str]:
    """Programs of a cluster in the order in which they stop: what uses etcd before etcd."""
    return [f"plane-{cluster}-{part}" for part in ("controller-manager", "apiserver", "etcd")]


def plane_programs(cluster: Cluster, directory: str, binaries: str) -> list[Program]:
    """The three programs of a control plane whose files are in C(directory)."""
    manager, apiserver, etcd = plane_program_names(cluster.name)
    return [
        Program(etcd, etcd_argv(cluster, binaries), cwd=directory, priority=10),
        # Half the garbage collections: a fifth less CPU for start and for writes, for about 50 MB.
        Program(apiserver, apiserver_argv(cluster, binaries), {"GOGC": "200"}, directory, priority=20),
        Program(manager, manager_argv(binaries), cwd=directory, priority=30),
    ]


def etcd_argv(cluster: Cluster, binaries: str) -> list[str]:
    return [
        f"{binaries}/etcd",
        f"--name={cluster.name}",
        "--data-dir=etcd",
        f"--listen-client-urls={ETCD_CLIENT}",
        f"--advertise-client-urls={ETCD_CLIENT}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster={cluster.name}={ETCD_PEER}",
        "--log-level=warn",
    ]


def apiserver_argv(cluster: Cluster, binaries: str) -> list[str]:
    return [
        f"{binaries}/kube-apiserver",
        f"--etcd-servers={ETCD_CLIENT}",
        "--bind-address=127.0.0.1",
        f"--secure-port={cluster.port}",
        "--tls-cert-file=pki/server.crt",
        "--tls-private-key-file=pki/server.key",
        "--client-ca-file=pki/ca.crt",
        "--authentication-config=authentication.yaml",
        "--authorization-mode=RBAC",
        f"--service-account-issuer=https://controller-{cluster.name}.tmc.invalid",
        "--service-account-signing-key-file=pki/sa.key",
        "--service-account-key-file=pki/sa.pub",
        "--service-cluster-ip-range=10.0.0.0/24",
        # No node and no pod will ever dial the API server through the kubernetes Service.
        "--endpoint-reconciler-type=none",
        "--delete-collection-workers=4",
        "--profiling=false",
    ]


def manager_argv(binaries: str) -> list[str]:
    return [
        f"{binaries}/kube-controller-manager",
        "--kubeconfig=controller-manager.kubeconfig",
        f"--controllers={','.join(CONTROLLERS)}",
        # Each controller is its own service account in kube-system, with the rights that RBAC's bootstrap gives it.
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        "--secure-port=0",
        "--profiling=false",
    ]
