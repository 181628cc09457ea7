# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that the collection shares with the runtime (docs/protocol.md) and the rules for names that users choose."""

from __future__ import annotations

import re

FABRIC_GROUP = "fabric.tmc.io"
FABRIC_VERSION = "v1alpha1"
HUB_NAMESPACE = "tmc-system"  # on every cluster: it holds the parameters of admission, too
HUB_SYNCERS_GROUP = f"system:serviceaccounts:{HUB_NAMESPACE}"
HUB_SYNCER_PREFIX = f"system:serviceaccount:{HUB_NAMESPACE}:syncer-"
MEMBER_NAMESPACE = "default"
MEMBER_SYNCER = "tmc-syncer"
MEMBER_SYNCER_USER = f"system:serviceaccount:{MEMBER_NAMESPACE}:{MEMBER_SYNCER}"
HUB_SYNCER_ROLE = "tmc-syncer-hub"
FIELD_MANAGER = "tmc-collection"
MANAGED_BY = {"app.kubernetes.io/managed-by": "tmc.cross_cluster"}

RESERVED = ("hub", "sync")
NAME_LIMIT = 40
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DURATION = re.compile(r"([0-9]+(ms|s|m|h))+")


def cluster_name_problem(name: str, option: str = "name") -> str | None:
    """Why ``name`` cannot be the name of a cluster, or None when it can."""
    if not _LABEL.fullmatch(name):
        return (
            f"{option} {name!r} is invalid: use lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit"
        )
    if len(name) > NAME_LIMIT:
        return (
            f"{option} {name!r} is too long ({len(name)}): at most {NAME_LIMIT} characters, "
            "because names of finalizers, accounts and leases are made from it"
        )
    if name in RESERVED:
        return f"{option} {name!r} is reserved: choose a name other than {', '.join(RESERVED)}"
    return None


def is_dns_label(text: str, limit: int = 63) -> bool:
    return len(text) <= limit and _LABEL.fullmatch(text) is not None


def is_duration(text: str) -> bool:
    """Whether text is a duration as Kubernetes writes it: ``30s``, ``5m``, ``1h30m``."""
    return _DURATION.fullmatch(text) is not None
