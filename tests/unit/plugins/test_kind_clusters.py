# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module kind_clusters against an engine of paper: what it asks for, what it touches, what it leaves alone."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.modules import kind_clusters
from tests.integration.conftest import free_ports
from tests.unit.plugins.running import Ended, run_module


@dataclass
class Lab:
    """A fake engine and the options that the module is called with."""

    root: Path
    options: dict[str, Any]
    monkeypatch: pytest.MonkeyPatch

    def run(self, **changes: Any) -> Ended:
        return run_module(self.monkeypatch, "kind_clusters", **{**self.options, **changes})

    def calls(self, beginning: str) -> list[str]:
        return [line for line in (self.root / "calls").read_text().splitlines() if line.startswith(beginning)]

    def containers(self) -> dict[str, Path]:
        return {json.loads(path.read_text())["Name"]: path for path in self.root.glob("*.container")}

    def edit(self, name: str, **changes: Any) -> None:
        path = self.containers()[name]
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def stranger(self, name: str, labels: dict[str, str]) -> None:
        document = {"Id": name, "Name": name, "State": {"Status": "running"}, "Config": {"Labels": labels}}
        (self.root / f"{name}.container").write_text(json.dumps(document))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    programs, root = tmp_path / "bin", tmp_path / "engine"
    programs.mkdir()
    root.mkdir()
    script = (
        Path(__file__)
        .with_name("fake_engine.py")
        .read_text()
        .replace("#!/usr/bin/env python3", f"#!{sys.executable}", 1)
    )
    for name in ("docker", "kind"):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    (root / "info").write_text(json.dumps({"MemTotal": 64 << 30, "OperatingSystem": "Docker Desktop"}))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_ENGINE", str(root))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "mine"))
    monkeypatch.setattr(kind_clusters, "wait_ready", lambda paths, _seconds: dict.fromkeys(paths, 0.5))
    kcp, east = free_ports(2)
    options = {
        "state_dir": str(tmp_path / "state"),
        "engine": "docker",
        "kind": str(programs / "kind"),
        "node_image": "node:v1",
        "clusters": [{"name": "kcp", "port": kcp}, {"name": "east", "port": east}],
    }
    return Lab(root, options, monkeypatch)


def did(ended: Ended) -> dict[str, str]:
    assert not ended.failed, ended.result["msg"]
    return {name: one["did"] for name, one in ended.result["clusters"].items()}


def test_clusters_are_created_once(lab: Lab, tmp_path: Path) -> None:
    first = lab.run()
    assert first.result["changed"]
    assert did(first) == {"kcp": "created", "east": "created"}
    assert set(lab.containers()) == {"controller-kcp-control-plane", "controller-east-control-plane"}
    assert all("--retain" in call and "--image node:v1" in call for call in lab.calls("kind create"))
    kubeconfig = tmp_path / "state" / "kubeconfigs" / "controller-east.kubeconfig"
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(kubeconfig.read_text())["current-context"] == "kind-controller-east"
    second = lab.run()
    assert not second.result["changed"]
    assert did(second) == {"kcp": "", "east": ""}
    assert len(lab.calls("kind create")) == 2


def test_check_mode_only_looks(lab: Lab, tmp_path: Path) -> None:
    ended = lab.run(_ansible_check_mode=True, kind=None)
    assert ended.result["changed"]
    assert ended.result["diff"]["before"] == {"kcp": "absent", "east": "absent"}
    assert not lab.calls("kind")
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "mine").exists()


def test_the_clusters_of_a_failed_run_are_made_anew(lab: Lab) -> None:
    (lab.root / "break-controller-east").touch()
    failed = lab.run()
    assert failed.failed
    assert "creating cluster 'east' ended with code 1" in failed.result["msg"]
    assert "kubeadm said no" in failed.result["msg"]
    assert "controller-east-control-plane" in lab.containers(), "kept for a look"
    (lab.root / "break-controller-east").unlink()
    assert did(lab.run()) == {"kcp": "", "east": "made anew"}
    assert did(lab.run()) == {"kcp": "", "east": ""}


def test_a_stopped_node_is_started(lab: Lab) -> None:
    lab.run()
    lab.edit("controller-east-control-plane", State={"Status": "exited"})
    assert did(lab.run()) == {"kcp": "", "east": "started"}
    assert len(lab.calls("docker start")) == 1


def test_a_node_that_was_stopped_half_made_is_made_anew(lab: Lab) -> None:
    lab.run()
    lab.edit("controller-east-control-plane", State={"Status": "exited"}, complete=False)
    assert did(lab.run()) == {"kcp": "", "east": "made anew"}


@pytest.mark.parametrize("labels", [{}, {"io.x-k8s.kind.cluster": "controller-east"}])
def test_a_foreign_cluster_is_refused_before_anything_is_changed(
    lab: Lab, tmp_path: Path, labels: dict[str, str]
) -> None:
    lab.stranger("controller-east-control-plane", labels)
    ended = lab.run()
    assert ended.failed
    assert "this collection did not make it" in ended.result["msg"]
    assert not lab.calls("kind create")
    assert not (tmp_path / "state").exists()
    assert not lab.run(state="absent", clusters=None).failed
    assert not lab.run(state="absent").failed
    assert "controller-east-control-plane" in lab.containers()


