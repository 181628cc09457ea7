# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of a fabric: those of a fresh one are the documented ones, and no cluster moves when hosts come and go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tmc.cross_cluster.plugins.filter.cluster_ports import cluster_ports
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_state import config_text


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KCP", "EAST", "NORTH", "WEST", "SOUTH", "EU_WEST"):
        monkeypatch.delenv(f"CONTROLLER_{name}_PORT", raising=False)


def embedded(state: Path, **ports: int) -> None:
    for name, port in ports.items():
        (state / "planes" / name).mkdir(parents=True)
        (state / "planes" / name / "plane.json").write_text(json.dumps({"cluster": name, "port": port}))


def kind(state: Path, **ports: int) -> None:
    (state / "kind").mkdir(parents=True)
    for name, port in ports.items():
        (state / "kind" / f"{name}.owner").touch()
        (state / "kind" / f"{name}.json").write_text(config_text(Cluster(name, port), state, [], []))


def chosen(state: Path, *clusters: str, **set_ports: Any) -> dict[str, Any]:
    hostvars: dict[str, dict[str, Any]] = {name: {} for name in clusters}
    hostvars |= {name: {"cluster_port": port} for name, port in set_ports.items()}
    return cluster_ports(list(clusters), hostvars, str(state))


def test_a_fresh_fabric_has_the_documented_ports(tmp_path: Path) -> None:
    assert chosen(tmp_path, "kcp", "east", "west", "south") == {
        "kcp": 37443,
        "east": 37444,
        "west": 37445,
        "south": 37446,
    }


@pytest.mark.parametrize("make", [embedded, kind])
def test_a_host_in_the_midst_moves_nobody(tmp_path: Path, make: Any) -> None:
    make(tmp_path, kcp=37443, east=37444, west=37445)
    assert chosen(tmp_path, "kcp", "east", "north", "west", "south") == {
        "kcp": 37443,
        "east": 37444,
        "north": 37446,
        "west": 37445,
        "south": 37447,
    }


@pytest.mark.parametrize("make", [embedded, kind])
def test_a_host_that_went_moves_nobody_and_keeps_its_port_while_its_cluster_lives(tmp_path: Path, make: Any) -> None:
    make(tmp_path, kcp=37443, east=37444, west=37445)
    assert chosen(tmp_path, "kcp", "west", "north") == {"kcp": 37443, "west": 37445, "north": 37446}


def test_one_cluster_after_another_gets_what_all_at_once_get(tmp_path: Path) -> None:
    names, ports = ("kcp", "east", "north", "west", "south"), {}
    embedded(tmp_path, kcp=37443, east=37444, west=37445)
    for name in ("south", "north"):
        ports[name] = chosen(tmp_path, *names)[name]
        embedded(tmp_path, **{name: ports[name]})
    assert ports == {"south": 37447, "north": 37446}


def test_what_is_set_counts_and_leaves_the_others_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTROLLER_EU_WEST_PORT", "40000")
    monkeypatch.setenv("CONTROLLER_EAST_PORT", "40001")
    embedded(tmp_path, east=37444)
    assert chosen(tmp_path, "kcp", "eu-west", "east", "west", "south", east=37446, south=" 37500 ") == {
        "kcp": 37443,
        "eu-west": "40000",
        "east": "37446",
        "west": 37447,
        "south": "37500",
    }


def test_what_cannot_be_a_port_is_handed_on_to_be_refused(tmp_path: Path) -> None:
    assert chosen(tmp_path, "kcp", "east", "west", kcp=0, east="abc") == {"kcp": "0", "east": "abc", "west": 37445}


def test_a_file_that_tells_no_port_is_named(tmp_path: Path) -> None:
    embedded(tmp_path, east=37444)
    path = tmp_path / "planes" / "east" / "plane.json"
    path.write_text("{}")
    with pytest.raises(AnsibleFilterError, match=f"{path} tells no port"):
        chosen(tmp_path, "kcp", "east")
