# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking the fabric off a cluster that is somebody else's: everything of ours, and nothing but that.

Each step looks at what is there now, so a run that was interrupted is completed by the next one. The order matters:

1. Programs, then their identities: from here on nothing of the fabric writes, whatever still runs somewhere.
2. Admission: it lets nobody but the syncers touch copies.
3. Objects of custom kinds: copies go, others lose our finalizers and notes. Our CRDs come after that, because what
   holds an object holds its CRD.
4. The rest, namespaces last.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _ownership as ownership
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _resources as kinds
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client, Object
from ansible_collections.tmc.cross_cluster.plugins.module_utils._discovery import served
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import ApiError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._removal import Found, Remover, title
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import Resource

SELECTOR = ",".join(f"{key}={value}" for key, value in names.MANAGED_BY.items())
WRITERS = (ownership.SYNCER, "taskqueue-controller")

TASKS = "tmc.io/executor=job"  # label of the Jobs that the controller makes, wherever its TaskQueues are

DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
JOB = Resource("batch", "v1", "jobs", "Job")
AROUND_PROGRAMS = (
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Resource("", "v1", "services", "Service"),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    Resource("", "v1", "secrets", "Secret"),
)
IDENTITIES = (kinds.SERVICE_ACCOUNT,)
ADMISSION = (kinds.POLICY_BINDING, kinds.POLICY)
REST = (
    kinds.CONFIG_MAP,
    kinds.LEASE,
    kinds.ROLE_BINDING,
    kinds.ROLE,
    kinds.CLUSTER_ROLE_BINDING,
    kinds.CLUSTER_ROLE,
)
WATCH = "tmc-parameters"
EVENT = Resource("", "v1", "events", "Event")
# What every namespace has, or what tells of other things and lives no longer than they do.
FURNITURE = {
    ("configmaps", "kube-root-ca.crt"),
    ("configmaps", "openshift-service-ca.crt"),
    ("serviceaccounts", "default"),
}
PASSING = {"events", "endpoints", "endpointslices"}
NAME_OF_ITSELF = "kubernetes.io/metadata.name"


