# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind clusters lack on this machine is named, with the fix, before anything is started."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kind_preflight as preflight
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import (
    EngineFacts,
    KindError,
    first_that_answers,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_nodes import Found


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH: an engine is what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("script", "sense"),
    [
        ("echo 'Cannot connect to the Docker daemon at unix:///x' >&2; exit 1", "its engine does not run: start it"),
        ("echo 'dial unix /x: connect: permission denied' >&2; exit 1", "no permission on the socket of docker"),
        ('echo \'{"ServerErrors": ["Cannot connect to the Docker daemon"]}\'', "its engine does not run: start it"),
        ("echo something else >&2; exit 1", "something else"),
        ("echo nonsense", "does not answer with JSON"),
    ],
)
def test_an_engine_that_does_not_answer_is_explained(programs: Path, script: str, sense: str) -> None:
    program(programs, "docker", script)
    with pytest.raises(KindError, match=sense) as caught:
        first_that_answers()
    assert "podman is not installed" in str(caught.value)


def test_podman_is_taken_where_docker_does_not_answer(programs: Path) -> None:
    program(programs, "docker", "exit 1")
    told = {"host": {"memTotal": 5, "os": "linux"}, "store": {"graphRoot": "/"}}
    program(programs, "podman", f"echo '{json.dumps(told)}'")
    engine, facts = first_that_answers()
    assert (engine.name, facts) == ("podman", EngineFacts(5, "/", "linux"))


def test_the_engine_that_is_asked_for_is_the_only_one(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(programs, "docker", "echo '{}'")
    assert first_that_answers()[0].name == "docker"
    with pytest.raises(KindError, match="podman is not installed"):
        first_that_answers("podman")
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "nerdctl")
    with pytest.raises(KindError, match="'nerdctl' is not supported; allowed: docker, podman"):
        first_that_answers()


def test_a_port_that_is_taken_is_named_with_its_variable() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        clusters, absent = [Cluster("eu-west", port)], {"eu-west": Found("absent")}
        assert f"port {port} of cluster 'eu-west'" in (told := "".join(preflight.port_problems(clusters, absent)))
        assert "CONTROLLER_EU_WEST_PORT" in told
    assert list(preflight.port_problems(clusters, absent)) == []


def test_limits_that_are_too_low_are_named_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "max_user_instances").write_text("128\n")
    (tmp_path / "max_user_watches").write_text("8192\n")
    told = list(preflight.inotify_problems(5, "", tmp_path))
    assert "fs.inotify.max_user_instances is 128, 5 cluster(s) need 150" in told[0]
    assert "sudo sysctl fs.inotify.max_user_instances=512" in told[0]
    assert "max_user_watches" in told[1]
    assert len(list(preflight.inotify_problems(3, "", tmp_path))) == 1
    assert list(preflight.inotify_problems(5, "", tmp_path / "not linux")) == []


def test_room_counts_only_for_new_clusters_and_can_be_skipped(tmp_path: Path) -> None:
    little = EngineFacts(memory=1 << 30, root="/not/here")
    told = list(preflight.room_problems(little, 3, 0, []))
    assert "1024 MB of memory are free for containers, 2100 MB are needed for 3 new cluster(s)" in told[0]
    assert "'memory' to control_planes_kind_skip_checks" in told[0]
    assert list(preflight.room_problems(little, 3, 0, ["memory"])) == []
    assert list(preflight.room_problems(little, 0, 3, [])) == []


def test_disk_is_looked_at_where_the_engine_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "NODE_DISK", 1 << 60)
    facts = EngineFacts(root=str(tmp_path))
    assert f"are free in {tmp_path}" in "".join(preflight.room_problems(facts, 1, 0, ["memory", "inotify"]))
    assert not list(preflight.room_problems(facts, 1, 0, ["memory", "inotify", "disk"]))
