# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Which epoch a processor works under, from what ConfigMap and SyncedResource remember."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _fence, _policy
from ansible_collections.tmc.cross_cluster.plugins.module_utils._fence import Term

EPOCHS = [
    ("nothing is known", [], 1),
    ("it works already", [Term("west", 3), Term("west", 3)], 3),
    ("another works", [Term("east", 3), Term("east", 3)], 4),
    ("its move was interrupted", [Term("west", 4), Term("east", 3)], 4),
    ("the move of another was interrupted", [Term("east", 4), Term("west", 3)], 5),
    ("the two disagree on one term", [Term("west", 3), Term("east", 3)], 4),
    ("only one remembers", [Term("west", 3)], 3),
    ("only one remembers, and another worked", [Term("east", 3)], 4),
]


@pytest.mark.parametrize(("known", "epoch"), [pytest.param(*row[1:], id=row[0]) for row in EPOCHS])
def test_the_epoch_of_west(known: list[Term], epoch: int) -> None:
    assert _fence.epoch_for("west", known) == epoch


@pytest.mark.parametrize(
    "data", [None, {}, {"processor": "west"}, {"processor": "west", "epoch": "-1"}, {"epoch": "1"}]
)
def test_a_config_map_that_cannot_be_read_holds_no_term(data: Any) -> None:
    assert _fence.of_config_map({"data": data}) == []


def test_an_empty_text_must_be_there() -> None:
    """Without the key `statusWriters` the expressions of the policies fail, and everything is denied."""
    wanted = _policy.parameters("k", {"processor": "west", "epoch": 12, "statusWriters": []})
    live = {"metadata": wanted["metadata"], "data": dict(wanted["data"])}
    assert wanted["data"] == {"processor": "west", "epoch": "12", "statusWriters": ""}
    assert _fence.holds(live, wanted)
    del live["data"]["statusWriters"]
    assert not _fence.holds(live, wanted)


def test_what_is_read_is_what_was_written() -> None:
    made = _policy.parameters("k", {"processor": "west", "epoch": 12})
    assert _fence.of_config_map(made) == [Term("west", 12)]
