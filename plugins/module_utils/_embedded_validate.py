# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an embedded fabric may look like: names, ports, exactly one hub. Pure functions.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NAME_LIMIT = 40
RESERVED = frozenset({"sync", "hub"})
PORTS = range(1024, 65536)
# Supervisor's configuration gives these characters a meaning of their own (glob, expansion, comment, line).
UNSAFE_IN_PATH = frozenset('*?[]%;#"\n\r')
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


class EmbeddedError(Exception):
    """A fault that a person can do something about; the message says what. Modules turn it into a failure."""


@dataclass(frozen=True)
class Cluster:
    """One control plane to be: its name and the TCP port of its API server on 127.0.0.1."""

    name: str
    port: int


def port_variable(name: str) -> str:
    """Name of the environment variable that sets the port of cluster C(name)."""
    return "CONTROLLER_" + name.upper().replace("-", "_") + "_PORT"


def name_problem(name: str) -> str | None:
    """Why C(name) cannot be a cluster's name, or None."""
    if len(name) > NAME_LIMIT:
        return (
            f"cluster name '{name}' is too long ({len(name)} characters): at most {NAME_LIMIT}, because label and "
            "resource names are derived from it; rename the inventory host"
        )
    if name in RESERVED:
        return f"cluster name '{name}' is reserved ({', '.join(sorted(RESERVED))} are); rename the inventory host"
    if not _DNS_LABEL.fullmatch(name):
        return (
            f"cluster name '{name}' is invalid: lower-case letters, digits and '-', starting and ending with a "
            "letter or digit; rename the inventory host"
        )
    return None


def hub_problems(hubs: list[str], members: list[str]) -> Iterator[str]:
    """Problems of the groups: exactly one hub, and nobody is in both."""
    if len(hubs) != 1:
        yield f"exactly one host must be in the inventory group 'hub', got {len(hubs)}: {', '.join(hubs) or 'none'}"
    for name in sorted(set(hubs) & set(members)):
        yield f"cluster '{name}' is in both groups, 'hub' and 'members'; a cluster is one or the other"


def parse_port(name: str, raw: object) -> int:
    """The port of cluster C(name) as a number.

    Raises EmbeddedError naming the cluster, the value and what is allowed.
    """
    fix = f"set cluster_port of host '{name}' or {port_variable(name)}"
    try:
        port = int(str(raw))
    except ValueError as error:
        raise EmbeddedError(
            f"cluster_port '{raw}' of cluster '{name}' is not a whole number in {PORTS.start}-{PORTS.stop - 1}; {fix}"
        ) from error
    if port not in PORTS:
        raise EmbeddedError(f"cluster_port {port} of cluster '{name}' is not in {PORTS.start}-{PORTS.stop - 1}; {fix}")
    return port


def parse_clusters(entries: list[dict[str, object]]) -> tuple[list[Cluster], list[str]]:
    """Clusters of C({name, port}) mappings, and every problem with names and ports."""
    clusters: list[Cluster] = []
    problems: list[str] = []
    users: dict[int, str] = {}
    for entry in entries:
        name = str(entry["name"])
        problem = name_problem(name)
        if problem:
            problems.append(problem)
            continue
        try:
            port = parse_port(name, entry["port"])
        except EmbeddedError as error:
            problems.append(str(error))
            continue
        if port in users:
            problems.append(
                f"cluster_port {port} is used by both '{users[port]}' and '{name}'; set cluster_port of one of "
                f"them, or {port_variable(users[port])} or {port_variable(name)}"
            )
        users.setdefault(port, name)
        clusters.append(Cluster(name, port))
    return clusters, problems


def path_problem(path: str) -> str | None:
    """Why C(path) cannot be the state directory, as far as its text tells, or None."""
    bad = sorted(set(path) & UNSAFE_IN_PATH)
    if bad:
        shown = " ".join(repr(c) for c in bad)
        return f"tmc_state_dir '{path}' has {shown}, which Supervisor's configuration cannot carry; choose another"
    if ":" in path:
        return f"tmc_state_dir '{path}' has ':', which separates the files of a kubeconfig list; choose another"
    return None
