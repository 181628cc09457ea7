# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The module manifests on a real API server: patches, and removing what it applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig
from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client
from ansible_collections.tmc.cross_cluster.plugins.module_utils._names import MANAGED_BY
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import CONFIG_MAP
from tests.integration.throwaway_plane import Plane
from tests.unit.plugins.running import run_module


class Server:
    """A real API server, a file of two ConfigMaps, and the module run with both."""

    def __init__(self, plane: Plane, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = Client(_kubeconfig.load_file(str(plane.kubeconfig)))
        self._monkeypatch = monkeypatch
        self._common = {"kubeconfig": str(plane.kubeconfig), "files": [str(folder / "two.yaml")]}
        texts = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), "data": {"a": "1", "b": "2"}}
            for name in ("patched-one", "patched-two")
        ]
        (folder / "two.yaml").write_text(yaml.safe_dump_all(texts))

    def run(self, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        ended = run_module(self._monkeypatch, "manifests", **self._common, _ansible_check_mode=check, **arguments)
        assert not ended.failed, ended.result
        return ended.result

    def data(self, name: str) -> dict[str, str] | None:
        found = self.client.get(CONFIG_MAP, name, "default")
        return found["data"] if found else None


def metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "default", "labels": dict(MANAGED_BY)}


@pytest.fixture
def server(plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(plane, tmp_path, monkeypatch)


def test_a_patch_is_applied_and_a_second_time_nothing(server: Server) -> None:
    patch = {"kind": "ConfigMap", "metadata": {"name": "patched-one"}, "data": {"b": "other"}}
    assert server.run(patches=[patch], check=True)["changed"]
    assert server.data("patched-one") is None
    assert server.run(patches=[patch])["applied"] == ["ConfigMap patched-one", "ConfigMap patched-two"]
    assert server.data("patched-one") == {"a": "1", "b": "other"}
    assert server.data("patched-two") == {"a": "1", "b": "2"}
    assert not server.run(patches=[patch])["changed"]


def test_what_carries_our_mark_is_removed_and_a_stranger_stays(server: Server) -> None:
    server.run()
    server.client.patch(CONFIG_MAP, "patched-two", {"metadata": {"labels": None}}, "default")
    assert server.run(state="absent", check=True)["applied"] == ["ConfigMap patched-one"]
    assert server.data("patched-one")
    assert server.run(state="absent")["applied"] == ["ConfigMap patched-one"]
    assert server.data("patched-one") is None
    assert server.data("patched-two")
    assert not server.run(state="absent")["changed"]
