# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What is said of members and kinds on the hub, as values: pure functions. Nothing is said twice.

The `Ready` condition of a kind follows from the entries of its members alone, so whoever changes an entry changes the
condition in the same write, and the hub's admission holds it to that (manifests/hub/admission.yaml: keep them alike).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tmc.sync.objects import Object
from tmc.sync.schema import Verdict

SILENT = "Silent"
SILENT_MESSAGE = "its syncer is not heard of"
READY = "Ready"
HUB_ACCEPTED = "HubAccepted"
DELETION_BRAKED = "DeletionBraked"
OBJECTS_HELD_UP = "ObjectsHeldUp"
FAILED_OVER = "FailedOver"
MESSAGE_LENGTH, PATH_LENGTH = 4096, 512  # of an entry, as in manifests/fabric/crds.yaml
NAMED_OBJECTS, WORDS_LENGTH = 3, 500  # of those that are held up
_WORST_FIRST = ("Incompatible", "Pending", SILENT)


@dataclass(frozen=True, slots=True)
class Condition:
    """A metav1.Condition without its time."""

    type: str
    status: bool
    reason: str
    message: str

    def as_object(self) -> Object:
        text = "True" if self.status else "False"
        return {"type": self.type, "status": text, "reason": self.reason, "message": self.message}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def with_conditions(status: Mapping[str, Any], wanted: Iterable[Condition], time: str) -> Object:
    """`status` with these conditions; others stay, and a time changes only with what it is the time of."""
    conditions = [c for c in status.get("conditions") or () if isinstance(c, dict)]
    shown = {str(c.get("type")): c for c in conditions}
    for condition in wanted:
        before = shown.get(condition.type, {})
        new = condition.as_object()
        since = before.get("lastTransitionTime", time) if before.get("status") == new["status"] else time
        shown[condition.type] = {**new, "lastTransitionTime": since}
    return {**status, "conditions": list(shown.values())}


def trusts_hub(status: Mapping[str, Any]) -> bool:
    """Whether the status of a `Member` says so, or nothing of it."""
    conditions = [c for c in status.get("conditions") or () if isinstance(c, dict)]
    return not any(c.get("type") == HUB_ACCEPTED and c.get("status") == "False" for c in conditions)


def with_entry(status: Mapping[str, Any], member: str, verdict: Verdict, time: str) -> Object:
    """A kind's status in which `member` stands to the kind as `verdict` says."""
    entry: Object = {"name": member, "state": verdict.state}
    if verdict.message:
        entry["message"] = verdict.message[:MESSAGE_LENGTH]
    if verdict.pruned:
        entry["prunedFields"] = list(dict.fromkeys(path[:PATH_LENGTH] for path in verdict.pruned))
    before = {e["name"]: e for e in _entries(status)}
    return _with_entries(status, {**before, member: _dated(before.get(member), entry, time)}, time)


def with_silent(status: Mapping[str, Any], silent: Iterable[str], members: Iterable[str], time: str) -> Object:
    """A kind's status in which the `silent` are said to be; who is no member any more is silent, too, and then gone."""
    known, quiet = set(members), set(silent)
    entries: dict[str, Object] = {}
    for entry in _entries(status):
        name = entry["name"]
        if name not in known and entry["state"] == SILENT:
            continue
        if name in quiet or name not in known:
            entry = _dated(entry, {**entry, "state": SILENT, "message": SILENT_MESSAGE}, time)
        entries[name] = entry
    return _with_entries(status, entries, time)


def _dated(before: Object | None, entry: Object, time: str) -> Object:
    since = time
    if before is not None and before.get("state") == entry["state"]:
        since = before.get("lastTransitionTime", time)
    return {**entry, "lastTransitionTime": since}


def _entries(status: Mapping[str, Any]) -> list[Object]:
    return [e for e in status.get("members") or () if isinstance(e, dict)]


def _with_entries(status: Mapping[str, Any], entries: Mapping[str, Object], time: str) -> Object:
    if not entries and not _entries(status):
        return dict(status)
    ordered = [entries[name] for name in sorted(entries)]
    return with_conditions({**status, "members": ordered}, [kind_ready(ordered)], time)


