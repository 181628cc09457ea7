# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The admission policies of one synced kind (docs/protocol.md, "Admission"), built by pure functions.

Rules on how they are written, each learnt the hard way:

* An identity is compared as a whole: the user name that an object's label calls for, built from the label. A prefix
  test on a name would take ``east2`` for ``east`` (CVE-2026-4740 was that).
* ``status`` is compared on both the object and its status subresource, so kinds without one obey the same rules.
* Everything but metadata and status is "spec": CRDs are free to have other top-level fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _names as names
from ansible_collections.tmc.cross_cluster.plugins.module_utils import _policy
from ansible_collections.tmc.cross_cluster.plugins.module_utils._policy import rule as _rule

Object = dict[str, Any]

ORIGIN = "tmc.io/origin"
GUARDED = "tmc.io/origin-"
FINALIZERS = "tmc.io/"
OWN_FINALIZER = "tmc.io/sync"


@dataclass(frozen=True)
class Kind:
    """The synced kind, as admission needs it."""

    group: str
    resource: str

    @property
    def name(self) -> str:
        return f"{self.resource}.{self.group}"


@dataclass(frozen=True)
class Cluster:
    """The cluster that a policy is for: its name and the uid of its kube-system namespace."""

    name: str
    uid: str


def policies(kind: Kind, cluster: Cluster, *, hub: bool) -> list[Object]:
    """The policies and bindings for ``cluster``, in the order in which they should be written."""
    built = {f"tmc-copies.{kind.name}": copies_policy(kind, cluster, hub=hub)}
    if hub:
        built[f"tmc-syncers.{kind.name}"] = syncers_policy(kind)
        built[f"tmc-term.{kind.name}"] = term_policy(kind)
    reference = _policy.parameter_ref(kind.name)
    return [obj for name, spec in built.items() for obj in _policy.pair(name, spec, reference)]


# -- everybody but the fabric -------------------------------------------------------------------------------------

_IS_COPY = (
    "'{origin}' in {obj}.metadata.?labels.orValue({{}})"
    " && 'tmc.io/origin-uid' in {obj}.metadata.?annotations.orValue({{}})"
    " && {obj}.metadata.?annotations['tmc.io/origin-cluster-uid'].orValue('{uid}') != '{uid}'"
)
_SAME_GUARDED = (
    "object.metadata.?labels['tmc.io/origin'] == oldObject.metadata.?labels['tmc.io/origin']"
    " && variables.newNotes.all(k, !k.startsWith('tmc.io/origin-')"
    " || (k in variables.oldNotes && variables.newNotes[k] == variables.oldNotes[k]))"
    " && variables.oldNotes.all(k, !k.startsWith('tmc.io/origin-') || k in variables.newNotes)"
)
_NONE_GUARDED = (
    "!('tmc.io/origin' in object.metadata.?labels.orValue({}))"
    " && variables.newNotes.all(k, !k.startsWith('tmc.io/origin-'))"
)
_UNTRAVELLED = "['apiVersion', 'kind', 'metadata', 'status']"
_SAME_SPEC = (
    f"object.all(k, k in {_UNTRAVELLED} || (k in oldObject && object[k] == oldObject[k]))"
    f" && oldObject.all(k, k in {_UNTRAVELLED} || k in object)"
)
_SAME_STATUS = "request.operation == 'CREATE' ? !has(object.status) : object.?status == oldObject.?status"
_KUBE_SYSTEM = (
    "request.userInfo.username == 'system:kube-controller-manager'"
    " || 'system:serviceaccounts:kube-system' in request.userInfo.?groups.orValue([])"
    " || request.userInfo.username.startsWith('system:serviceaccount:kube-system:')"
)
# A request for a cluster-scoped object has no namespace at all: to read it would be an error, and cost the message.
_WHERE = "(has(request.namespace) ? request.namespace + '/' : '') + variables.old.metadata.?name.orValue('')"


