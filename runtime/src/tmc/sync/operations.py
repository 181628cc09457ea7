# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the planner may ask for. Operations are values: they say what to do and under which condition, and do nothing.

`Side` is the cluster an operation touches. `Proof` is a fact that must be confirmed by a live, consistent read just
before the write, because a view that lags could have misled the planner; everything else is protected by
preconditions (uid, resourceVersion, a `test` of what the write rests on) that the API server itself checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tmc.sync.names import buried_uid
from tmc.sync.objects import Object

Side = Literal["member", "hub"]
Scope = Literal["", "kind", "namespace"]


@dataclass(frozen=True, slots=True)
class Proof:
    """The object of the same name on `side` has this uid; an empty uid: there is none."""

    side: Side
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    """Create `body` on `side`. Somebody who was faster is not an error: the planner looks again.

    `aim`, `copy_of`: see `Patch`.
    """

    side: Side
    body: Object
    why: str
    aim: str = ""
    copy_of: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """Apply a guarded JSON patch.

    `turn` is the number of members that had better write to the same object before this one, so that no two collide.
    `aim` is a fingerprint of what the object is to look like: the same aim again and again means that somebody else
    keeps changing it back. `copy_of` names the origin's cluster where this makes a copy follow it; `drift`: what it
    undoes was done to the copy, for the origin has not changed. `alone`: see `Delete`. `ends` is the origin uid of an
    object that is over here with this.
    """

    side: Side
    patch: list[dict[str, Any]]
    why: str
    subresource: str = ""
    proof: Proof | None = None
    turn: int = 0
    aim: str = ""
    copy_of: str = ""
    drift: bool = False
    alone: Scope = ""
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object that has this uid, and no other.

    `alone` names what a live read must show to stay on the hub, so that the hub's object is known to go by itself: its
    kind, or its kind and its namespace. `braked`: no evidence of its own, so many at once are not believed.
    """

    side: Side
    uid: str
    why: str
    proof: Proof | None = None
    alone: Scope = ""
    braked: bool = False


@dataclass(frozen=True, slots=True)
class Bury:
    """Write the tombstone of an object whose members could not all be told in time; `pending` are those."""

    origin_uid: str
    pending: tuple[str, ...]
    proof: Proof | None = None
    why: str = "deletionGrace is over"


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Take this member out of the tombstone of this name: it holds no copy of that object (any more)."""

    tombstone: str
    proof: Proof | None = None
    why: str = "no copy of it here"

    @property
    def ends(self) -> str:
        """As of a `Patch`."""
        return buried_uid(self.tombstone)


@dataclass(frozen=True, slots=True)
class Tell:
    """An Event on the object of this name on `side`."""

    side: Side
    reason: str
    message: str
    warning: bool = True
    why: str = ""


Operation = Create | Patch | Delete | Bury | Acknowledge | Tell
