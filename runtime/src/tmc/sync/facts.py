# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What a plan rests on, beside the two objects of one name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the fabric.

    `members` are all members of the fabric, this one included. `tombstones` are the tombstones of buried objects of
    this name that this member has still to acknowledge. `given_up` are members that are away, and a deletion has waited
    for them long enough. `quarantined`: the hub is not the one this member knows; nothing may be deleted or released.
    `keeps`: copies outlive their origin. `hub_kind_going`, `hub_namespace_going`: the hub is losing the whole kind, or
    this namespace. `ended`: origin uids that this syncer has seen to their end; a copy of one was made too
    late. `told`: no copy of the own object is left when the hub has none; false when that is not known.
    """

    member: str
    member_uid: str
    hub: str
    hub_uid: str
    processor: str
    members: frozenset[str]
    has_status: bool = True
    tombstones: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    quarantined: bool = False
    keeps: bool = False
    hub_kind_going: bool = False
    hub_namespace_going: bool = False
    ended: frozenset[str] = frozenset()
    told: bool = False
