# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kinds an API server serves."""

from __future__ import annotations

from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import Resource


def served(client: Client, groups: set[str] | None = None) -> list[Resource]:
    """Every kind that can be listed, in the version that the server prefers; only of ``groups`` when they are given.

    Raises ApiError when a group is announced and does not answer.
    """
    found = _of_group(client, "", "v1", "/api/v1") if groups is None else []
    for group in client.request("GET", "/apis")["groups"]:
        if groups is None or group["name"] in groups:
            version = group["preferredVersion"]["version"]
            found += _of_group(client, group["name"], version, f"/apis/{group['name']}/{version}")
    return found


def _of_group(client: Client, group: str, version: str, path: str) -> list[Resource]:
    listing: Any = client.request("GET", path)
    return [
        Resource(group, version, entry["name"], entry["kind"], entry["namespaced"])
        for entry in listing["resources"]
        if "/" not in entry["name"] and "list" in entry["verbs"]
    ]
