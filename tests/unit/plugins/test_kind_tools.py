# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which node image the action kind_tools settles on, with an engine of paper."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.action import kind_tools
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import Engine, KindError

OWN = "kindest/node:v1.36.0@sha256:aa"
LISTED = (
    "localhost/tmc:1\nlab/node:v1.35.4\nkindest/node:<none>\nlab/node-exporter:v1.9\nold/node:v1.30.0\n<none>:<none>\n"
)


class Offline(Engine):
    """It has what `listed` says, and can pull nothing."""

    listed = LISTED

    def run(self, *arguments: str, seconds: float = 1.0) -> str:
        if arguments[0] == "images":
            return self.listed
        raise KindError(f"{' '.join(arguments[:1])}: no such host")


@pytest.fixture
def settle(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(kind_tools, "own_image", lambda _program: OWN)
    action = kind_tools.ActionModule.__new__(kind_tools.ActionModule)
    action._task = SimpleNamespace(check_mode=False)

    def run(engine: Engine, wanted: str = "") -> tuple[bool, str]:
        found = {"kind": "/kind", "node_image": ""}
        return action._image(engine, wanted, found), found["node_image"]

    return run


def test_images_are_found_by_the_end_of_their_name() -> None:
    assert Offline("docker").images_called("node") == ["lab/node:v1.35.4", "kindest/node:<none>", "old/node:v1.30.0"]


def test_where_kinds_own_cannot_be_pulled_one_that_is_there_is_taken(settle: Any) -> None:
    assert settle(Offline("docker")) == (False, "lab/node:v1.35.4")


def test_one_that_was_asked_for_is_not_replaced(settle: Any) -> None:
    with pytest.raises(KindError, match="TMC_KIND_NODE_IMAGE"):
        settle(Offline("docker"), "mine/node:v1.34.0")


def test_without_any_it_says_what_to_do(settle: Any) -> None:
    bare = Offline("docker")
    bare.listed = "python:3.11\n"
    with pytest.raises(KindError, match="cannot pull it"):
        settle(bare)
