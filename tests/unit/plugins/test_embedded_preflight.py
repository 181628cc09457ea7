# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a fabric is named, with field, value and fix, before anything is written."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _embedded_preflight as preflight_module
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import FOLDERS, State, write
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_preflight import BINARIES, preflight
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_supervisor import Supervisor
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import (
    Cluster,
    hub_problems,
    name_problem,
    parse_clusters,
)


@pytest.mark.parametrize("name", ["kcp", "east", "a", "eu-west-1", "4th", "x" * 40])
def test_good_names_are_taken(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "sense"),
    [
        ("East_1", "'East_1' is invalid: lower-case letters, digits and '-'"),
        ("x" * 41, r"too long \(41 characters\): at most 40"),
        ("x" * 64, r"too long \(64 characters\): at most 40"),
        ("-east", "'-east' is invalid"),
        ("east-", "'east-' is invalid"),
        ("east.eu", "'east.eu' is invalid"),
        ("east\n", "is invalid"),
        ("", "'' is invalid"),
        ("../east", "is invalid"),
        ("hub", "'hub' is reserved"),
        ("sync", "'sync' is reserved"),
    ],
)
def test_bad_names_are_named(name: str, sense: str) -> None:
    assert re.search(sense, name_problem(name) or "")


@pytest.mark.parametrize(
    ("port", "sense"),
    [
        (70000, "cluster_port 70000 of cluster 'east' is not in 1024-65535"),
        (0, "cluster_port 0 of cluster 'east' is not in 1024-65535"),
        (80, "cluster_port 80 "),
        (-1, "cluster_port -1 "),
        ("abc", "cluster_port 'abc' of cluster 'east' is not a whole number in 1024-65535"),
        ("37443.5", "'37443.5' of cluster 'east' is not a whole number"),
        (None, "'None' of cluster 'east' is not a whole number"),
        ("", "'' of cluster 'east' is not a whole number"),
    ],
)
def test_bad_ports_are_named_with_the_variable_that_sets_them(port: object, sense: str) -> None:
    clusters, problems = parse_clusters([{"name": "east", "port": port}])
    assert clusters == []
    assert len(problems) == 1
    assert re.search(sense, problems[0])
    assert "CONTROLLER_EAST_PORT" in problems[0]


def test_ports_come_as_numbers_or_as_text() -> None:
    assert parse_clusters([{"name": "a", "port": 37443}, {"name": "b", "port": " 37444 "}]) == (
        [Cluster("a", 37443), Cluster("b", 37444)],
        [],
    )


def test_one_port_for_two_clusters_names_both() -> None:
    _, problems = parse_clusters([{"name": "east", "port": 37444}, {"name": "eu-west", "port": "37444"}])
    assert len(problems) == 1
    assert "37444 is used by both 'east' and 'eu-west'" in problems[0]
    assert "CONTROLLER_EU_WEST_PORT" in problems[0]


def test_every_problem_is_reported_not_only_the_first() -> None:
    entries: list[dict[str, object]] = [{"name": "East_1", "port": 1}, {"name": "west", "port": 1}]
    assert len(parse_clusters(entries)[1]) == 2


@pytest.mark.parametrize(
    ("hubs", "members", "sense"),
    [
        ([], ["east"], "exactly one host must be in the inventory group 'hub', got 0: none"),
        (["a", "b"], [], "got 2: a, b"),
        (["kcp"], ["kcp"], "'kcp' is in both groups"),
    ],
)
def test_there_is_one_hub_and_it_is_no_member(hubs: list[str], members: list[str], sense: str) -> None:
    assert any(sense in problem for problem in hub_problems(hubs, members))


def test_a_good_inventory_has_no_problem() -> None:
    assert list(hub_problems(["kcp"], ["east", "west"])) == []


# -- the machine ------------------------------------------------------------------------------------------------


@pytest.fixture
def binaries(tmp_path: Path) -> str:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in BINARIES:
        (folder / name).touch(mode=0o755)
    return str(folder)


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def problems(root: Path, port: int, binaries: str | None) -> list[str]:
    state = State(str(root))
    return preflight([Cluster("east", port)], state, Supervisor(state), binaries)


def test_a_good_machine_has_no_problem_and_nothing_is_written(tmp_path: Path, port: int, binaries: str) -> None:
    assert problems(tmp_path / "a" / "state", port, binaries) == []
    assert not (tmp_path / "a").exists()


