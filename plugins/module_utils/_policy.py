# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shapes of ValidatingAdmissionPolicies, their bindings and the ConfigMap that is their parameter; pure functions.

The parameter is a ConfigMap, a kind that every API server knows from its first request on. The kinds of CRDs it knows
only by discovery, up to 30 s after its start, and until then a policy with such a parameter denies everything.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names

Object = dict[str, Any]

VERSION = "admissionregistration.k8s.io/v1"
PARAM_KIND = {"apiVersion": "v1", "kind": "ConfigMap"}
FROM_SYNCERS = {"name": "syncers", "expression": f"'{names.HUB_SYNCERS_GROUP}' in request.userInfo.?groups.orValue([])"}


def parameters(kind_name: str, spec: Object) -> Object:
    """The ConfigMap that follows from a SyncedResource's spec; the syncer keeps the same on its own cluster."""
    candidates = (spec.get("failover") or {}).get("candidates")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": kind_name, "namespace": names.HUB_NAMESPACE, "labels": dict(names.MANAGED_BY)},
        "data": {
            "processor": spec["processor"],
            "epoch": str(spec["epoch"]),
            "statusWriters": ",".join(spec.get("statusWriters") or []),
            **({"failover": ",".join(candidates)} if candidates else {}),
        },
    }


def parameter_ref(kind_name: str) -> Object:
    """Without the ConfigMap nothing of the kind is written: who may is not known."""
    return {"name": kind_name, "namespace": names.HUB_NAMESPACE, "parameterNotFoundAction": "Deny"}


def rule(expression: str, message: str) -> Object:
    """A validation; ``message`` is an expression, too."""
    return {"expression": expression, "messageExpression": message, "reason": "Forbidden"}


def resource_rule(group: str, operations: list[str], resources: list[str], **more: Any) -> Object:
    return {"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": resources, **more}


def pair(name: str, spec: Object, param_ref: Object | None = None) -> list[Object]:
    """The policy and its binding."""
    metadata = {"name": name, "labels": dict(names.MANAGED_BY)}
    binding = {"policyName": name, "validationActions": ["Deny"], **({"paramRef": param_ref} if param_ref else {})}
    return [
        {"apiVersion": VERSION, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec},
        {"apiVersion": VERSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata, "spec": binding},
    ]


def literal(text: str) -> str:
    """``text`` as a string of CEL, whatever is in it: the uid of a cluster is what that cluster says."""
    return json.dumps(text)