def copies_policy(kind: Kind, cluster: Cluster, *, hub: bool) -> Object:
    """What people, operators and controllers may do with objects of the kind on ``cluster``."""
    fabric = (
        f"'{names.HUB_SYNCERS_GROUP}' in request.userInfo.?groups.orValue([])"
        if hub
        else f"request.userInfo.username == '{names.MEMBER_SYNCER_USER}'"
    )
    variables = [
        ("old", "request.operation == 'CREATE' ? object : oldObject"),
        ("newNotes", "request.operation == 'DELETE' ? {} : object.metadata.?annotations.orValue({})"),
        ("oldNotes", "request.operation == 'CREATE' ? {} : oldObject.metadata.?annotations.orValue({})"),
        ("newFinalizers", "request.operation == 'DELETE' ? [] : object.metadata.?finalizers.orValue([])"),
        ("oldFinalizers", "request.operation == 'CREATE' ? [] : oldObject.metadata.?finalizers.orValue([])"),
        (
            "isCopy",
            "request.operation != 'CREATE' && " + _IS_COPY.format(obj="oldObject", origin=ORIGIN, uid=cluster.uid),
        ),
        ("what", f"'a copy of ' + variables.old.metadata.?labels['{ORIGIN}'].orValue('') + '\\'s ' + {_WHERE}"),
        ("goThere", f"'on cluster ' + variables.old.metadata.?labels['{ORIGIN}'].orValue('')"),
        ("processor", "params.data.processor"),
        ("writers", "params.data.statusWriters == '' ? [] : params.data.statusWriters.split(',')"),
    ]
    return {
        **_matching(kind),
        "matchConditions": [{"name": "not-the-fabric", "expression": f"!({fabric})"}],
        "variables": [{"name": name, "expression": expression} for name, expression in variables],
        "validations": _copies_rules(cluster),
    }


def _copies_rules(cluster: Cluster) -> list[Object]:
    return [
        _rule(
            f"request.operation == 'DELETE' || ({_NONE_GUARDED})"
            f" || (request.operation == 'UPDATE' && ({_SAME_GUARDED}))",
            f"'label {ORIGIN} and annotations {GUARDED}* belong to the fabric: leave them as they are'",
        ),
        # Whoever strips the marks makes a copy look like an object of this cluster.
        _rule(
            f"request.operation != 'UPDATE' || !variables.isCopy || ({_SAME_GUARDED})",
            "'this is ' + variables.what + ': its label and annotations tmc.io/origin* stay as they are'",
        ),
        _rule(
            f"request.operation != 'UPDATE' || !variables.isCopy || ({_SAME_SPEC})",
            "'this is ' + variables.what + ': edit or delete it ' + variables.goThere",
        ),
        _rule(
            f"request.operation != 'DELETE' || !variables.isCopy || {_KUBE_SYSTEM}",
            "'this is ' + variables.what + ': edit or delete it ' + variables.goThere",
        ),
        _rule(
            f"request.operation == 'DELETE' || ({_SAME_STATUS}) || (variables.processor == '{cluster.name}'"
            " && (variables.writers.size() == 0 || request.userInfo.username in variables.writers))",
            f"variables.processor == '{cluster.name}'"
            " ? 'status is written only by ' + variables.writers.join(', ') + ', not by ' + request.userInfo.username"
            " : 'status is written only on cluster ' + variables.processor + ', whose controller works on this kind;"
            f" this is cluster {cluster.name}'",
        ),
        _rule(
            f"variables.newFinalizers.all(f, !f.startsWith('{FINALIZERS}') || f == '{OWN_FINALIZER}'"
            " || f in variables.oldFinalizers)",
            f"'finalizers {FINALIZERS}* are added only by the fabric: leave them out'",
        ),
        _rule(
            f"!variables.isCopy || request.operation != 'UPDATE' || variables.oldFinalizers.all(f,"
            f" !f.startsWith('{FINALIZERS}') || f in variables.newFinalizers)",
            f"'this is ' + variables.what + ': its finalizers {FINALIZERS}* are taken away only by the fabric,"
            " when it is deleted ' + variables.goThere",
        ),
    ]


# -- the members' syncers on the hub ------------------------------------------------------------------------------

_SAME_REST_OF_METADATA = (
    "object.metadata.?labels == oldObject.metadata.?labels"
    " && object.metadata.?annotations == oldObject.metadata.?annotations"
    " && object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences"
)


