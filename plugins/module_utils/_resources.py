# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The REST resources that the modules touch."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.tmc.cross_cluster.plugins.module_utils._names import FABRIC_GROUP, FABRIC_VERSION


@dataclass(frozen=True)
class Resource:
    """One REST resource; paths need no discovery."""

    group: str
    version: str
    plural: str
    kind: str = ""
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """``/apis/...`` of the collection, of one object, or of a subresource of one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


_RBAC = ("rbac.authorization.k8s.io", "v1")
_ADMISSION = ("admissionregistration.k8s.io", "v1")

NAMESPACE = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNT = Resource("", "v1", "serviceaccounts", "ServiceAccount")
CLUSTER_ROLE = Resource(*_RBAC, "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDING = Resource(*_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
ROLE = Resource(*_RBAC, "roles", "Role")
ROLE_BINDING = Resource(*_RBAC, "rolebindings", "RoleBinding")
POLICY = Resource(*_ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
POLICY_BINDING = Resource(
    *_ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
CUSTOM_RESOURCE_DEFINITION = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease")
SYNCED_RESOURCE = Resource(FABRIC_GROUP, FABRIC_VERSION, "syncedresources", "SyncedResource", namespaced=False)
MEMBER = Resource(FABRIC_GROUP, FABRIC_VERSION, "members", "Member", namespaced=False)
TOMBSTONE = Resource(FABRIC_GROUP, FABRIC_VERSION, "tombstones", "Tombstone", namespaced=False)
TASK_QUEUE = Resource("demo.tmc.io", "v1", "taskqueues", "TaskQueue")

BY_KIND = {
    resource.kind: resource
    for resource in (
        CONFIG_MAP,
        SERVICE_ACCOUNT,
        CLUSTER_ROLE,
        CLUSTER_ROLE_BINDING,
        ROLE,
        ROLE_BINDING,
        POLICY,
        POLICY_BINDING,
        SYNCED_RESOURCE,
        MEMBER,
    )
}