def test_a_port_in_use_is_named_with_its_holder(tmp_path: Path, taken: int, binaries: str) -> None:
    found = problems(tmp_path / "state", taken, binaries)
    assert len(found) == 1
    assert f"port {taken} of cluster 'east' is in use by another process (pid {os.getpid()}, " in found[0]
    assert "CONTROLLER_EAST_PORT" in found[0]


def test_a_port_of_another_cluster_is_refused_whether_that_runs_or_not(
    tmp_path: Path, port: int, taken: int, binaries: str
) -> None:
    state = State(str(tmp_path / "state"))
    state.claim()
    for name, used in (("north", port), ("west", taken)):
        write(state.plane(name) / "plane.json", json.dumps({"cluster": name, "port": used}))
    for name, used in (("north", port), ("west", taken)):
        (found,) = problems(state.root, used, binaries)
        assert f"port {used} of cluster 'east' is that of cluster '{name}'; set cluster_port of host 'east'" in found


def test_a_server_of_another_cluster_holds_no_port_for_this_one(
    tmp_path: Path, taken: int, binaries: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(str(tmp_path / "state"))
    supervisor = Supervisor(state)
    west = {"plane-west-apiserver": {"pid": os.getpid()}}
    monkeypatch.setattr(supervisor, "processes", lambda: west)
    clusters = [Cluster("north", taken), Cluster("west", 1024)]
    (found,) = preflight(clusters, state, supervisor, binaries)
    assert f"port {taken} of cluster 'north' is in use by another process" in found
    assert preflight([Cluster("west", taken)], state, supervisor, binaries) == []


def test_a_missing_binary_is_named(tmp_path: Path, port: int, binaries: str) -> None:
    os.unlink(f"{binaries}/kube-apiserver")
    os.chmod(f"{binaries}/etcd", 0o644)
    found = problems(tmp_path / "state", port, binaries)
    assert [problem.split()[0] for problem in found] == ["etcd", "kube-apiserver"]


def test_a_state_directory_that_is_a_file(tmp_path: Path, port: int, binaries: str) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"{tmp_path / 'file'} is a file" in problems(root, port, binaries)[0]


def test_somebody_elses_directory_is_not_taken(tmp_path: Path, port: int, binaries: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    found = problems(tmp_path / "home", port, binaries)
    assert "has no ownership marker and is not empty (thesis.tex)" in found[0]


@pytest.mark.parametrize("name", FOLDERS)
def test_somebody_elses_folder_of_a_name_like_ours_is_not_taken(
    tmp_path: Path, port: int, binaries: str, name: str
) -> None:
    root = tmp_path / "project"
    (root / name).mkdir(parents=True)
    assert problems(root, port, binaries) == [], "an empty one is nobody's"
    (root / name / "app.log").touch()
    assert f"has no ownership marker and is not empty ({name})" in problems(root, port, binaries)[0]


def test_a_directory_that_lost_its_marker_is_taken_again(tmp_path: Path, port: int, binaries: str) -> None:
    for name, signs in FOLDERS.items():
        path = tmp_path / "state" / name / signs[0].replace("*", "east")
        path.parent.mkdir(parents=True)
        path.touch()
    assert State(str(tmp_path / "state")).foreign() == []


def test_somebody_elses_plane_is_not_taken(tmp_path: Path, port: int, binaries: str) -> None:
    state = State(str(tmp_path / "state"))
    state.claim()
    state.plane("east").mkdir(parents=True)
    (state.plane("east") / "data").touch()
    assert "planes/east has no ownership marker" in problems(state.root, port, binaries)[0]


def test_a_full_disk_is_named(tmp_path: Path, port: int, binaries: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    full = os.statvfs_result((*real[:4], 10, *real[5:]))  # f_bavail
    monkeypatch.setattr(preflight_module.os, "statvfs", lambda path: full)
    found = problems(tmp_path / "state", port, binaries)
    assert any("No space left: 0 MB free, 200 MB needed for 1 new control plane(s)" in problem for problem in found)


def test_a_read_only_disk_is_named(tmp_path: Path, port: int, binaries: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module.os, "access", lambda path, mode: Path(path).name in BINARIES)
    assert f"{tmp_path} is not writable; set tmc_state_dir" in problems(tmp_path / "state", port, binaries)[0]


@pytest.mark.parametrize("name", ["a*b", "a%b", "a[b]", "a;b", "a\nb", "a:b"])
def test_a_path_that_programs_cannot_carry_is_refused(tmp_path: Path, port: int, binaries: str, name: str) -> None:
    assert "tmc_state_dir" in problems(tmp_path / name, port, binaries)[0]