def test_a_cluster_of_another_state_directory_is_foreign(lab: Lab, tmp_path: Path) -> None:
    lab.run()
    other = lab.run(state_dir=str(tmp_path / "other"))
    assert other.failed
    assert f"it belongs to {tmp_path / 'state'}" in other.result["msg"]
    assert not lab.run(state_dir=str(tmp_path / "other"), state="absent").result["changed"]
    assert len(lab.containers()) == 2


def test_a_cluster_cannot_move_to_another_port(lab: Lab) -> None:
    lab.run()
    port = free_ports(1)[0]
    ended = lab.run(clusters=[{"name": "east", "port": port}])
    assert ended.failed
    assert "CONTROLLER_EAST_PORT" in ended.result["msg"]
    assert "a kind cluster cannot move" in ended.result["msg"]


def test_absent_removes_all_of_ours_and_nothing_else(lab: Lab, tmp_path: Path) -> None:
    mine = {"contexts": [{"name": "work", "context": {}}], "current-context": "work"}
    (tmp_path / "mine").write_text(yaml.safe_dump(mine))
    lab.stranger("other-control-plane", {"io.x-k8s.kind.cluster": "other"})
    lab.run()
    merged = yaml.safe_load((tmp_path / "mine").read_text())
    assert [one["name"] for one in merged["contexts"]] == ["work", "kind-controller-kcp", "kind-controller-east"]
    assert merged["current-context"] == "work"

    assert lab.run(state="absent", clusters=None, _ansible_check_mode=True).result["changed"]
    assert len(lab.containers()) == 3
    assert lab.run(state="absent", clusters=None).result["changed"]
    assert set(lab.containers()) == {"other-control-plane"}
    assert not (tmp_path / "state").exists()
    left = yaml.safe_load((tmp_path / "mine").read_text())
    assert left["contexts"] == mine["contexts"]
    assert left["current-context"] == "work"
    assert not lab.run(state="absent", clusters=None).result["changed"]


def test_absent_leaves_alone_what_is_nobodys(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "state" / "logs").mkdir(parents=True)
    (tmp_path / "state" / "logs" / "app.log").touch()
    ended = lab.run(state="absent", clusters=None)
    assert ended.failed
    assert "has no ownership marker; nothing removed" in ended.result["msg"]
    assert (tmp_path / "state" / "logs" / "app.log").exists()


def test_a_part_of_the_clusters_can_go(lab: Lab, tmp_path: Path) -> None:
    lab.run()
    ended = lab.run(state="absent", clusters=[{"name": "east"}])
    assert not ended.failed
    assert set(lab.containers()) == {"controller-kcp-control-plane"}
    assert not (tmp_path / "state" / "kubeconfigs" / "controller-east.kubeconfig").exists()
    assert did(lab.run()) == {"kcp": "", "east": "created"}


def test_clusters_whose_state_directory_was_removed_are_still_ours(lab: Lab, tmp_path: Path) -> None:
    lab.run()
    os.rename(tmp_path / "state", tmp_path / "lost")
    assert did(lab.run()) == {"kcp": "", "east": ""}
    os.rename(tmp_path / "state", tmp_path / "lost again")
    assert lab.run(state="absent").result["changed"]
    assert not lab.containers()


def test_without_an_engine_there_is_nothing_to_remove(lab: Lab) -> None:
    lab.monkeypatch.setenv("PATH", "/nowhere")
    assert not lab.run(state="absent").result["changed"]
    ended = lab.run()
    assert ended.failed
    assert "docker is not installed" in ended.result["msg"]


def test_clusters_that_cannot_be_removed_are_named(lab: Lab) -> None:
    lab.run()
    lab.monkeypatch.setenv("PATH", "/nowhere")
    ended = lab.run(state="absent", clusters=None)
    assert ended.failed
    assert "kind clusters east, kcp cannot be removed" in ended.result["msg"]


def test_the_users_kubeconfig_is_left_alone_when_asked(lab: Lab, tmp_path: Path) -> None:
    assert not lab.run(user_kubeconfig=False).failed
    assert not (tmp_path / "mine").exists()


def test_all_problems_are_named_at_once(lab: Lab) -> None:
    ended = lab.run(clusters=[{"name": "East", "port": 1}, {"name": "west", "port": "x"}], wait_timeout=0)
    assert ended.failed
    assert len(ended.result["problems"]) == 3


def test_planes_of_another_provider_are_not_mixed_in(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "state" / "planes" / "kcp").mkdir(parents=True)
    (tmp_path / "state" / ".tmc-cross-cluster").write_text('{"owner": "tmc.cross_cluster"}')
    ended = lab.run()
    assert ended.failed
    assert "holds embedded control planes (kcp)" in ended.result["msg"]


def test_patches_go_into_the_configuration_and_a_change_is_told(lab: Lab, tmp_path: Path) -> None:
    lab.run(kubeadm_patches=["kind: ClusterConfiguration"], containerd_patches=["[plugins]"])
    config = json.loads((tmp_path / "state" / "kind" / "east.json").read_text())
    assert config["kubeadmConfigPatches"] == ["kind: ClusterConfiguration"]
    assert config["containerdConfigPatches"] == ["[plugins]"]
    assert config["networking"]["apiServerAddress"] == "127.0.0.1"
    warned: list[str] = []
    lab.monkeypatch.setattr(kind_clusters.AnsibleModule, "warn", lambda _module, text: warned.append(text))
    assert not lab.run().result["changed"]
    assert any("'east' was made with another configuration" in text for text in warned)
