# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program kind: what is there is taken, else a pinned one is made, whole or not at all."""

from __future__ import annotations

import hashlib
import importlib
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.action.kind_tools import own_image

FOLDER = Path(__file__).resolve().parents[3] / "controlplane"


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """The scripts import each other as neighbours, as they do when one of them is run."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def script(name: str) -> Any:
    return importlib.import_module(name)


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Any:
    """controlplane/kind.py on a machine without kind, where nothing can be downloaded or built."""
    module = script("kind")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(module, "download_kind", refuse("no network"))
    monkeypatch.setattr(module, "build_kind", refuse("no Go"))
    return module


def refuse(why: str) -> Callable[..., None]:
    def attempt(*_arguments: object) -> None:
        raise script("_cache").BinariesError(why)

    return attempt


def find(kind: Any, cache: Path, program: str | None = None, check: bool = False) -> Any:
    return kind.find(script("_cache").read_versions(), cache, program, check)


def program(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kind"
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_go_module_names_the_pinned_version() -> None:
    versions = script("_cache").read_versions()
    assert f"sigs.k8s.io/kind v{versions.kind}" in (FOLDER / "kind" / "go.mod").read_text(encoding="utf-8")


def test_what_the_user_has_is_taken(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = program(tmp_path / "mine")
    assert find(kind, tmp_path / "cache", str(mine)) == ("given", mine)
    monkeypatch.setenv("PATH", str(mine.parent))
    assert find(kind, tmp_path / "cache") == ("PATH", mine)
    assert not (tmp_path / "cache").exists()


def test_a_program_that_is_not_there_is_named(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(script("_cache").BinariesError, match="kind program '/no/kind' does not exist"):
        find(kind, tmp_path, "/no/kind")


def test_it_is_built_where_it_cannot_be_downloaded_and_then_kept(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "build_kind", lambda folder, _say: program(folder))
    assert find(kind, tmp_path, check=True) is None
    source, made = find(kind, tmp_path)
    assert source == "build"
    assert made.stat().st_mode & 0o111
    assert find(kind, tmp_path, check=True) == find(kind, tmp_path) == ("cache", made)
    assert [path.name for path in made.parent.iterdir() if path.name.startswith(".making-")] == []


def test_both_reasons_are_told_where_neither_can_be(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(script("_cache").BinariesError, match=r"download: no network; build: no Go.*Install kind"):
        find(kind, tmp_path)
    assert not list(tmp_path.rglob("kind"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_download_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    download, versions = script("_download"), script("_cache").read_versions()
    name = f"kind-{platform.system().lower()}-{download.architecture()}"
    release = tmp_path / "www" / f"v{versions.kind}"
    release.mkdir(parents=True)
    (release / name).write_bytes(b"kind itself")
    digest = hashlib.sha256(b"kind itself").hexdigest()
    (release / f"{name}.sha256sum").write_text(f"{digest}  {name}\n", encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        publishers = download.Publishers(kind=f"http://127.0.0.1:{server.server_port}")
        download.download_kind(versions, tmp_path, lambda _: None, publishers)
        assert (tmp_path / "kind").read_bytes() == b"kind itself"
        (release / name).write_bytes(b"something else")
        with pytest.raises(script("_cache").BinariesError, match="has SHA-256"):
            download.download_kind(versions, tmp_path, lambda _: None, publishers)
        assert not (tmp_path / "kind").exists()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_program_tells_its_own_node_image(tmp_path: Path) -> None:
    image = f"kindest/node:v1.36.1@sha256:{'a1' * 32}"
    (tmp_path / "kind").write_bytes(b"\0text" + image.encode() + b"more text\0")
    assert own_image(str(tmp_path / "kind")) == image
    (tmp_path / "kind").write_bytes(b"\0")
    assert own_image(str(tmp_path / "kind")) == own_image("") == ""
