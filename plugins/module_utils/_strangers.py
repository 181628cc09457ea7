# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is on a cluster already that a fabric would collide with: another fabric, another definition of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.tmc.cross_cluster.plugins.module_utils._apply import contains
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import NotServed
from ansible_collections.tmc.cross_cluster.plugins.module_utils._ownership import is_foreign_definition
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import (
    CUSTOM_RESOURCE_DEFINITION,
    MEMBER,
    SYNCED_RESOURCE,
    Resource,
)

HUB_UID = "tmc.io/hub-uid"  # on a member's mirrors: the hub that it belongs to


def on_hub(client: Client, name: str, members: Mapping[str, str]) -> Iterator[str]:
    """Problems of the cluster that is to be the hub of ``members`` (name -> uid of those that answer)."""
    for mirror in _list(client, SYNCED_RESOURCE):
        other = (mirror["metadata"].get("annotations") or {}).get(HUB_UID)
        if other:
            yield f"'{name}' is a member of another fabric, whose hub has the uid {other}: let it leave that one first"
            break
    for joined in _list(client, MEMBER):
        called, uid = joined["metadata"]["name"], joined["spec"]["clusterUID"]
        if called in members and members[called] != uid:
            yield (
                f"Member {called} on hub '{name}' is the cluster with uid {uid}, not the one that the inventory's "
                f"'{called}' leads to (uid {members[called]}): let that one leave first, or call the host something else"
            )
        for member, its_uid in members.items():
            if its_uid == uid and member != called:
                yield f"'{member}' has joined hub '{name}' as '{called}' already: call the host '{called}'"


def on_member(client: Client, name: str, hub_uid: str) -> Iterator[str]:
    """Problems of the cluster that is to be a member of the hub with this uid."""
    if names := [obj["metadata"]["name"] for obj in _list(client, MEMBER)]:
        yield f"'{name}' is the hub of a fabric itself, of {', '.join(names)}: it cannot be a member of another one"
    others = {
        (obj["metadata"].get("annotations") or {}).get(HUB_UID, hub_uid) for obj in _list(client, SYNCED_RESOURCE)
    }
    for other in sorted(others - {hub_uid}):
        yield (
            f"'{name}' is a member of the fabric whose hub has the uid {other}, not of the inventory's (uid {hub_uid}): "
            "let it leave that one first; if the hub was replaced, see docs/protocol.md"
        )


def definitions(client: Client, name: str, wanted: list[Object]) -> Iterator[str]:
    """Kinds that somebody else has defined in another way."""
    for definition in wanted:
        live = client.get(CUSTOM_RESOURCE_DEFINITION, definition["metadata"]["name"])
        if live and is_foreign_definition(live) and not contains(live["spec"], definition["spec"]):
            yield (
                f"CustomResourceDefinition {definition['metadata']['name']} is on '{name}' already, was not made by this "
                "collection and has another schema: make the two equal, or remove it"
            )


def _list(client: Client, resource: Resource) -> list[Object]:
    try:
        return client.list(resource)
    except NotServed:
        return []