class Withdrawal:
    """The steps, on one cluster. Raises TmcError."""

    def __init__(
        self,
        client: Client,
        cluster_uid: str,
        remover: Remover,
        *,
        keep_copies: bool = False,
        keep_definitions: bool = False,
        keep_watch: bool = False,
    ) -> None:
        self._client = client
        self._uid = cluster_uid
        self._remover = remover
        self._keep_copies = keep_copies
        self._keep_definitions = keep_copies or keep_definitions
        self._keep_watch = keep_watch
        self._in_use: set[str] = set()  # names of custom kinds that have objects which stay

    def programs(self) -> None:
        """Step 1. Foreground: a Deployment is gone when its Pods are."""
        jobs = self._client.list(JOB, label_selector=TASKS, metadata_only=True)
        tasks = [(JOB, obj) for obj in jobs if not obj["metadata"].get("deletionTimestamp")]
        self._remover.remove([*self._ours((DEPLOYMENT,)), *tasks], propagation="Foreground")
        self._remover.remove([*self._ours(AROUND_PROGRAMS), *self._ours(IDENTITIES)])

    def everything(self) -> None:
        """All steps."""
        self.programs()
        self._remover.remove([found for found in self._ours(ADMISSION) if not self._is_watch(found)])
        definitions = self._client.list(kinds.CUSTOM_RESOURCE_DEFINITION, metadata_only=True)
        for resource in self._custom(definitions):
            self._objects_of(resource)
        self._definitions(definitions)
        self._remover.remove(list(self._events()), wait=False)
        self._remover.remove(self._ours(REST))
        self._namespaces()

    def _is_watch(self, found: Found) -> bool:
        """What keeps the API server watching the parameters of policies (manifests/fabric/parameters.yaml)."""
        if not self._keep_watch or found[1]["metadata"]["name"] != WATCH:
            return False
        self._remover.journal.kept.append(f"{title(*found)}: asked for")
        return True

    # -- what is ours -------------------------------------------------------------------------------------------

    def _ours(self, resources: tuple[Resource, ...]) -> list[Found]:
        """Labelled ones wherever they are; in the namespaces of the fabric and cluster-wide also those of our names."""
        found: dict[str, Found] = {}
        for resource in resources:
            places = ("",) if not resource.namespaced else (names.MEMBER_NAMESPACE, names.HUB_NAMESPACE)
            listed = self._client.list(resource, label_selector=SELECTOR, metadata_only=True)
            for place in places:
                listed += self._client.list(resource, place, metadata_only=True)
            for obj in listed:
                if ownership.is_ours(obj) and not self._remover.is_gone(obj):
                    found[obj["metadata"]["uid"]] = (resource, obj)
        return list(found.values())

    def _custom(self, definitions: list[Object]) -> Iterator[Resource]:
        """The custom kinds that are served."""
        known = {crd["metadata"]["name"] for crd in definitions}
        for resource in served(self._client, {name.partition(".")[2] for name in known}):
            if resource.name in known:
                yield resource

    def _objects_of(self, resource: Resource) -> None:
        try:
            objects = self._client.list(resource, metadata_only=True)
        except ApiError as error:
            if error.status == 404:  # its CRD went a moment ago
                return
            if error.status != 403:
                raise
            self._remover.journal.kept.append(f"{resource.kind}: not looked at, {error}")
            return
        copies = [(resource, obj) for obj in objects if ownership.is_copy(obj, self._uid)]
        others = [(resource, obj) for obj in objects if not ownership.is_copy(obj, self._uid)]
        self._remover.release(others)
        if others or (copies and self._keep_copies):
            self._in_use.add(resource.name)
        if self._keep_copies:
            self._remover.release(copies, whole=True)
            return
        self._remover.release(copies, told=False)
        self._remover.remove(copies)

    def _definitions(self, definitions: list[Object]) -> None:
        doomed = []
        for crd in definitions:
            name = crd["metadata"]["name"]
            used = name in self._in_use and not name.endswith(f".{names.FABRIC_GROUP}")
            found = (kinds.CUSTOM_RESOURCE_DEFINITION, crd)
            if not ownership.is_our_definition(crd):
                if ownership.is_labelled(crd):
                    self._remover.journal.kept.append(f"{title(*found)}: somebody else wrote it, too")
            elif self._keep_definitions and used:
                self._remover.journal.kept.append(
                    f"{title(*found)}: there are objects of the kind, which would go with it"
                )
            else:
                doomed.append(found)
        self._remover.remove(doomed)

    def _events(self) -> Iterator[Found]:
        for writer in WRITERS:
            selector = f"reportingComponent={writer}"
            for obj in self._client.list(EVENT, field_selector=selector, metadata_only=True):
                yield EVENT, obj

    # -- namespaces ---------------------------------------------------------------------------------------------

    def _namespaces(self) -> None:
        """The fabric's own, and those that a syncer made for copies; only while nothing of others is in them."""
        doomed = []
        for obj in self._client.list(kinds.NAMESPACE, metadata_only=True):
            name = obj["metadata"]["name"]
            if obj["metadata"].get("deletionTimestamp") or not self._made_by_us(obj):
                continue
            reason = self._why_kept(obj)
            if reason:
                self._remover.journal.kept.append(f"Namespace {name}: {reason}")
            else:
                doomed.append((kinds.NAMESPACE, obj))
        self._remover.remove(doomed)

    def _made_by_us(self, namespace: Object) -> bool:
        if namespace["metadata"]["name"] == names.HUB_NAMESPACE:
            return ownership.is_ours(namespace)
        return ownership.SYNCER in ownership.managers(namespace)

    def _why_kept(self, namespace: Object) -> str:
        """Why somebody else needs the namespace; empty when nobody does."""
        name = namespace["metadata"]["name"]
        marks = set(ownership.labels(namespace)) | set(namespace["metadata"].get("annotations") or {})
        if name != names.HUB_NAMESPACE and marks - {NAME_OF_ITSELF}:
            return f"it carries {', '.join(sorted(marks - {NAME_OF_ITSELF}))}"
        try:
            held = next(self._foreign_objects(name), "")
        except ApiError as error:
            return f"what is in it cannot be told: {error}"
        return f"it holds {held}" if held else ""

    def _foreign_objects(self, namespace: str) -> Iterator[str]:
        for resource in served(self._client):
            if not resource.namespaced or resource.plural in PASSING:
                continue
            for obj in self._client.list(resource, namespace, metadata_only=True):
                furniture = (resource.plural, obj["metadata"]["name"]) in FURNITURE
                if not furniture and not self._remover.is_gone(obj):
                    yield title(resource, obj)
