# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A hub whose store is put back to an older snapshot, under its old identity, loses nobody's objects."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import MEMBER, SYNCED_RESOURCE, TASK_QUEUE
from tests.integration.admission_lab import LEASE, eventually, refusal
from tests.integration.module_pair import Pair, queue
from tests.integration.throwaway_plane import Plane, process

KIND = "taskqueues.demo.tmc.io"
Object = dict[str, Any]


class Syncer:
    """The syncer of member west as a process, which can be killed and started again."""

    def __init__(self, pair: Pair) -> None:
        credentials = pair.folder / "credentials"
        self._logs = (pair.folder / f"syncer-{start}.log" for start in itertools.count(1))
        self._command = (
            *(Path(sys.executable).parent / "tmc", "syncer", "--member=west", "--hub=kcp", "--sync-interval=2s"),
            *(f"--kubeconfig={credentials / 'local.kubeconfig'}", f"--hub-kubeconfig={credentials / 'hub.kubeconfig'}"),
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        with process(next(self._logs), *self._command) as child:
            yield
            child.kill()


@pytest.fixture
def joined(pair: Pair) -> Pair:
    """West is a member; the kind is declared; the hub itself works on it."""
    pair.run("member", **pair.join())
    for place in ({}, {"cluster_name": "west", "role": "member", "kubeconfig": pair.member_file}):
        pair.run("synced_resource", **pair.declare(processor="kcp", **place))
    return pair


def has(client: Client, name: str) -> bool:
    found = refusal(lambda: client.list(TASK_QUEUE)) is None and client.get(TASK_QUEUE, name, "default")
    return bool(found) and not found["metadata"].get("deletionTimestamp")


def create(client: Client, name: str) -> None:
    body = queue(name) | {"apiVersion": TASK_QUEUE.api_version, "kind": TASK_QUEUE.kind}
    body["metadata"]["namespace"] = "default"
    client.create(TASK_QUEUE, body)


def condition(pair: Pair, kind: str = "HubAccepted") -> tuple[str, str]:
    conditions = ((pair.hub.get(MEMBER, "west") or {}).get("status") or {}).get("conditions") or []
    return next(((c["status"], c["reason"]) for c in conditions if c["type"] == kind), ("", ""))


def accepted(pair: Pair) -> bool:
    return refusal(lambda: pair.hub.list(MEMBER)) is None and condition(pair) == ("True", "Accepted")


def restored(pair: Pair) -> bool:
    return refusal(lambda: pair.hub.list(MEMBER)) is None and condition(pair) == ("False", "HubRestored")


def lease_version(pair: Pair) -> int:
    """Of the syncer's Lease on the hub: a hub that loses nothing that was heard of has not gone back."""
    lease = pair.hub.get(LEASE, "syncer-west", "tmc-system") or {"metadata": {"resourceVersion": 0}}
    return int(lease["metadata"]["resourceVersion"])


def remembered(pair: Pair) -> int:
    lease = pair.member.get(LEASE, "tmc-syncer", "default") or {"metadata": {}}
    return int((lease["metadata"].get("annotations") or {}).get("tmc.io/hub-version", 0))


@pytest.mark.parametrize("away", [False, True], ids=["while the syncer runs", "while the syncer is away"])
def test_a_hub_that_went_back_is_quarantined_until_it_is_accepted(
    joined: Pair, hub_plane: Plane, tmp_path: Path, away: bool
) -> None:
    pair, syncer, names = joined, Syncer(joined), Names(away)
    with ExitStack() as running:
        first = running.enter_context(ExitStack())
        first.enter_context(syncer.running())
        create(pair.member, names.old)
        eventually(lambda: has(pair.hub, names.old), "an object of the member is on the hub")
        eventually(lambda: accepted(pair), "the hub is trusted")
        hub_plane.save(tmp_path / "snapshot")
        saved = lease_version(pair)
        create(pair.member, names.ours)
        create(pair.hub, names.theirs)
        eventually(lambda: has(pair.hub, names.ours) and has(pair.member, names.theirs), "both are everywhere")
        eventually(lambda: lease_version(pair) > saved, "the syncer has renewed its Lease since")
        if away:
            first.close()
            before = remembered(pair)
            first.enter_context(syncer.running())  # what is known is kept at the begin of a term
            eventually(lambda: accepted(pair) and remembered(pair) > before, "a later term is remembered")
            first.close()
        hub_plane.restore(tmp_path / "snapshot")
        if away:
            first.enter_context(syncer.running())
        eventually(lambda: restored(pair), "the hub is not trusted any more")
        eventually(lambda: has(pair.hub, names.ours), "the member's own object is announced again")
        assert has(pair.member, names.old)
        assert has(pair.member, names.theirs), "what the hub has lost stays on the member"
        first.close()
        first.enter_context(syncer.running())
        create(pair.member, names.later)
        eventually(lambda: has(pair.hub, names.later), "a syncer that starts anew announces")
        assert restored(pair), "and trusts the hub no more than the one before it"
        marked = (pair.member.get(SYNCED_RESOURCE, KIND) or {})["metadata"]["annotations"]["tmc.io/hub-uid"]
        assert ":" in marked
        done = pair.run("hub_acceptance", kubeconfig=pair.member_file, hub_kubeconfig=pair.hub_file)
        assert (done["changed"], done["reason"]) == (True, "HubRestored")
        eventually(lambda: accepted(pair), "the hub is trusted again")
        create(pair.hub, names.after)
        eventually(lambda: has(pair.member, names.after), "what the hub has comes down again")
        assert all(has(pair.member, name) for name in (names.old, names.ours, names.theirs, names.later))


class Names:
    """Of the objects of one case."""

    def __init__(self, away: bool) -> None:
        suffix = "away" if away else "there"
        self.old, self.ours, self.theirs, self.later, self.after = (
            f"{what}-{suffix}" for what in ("old", "ours", "theirs", "later", "after")
        )
