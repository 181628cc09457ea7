# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a container is, and how far its cluster got: nothing that is not ours is ever taken for ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import CLUSTER_LABEL, Engine
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_nodes import judge, parse_node
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_state import OWNER_IN_NODE, KindState


@pytest.fixture
def kind(tmp_path: Path) -> KindState:
    return KindState(State(str(tmp_path / "state")))


def document(owner: str, status: str = "running", name: str = "controller-east-control-plane") -> dict[str, Any]:
    """What docker's inspect prints, as far as it is read."""
    return {
        "Id": "1234",
        "Name": f"/{name}",
        "State": {"Status": status},
        "Config": {"Image": "kindest/node:v1", "Labels": {CLUSTER_LABEL: "controller-east"}},
        "HostConfig": {
            "Binds": ["/lib/modules:/lib/modules:ro", *([f"{owner}:{OWNER_IN_NODE}:ro"] if owner else [])],
            "PortBindings": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "37444"}]},
        },
    }


class Said(Engine):
    """An engine whose nodes say that they are whole, or not."""

    def __init__(self, answer: str) -> None:
        super().__init__("docker")
        self.answer = answer

    def shell(self, container: str, script: str) -> str:
        return self.answer


def stage(kind: KindState, *documents: dict[str, Any], says: str = "whole\n") -> str:
    return judge(Said(says), kind, "east", [parse_node(one) for one in documents]).stage


def test_stages_of_our_own(kind: KindState) -> None:
    owner = str(kind.owner("east"))
    assert stage(kind) == "absent"
    assert stage(kind, document(owner)) == "whole"
    assert stage(kind, document(owner), says="half\n") == "half-made"
    assert stage(kind, document(owner, "created")) == "half-made"
    assert stage(kind, document(owner, "exited")) == "stopped"
    assert stage(kind, document(owner, "paused")) == "stopped"


@pytest.mark.parametrize("owner", ["", "/somebody/else/kind/east.owner", "{own}.d", "/prefix{own}"])
def test_what_has_not_our_mark_is_foreign(kind: KindState, owner: str) -> None:
    assert stage(kind, document(owner.replace("{own}", str(kind.owner("east"))))) == "foreign"


def test_the_mark_of_another_cluster_of_ours_does_not_count(kind: KindState) -> None:
    assert stage(kind, document(str(kind.owner("west")))) == "foreign"


def test_one_foreign_container_among_ours_makes_the_cluster_foreign(kind: KindState) -> None:
    assert stage(kind, document(str(kind.owner("east"))), document("")) == "foreign"


def test_a_container_of_that_name_that_is_no_kind_node_is_foreign(kind: KindState) -> None:
    plain = document("")
    plain["Config"]["Labels"] = None
    assert stage(kind, plain) == "foreign"


def test_a_cluster_of_another_name_is_nothing_to_us(kind: KindState) -> None:
    other = document("", name="other-control-plane")
    other["Config"]["Labels"] = {CLUSTER_LABEL: "other"}
    assert stage(kind, other) == "absent"


def test_podman_tells_the_same_in_other_words(kind: KindState) -> None:
    owner = str(kind.owner("east"))
    node = parse_node(
        {
            "Id": "1234",
            "Name": "controller-east-control-plane",
            "State": {"Status": "running"},
            "ImageName": "kindest/node:v1",
            "Config": {"Labels": {CLUSTER_LABEL: "controller-east"}},
            "HostConfig": {
                "Binds": [f"{owner}:{OWNER_IN_NODE}:ro,rprivate,rbind"],
                "PortBindings": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "37444"}]},
            },
        }
    )
    assert (node.owner, node.port, node.image, node.running) == (owner, 37444, "kindest/node:v1", True)


def test_a_mount_counts_where_the_engine_does_not_tell_what_was_asked_for(kind: KindState) -> None:
    told = document("")
    told["HostConfig"] = {}
    told["Mounts"] = [{"Destination": OWNER_IN_NODE, "Source": str(kind.owner("east"))}]
    assert stage(kind, told) == "whole"
