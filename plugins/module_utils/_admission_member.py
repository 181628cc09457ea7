# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The admission policies that a member brings to the hub (docs/protocol.md, "Admission"), built by pure functions.

They have no parameter: the uid of a member never changes, so it is written into them when the member joins.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _policy

Object = dict[str, Any]


def policies(name: str, cluster_uid: str) -> list[Object]:
    """What binds the name of member ``name`` to the cluster that joined under it; policies and bindings."""
    return [
        *_policy.pair(f"tmc-identity.{name}", identity_policy(name, cluster_uid)),
        *_policy.pair(f"tmc-tombstones.{name}", tombstones_policy(name, cluster_uid)),
    ]


def identity_policy(name: str, cluster_uid: str) -> Object:
    """A copy whose origin is the member, of whatever kind, comes from the cluster that joined under that name."""
    return _without_parameter(
        {
            "objectSelector": {"matchLabels": {"tmc.io/origin": name}},
            "resourceRules": [_policy.resource_rule("*", ["CREATE"], ["*"])],
        },
        _policy.rule(
            f"object.metadata.?annotations['tmc.io/origin-cluster-uid'].orValue('') == {_policy.literal(cluster_uid)}",
            f"'annotation tmc.io/origin-cluster-uid is not the uid that Member {name} joined with'",
        ),
    )


def tombstones_policy(name: str, cluster_uid: str) -> Object:
    """A tombstone speaks for the cluster that joined as the member, not only for one of that name."""
    return _without_parameter(
        {"resourceRules": [_policy.resource_rule(names.FABRIC_GROUP, ["CREATE"], ["tombstones"])]},
        _policy.rule(
            f"object.spec.originCluster != '{name}' || object.spec.originClusterUID == {_policy.literal(cluster_uid)}",
            f"'spec.originClusterUID is not the one that Member {name} joined with'",
        ),
    )


def _without_parameter(constraints: Object, rule: Object) -> Object:
    return {
        "failurePolicy": "Fail",
        "matchConstraints": constraints,
        "matchConditions": [_policy.FROM_SYNCERS],
        "validations": [rule],
    }
