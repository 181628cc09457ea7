# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a process asks an API server for, and the journal of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

WRITES = frozenset({"CREATE", "PATCH", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request of `process` to `cluster`, or one watch event on its way back (verb EVENT, `event` its type)."""

    process: str
    cluster: str
    verb: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    event: str = ""

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES

    def concerns(self, namespace: str) -> bool:
        """Whether it is about objects of this namespace, or the namespace itself."""
        return self.namespace == namespace or (self.resource == "namespaces" and self.name == namespace)

    def __str__(self) -> str:
        place = "/".join(part for part in (self.resource, self.namespace, self.name, self.subresource) if part)
        return f"{self.process}>{self.cluster} {self.verb} {place}"


@dataclass(slots=True)
class Entry:
    """A request in the journal: `status` is the API server's answer, 0 when it got none; `told`: the client saw it."""

    at: float
    call: Call
    status: int = 0
    body: Any = field(default=None, repr=False)


def parse_call(process: str, cluster: str, method: str, path: str, query: dict[str, str], body: Any) -> Call:
    """A request as a Call. `body` is the parsed JSON of it, if any."""
    namespace, resource, name, subresource = split_path(path)
    verb = {"POST": "CREATE"}.get(method, method)
    if method == "GET" and not name:
        verb = "WATCH" if query.get("watch") in ("1", "true") else "LIST"
    if method == "POST":
        if subresource or not isinstance(body, dict):
            verb = "POST"  # a token request: no object is created
        else:
            name = str((body.get("metadata") or {}).get("name", ""))
    return Call(process, cluster, verb, resource, namespace, name, subresource)


def split_path(path: str) -> tuple[str, str, str, str]:
    """(namespace, resource, name, subresource) of an API path; resource is empty for discovery."""
    parts = [part for part in path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    return namespace, resource, name, subresource
