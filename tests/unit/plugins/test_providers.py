# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Providers do not share a state directory: none writes over what another needs, and none removes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State, write
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_state import owner_text
from tests.unit.plugins.certificates import kubeconfig
from tests.unit.plugins.certificates import write as write_kubeconfig
from tests.unit.plugins.running import Ended, run_module

MAKERS = {
    "embedded": ("embedded_planes", {"hubs": ["kcp"], "members": [], "binary_dir": "/nowhere"}),
    "kind": ("kind_clusters", {"user_kubeconfig": False}),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A state directory, claimed."""
    State(str(tmp_path / "state")).claim()
    return tmp_path / "state"


def extract(monkeypatch: pytest.MonkeyPatch, root: Path, name: str) -> Ended:
    """What provider existing does for a cluster."""
    source = write_kubeconfig(root.parent, kubeconfig())
    arguments = {"kubeconfig": str(source), "context": "kind-east", "name": f"controller-{name}"}
    return run_module(monkeypatch, "kubeconfig_context", state_dir=str(root), **arguments)


def fill(root: Path, provider: str) -> None:
    """What a provider that makes clusters leaves first."""
    if provider == "embedded":
        write(root / "planes" / "kcp" / "plane.json", "{}")
    else:
        write(root / "kind" / "kcp.owner", owner_text("kcp"))


def contents(root: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def run_maker(monkeypatch: pytest.MonkeyPatch, maker: str, root: Path, **changes: Any) -> Ended:
    module, options = MAKERS[maker]
    monkeypatch.setenv("PATH", "/nowhere")
    return run_module(monkeypatch, module, state_dir=str(root), **{**options, **changes})


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("clusters", [None, [{"name": "kcp"}]])
def test_the_fabric_of_existing_clusters_is_not_removed_by_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, maker: str, clusters: list[dict[str, str]] | None
) -> None:
    assert not extract(monkeypatch, root, "kcp").failed
    write(root / "credentials" / "kcp" / "hub.token", "t")
    before = contents(root)
    ended = run_maker(monkeypatch, maker, root, state="absent", clusters=clusters)
    assert ended.failed
    assert "a fabric of existing clusters (kcp); nothing removed" in ended.result["msg"]
    assert "-e tmc_provider=existing" in ended.result["msg"]
    assert contents(root) == before


def test_what_is_left_of_it_goes_when_its_own_provider_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extract(monkeypatch, root, "of-a-host-that-has-left-the-inventory")
    write(root / "credentials" / "kcp" / "hub.token", "t")
    assert not run_maker(monkeypatch, "embedded", root, state="absent", clusters=[]).failed
    assert not (root / "credentials").exists()


@pytest.mark.parametrize(
    ("maker", "there", "named"),
    [
        ("embedded", "kind", "holds kind clusters (kcp)"),
        ("kind", "embedded", "holds embedded control planes (kcp)"),
        ("embedded", "existing", "holds the kubeconfigs of existing clusters (kcp)"),
        ("kind", "existing", "holds the kubeconfigs of existing clusters (kcp)"),
    ],
)
def test_no_clusters_are_made_among_those_of_another_provider(
    root: Path, monkeypatch: pytest.MonkeyPatch, maker: str, there: str, named: str
) -> None:
    if there == "existing":
        extract(monkeypatch, root, "kcp")
    else:
        fill(root, there)
    before = contents(root)
    ended = run_maker(monkeypatch, maker, root, clusters=[{"name": "kcp", "port": 37999}])
    assert ended.failed
    assert any(named in problem for problem in ended.result["problems"])
    assert f"-e tmc_provider={there}" in ended.result["msg"]
    assert contents(root) == before


@pytest.mark.parametrize("there", MAKERS)
def test_no_existing_cluster_joins_those_that_were_made(
    root: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    fill(root, there)
    ended = extract(monkeypatch, root, "east")
    assert ended.failed
    assert f"-e tmc_provider={there}" in ended.result["msg"]


@pytest.mark.parametrize("maker", MAKERS)
def test_a_file_of_nobody_is_no_cluster(root: Path, monkeypatch: pytest.MonkeyPatch, maker: str) -> None:
    write(root / "kubeconfigs" / "notes.txt", "a: [\n")
    assert not run_maker(monkeypatch, maker, root, state="absent", clusters=None).failed