def syncers_policy(kind: Kind) -> Object:
    """What the ServiceAccounts of the members may do with objects of the kind on the hub."""
    prefix = names.HUB_SYNCER_PREFIX
    variables = [
        ("me", "request.userInfo.username"),
        ("own", f"variables.me.startsWith('{prefix}') ? '{FINALIZERS}' + variables.me.substring({len(prefix)}) : ''"),
        ("old", "request.operation == 'CREATE' ? object : oldObject"),
        ("new", "request.operation == 'DELETE' ? oldObject : object"),
        ("origin", f"variables.old.metadata.?labels['{ORIGIN}'].orValue('')"),
        ("newOrigin", f"variables.new.metadata.?labels['{ORIGIN}'].orValue('')"),
        ("mine", f"variables.origin != '' && variables.me == '{prefix}' + variables.origin"),
        ("isStatus", "request.?subResource.orValue('') == 'status'"),
        ("newFinalizers", "variables.new.metadata.?finalizers.orValue([])"),
        ("oldFinalizers", "request.operation == 'CREATE' ? [] : oldObject.metadata.?finalizers.orValue([])"),
        (
            # Exactly the syncer's own finalizer comes or goes; a status with it is for the status rule to judge.
            "acknowledges",
            f"request.operation == 'UPDATE' && {_SAME_REST_OF_METADATA} && {_SAME_SPEC}"
            " && variables.newFinalizers.filter(f, f != variables.own)"
            " == variables.oldFinalizers.filter(f, f != variables.own)",
        ),
    ]
    return {
        **_matching(kind),
        "matchConditions": [_policy.FROM_SYNCERS],
        "variables": [{"name": name, "expression": expression} for name, expression in variables],
        "validations": _syncers_rules(prefix),
    }


def _syncers_rules(prefix: str) -> list[Object]:
    uid_notes = [f"['tmc.io/origin-{note}']" for note in ("uid", "cluster-uid")]
    same_uids = " && ".join(f"object.metadata.?annotations{n} == oldObject.metadata.?annotations{n}" for n in uid_notes)
    with_uids = " && ".join(f"object.metadata.?annotations{n}.orValue('') != ''" for n in uid_notes)
    return [
        _rule(
            "variables.mine || variables.isStatus || variables.acknowledges",
            "variables.origin == '' ? 'this object belongs to the hub, not to ' + variables.me"
            " : 'origin ' + variables.origin + ' is not yours: ' + variables.me",
        ),
        _rule("variables.origin == variables.newOrigin", f"'label {ORIGIN} is immutable'"),
        _rule(
            f"request.operation != 'CREATE' || ({with_uids})",
            "'a copy needs the annotations tmc.io/origin-uid and tmc.io/origin-cluster-uid'",
        ),
        _rule(
            f"request.operation != 'UPDATE' || ({same_uids})",
            "'the annotations tmc.io/origin-uid and tmc.io/origin-cluster-uid are immutable'",
        ),
        _rule(
            f"request.operation == 'DELETE' || ({_SAME_STATUS}) || variables.me == '{prefix}' + params.data.processor",
            "'status is written only by the syncer of the processor ' + params.data.processor"
            " + ', not by ' + variables.me",
        ),
        _rule(
            "request.operation == 'DELETE' || (request.operation == 'CREATE' ? !has(object.metadata.ownerReferences)"
            " : object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences)",
            "'ownerReferences are not accepted from members'",
        ),
        _rule(
            f"variables.newFinalizers.all(f, f in variables.oldFinalizers || f.startsWith('{FINALIZERS}'))"
            " && (request.operation != 'UPDATE' || variables.oldFinalizers.all("
            f"f, f in variables.newFinalizers || f.startsWith('{FINALIZERS}')))",
            f"'a syncer adds and removes only finalizers {FINALIZERS}*'",
        ),
    ]


# -- the term on the hub ------------------------------------------------------------------------------------------


def term_policy(kind: Kind) -> Object:
    """The SyncedResource says what the ConfigMap says, by which admission judges: nobody moves only one of them."""
    where = f"ConfigMap {names.HUB_NAMESPACE}/{kind.name}"
    rules = _policy.resource_rule(
        names.FABRIC_GROUP, ["CREATE", "UPDATE"], ["syncedresources"], resourceNames=[kind.name]
    )
    return {
        "failurePolicy": "Fail",
        "paramKind": _policy.PARAM_KIND,
        "matchConstraints": {"resourceRules": [rules]},
        "validations": [
            _rule(
                "object.spec.processor == params.data.processor && string(object.spec.epoch) == params.data.epoch",
                f"'spec.processor and spec.epoch must be those of {where}, which is at ' + params.data.processor"
                " + ', epoch ' + params.data.epoch + ': move the processor with the module synced_resource,"
                " or change data.processor and data.epoch of that ConfigMap first'",
            )
        ],
    }


# -- shapes -------------------------------------------------------------------------------------------------------


def _matching(kind: Kind) -> Object:
    resources = [kind.resource, f"{kind.resource}/status"]
    rules = _policy.resource_rule(kind.group, ["CREATE", "UPDATE", "DELETE"], resources)
    return {
        "failurePolicy": "Fail",
        "paramKind": _policy.PARAM_KIND,
        "matchConstraints": {"resourceRules": [rules]},
    }