def kind_ready(entries: Iterable[Mapping[str, Any]]) -> Condition:
    """The `Ready` condition of a kind, from the entries of its members in the order in which they are shown."""
    states = {e["name"]: e["state"] for e in entries}
    others = [name for name, state in states.items() if state != "Accepted"]
    if not others:
        return Condition(READY, True, "Accepted", "every member carries the kind")
    reason = next((state for state in _WORST_FIRST if state in states.values()), "Pending")
    return Condition(READY, False, reason, f"not carried by: {', '.join(others)}")


def failed_over(lost: str, seconds: float, processor: str, epoch: int) -> Condition:
    """Of a kind whose processor was named by no person. The message ends with the epoch that it is true of."""
    message = f"the syncer of {lost} was not heard of for {seconds:.0f} s: {processor} works on the kind, epoch {epoch}"
    return Condition(FAILED_OVER, True, "ProcessorLost", message)


def member_conditions(
    *,
    quarantine: str,
    known_hub: str,
    hub_uid: str,
    verdicts: Mapping[str, Verdict],
    unreadable: Mapping[str, str],
    refused: Mapping[str, str],
    faults: Collection[str],
    braked: Mapping[str, str],
    held_up: Mapping[str, str],
) -> list[Condition]:
    """All that this member says of itself; `Ready` is the worst that is known of it."""
    accepted = _hub_accepted(quarantine, known_hub, hub_uid)
    ready = _ready(verdicts, unreadable, refused, faults)
    if not accepted.status:
        ready = Condition(READY, False, accepted.reason, accepted.message)
    return [ready, accepted, _braked(braked), _held_up(held_up)]


def _held_up(held_up: Mapping[str, str]) -> Condition:
    if not held_up:
        return Condition(OBJECTS_HELD_UP, False, "NoneHeldUp", "no object is refused or waited for")
    first = sorted(held_up.items())[:NAMED_OBJECTS]
    told = "; ".join(f"{name}: {why[:WORDS_LENGTH]}" for name, why in first)
    more = f"; and {len(held_up) - len(first)} more" if len(held_up) > len(first) else ""
    return Condition(OBJECTS_HELD_UP, True, "RefusedOrWaiting", told + more)


def _braked(braked: Mapping[str, str]) -> Condition:
    if not braked:
        return Condition(DELETION_BRAKED, False, "WithinLimits", "no deletions are held back")
    told = "; ".join(f"{name}: {why}" for name, why in sorted(braked.items()))
    message = (
        f"the hub has given the names of many copies to objects of other clusters; they are kept until accepted: {told}"
    )
    return Condition(DELETION_BRAKED, True, "TooManyDeletions", message)


def _ready(
    verdicts: Mapping[str, Verdict],
    unreadable: Mapping[str, str],
    refused: Mapping[str, str],
    faults: Collection[str],
) -> Condition:
    for state, reason in (("Incompatible", "KindIncompatible"), ("Pending", "KindMissing")):
        told = [f"{name}: {verdict.message}" for name, verdict in sorted(verdicts.items()) if verdict.state == state]
        if told:
            return Condition(READY, False, reason, "; ".join(told))
    for problems, reason in ((unreadable, "KindUnreadable"), (refused, "MirrorRefused")):
        if problems:
            told = [f"{name}: {why}" for name, why in sorted(problems.items())]
            return Condition(READY, False, reason, "; ".join(told))
    if faults:
        return Condition(READY, False, "KindUnreachable", f"cannot follow {', '.join(faults)}")
    return Condition(READY, True, "Syncing", "every declared kind is synced")


def _hub_accepted(quarantine: str, known_hub: str, hub_uid: str) -> Condition:
    until = "own objects are announced, nothing is deleted and nothing comes down until the hub is accepted"
    if quarantine == "UnknownHub":
        message = f"this member knows a hub with uid {known_hub}, this one has {hub_uid}: {until}"
    elif quarantine:
        message = f"the hub has lost what this member knows of; it was restored from an older snapshot: {until}"
    else:
        return Condition(HUB_ACCEPTED, True, "Accepted", "the hub is the one that this member knows")
    return Condition(HUB_ACCEPTED, False, quarantine, message)
