# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control-plane binaries: pinned, checked, whole or not there."""

from __future__ import annotations

import hashlib
import importlib
import io
import re
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

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
def cache(tmp_path: Path) -> Any:
    module = script("_cache")
    return module.Cache(tmp_path / "cache", module.Versions("1.2.3", "4.5.6"))


def fill(workshop: Path) -> None:
    for name in script("_cache").BINARIES:
        (workshop / name).write_text(name, encoding="utf-8")


def test_the_go_modules_name_the_pinned_versions() -> None:
    versions = script("_cache").read_versions()
    kubernetes = (FOLDER / "kubernetes" / "go.mod").read_text(encoding="utf-8")
    etcd = (FOLDER / "etcd" / "go.mod").read_text(encoding="utf-8")
    assert f"k8s.io/kubernetes v{versions.kubernetes}\n" in kubernetes
    assert re.search(rf"go\.etcd\.io/etcd/server/v3 v{re.escape(versions.etcd)}\n", etcd)
    assert set(re.findall(r"=> k8s\.io/\S+ v0\.(\S+)", kubernetes)) == {versions.kubernetes.removeprefix("1.")}


def test_what_was_made_is_whole(cache: Any) -> None:
    with cache.locked(print), cache.workshop() as workshop:
        fill(workshop)
        cache.publish(workshop, "build")
    assert cache.whole()
    assert not list(cache.bin.glob(".making-*"))


@pytest.mark.parametrize("damage", ["truncated", "missing", "no manifest", "not executable"])
def test_what_was_damaged_is_not_whole_and_is_replaced(cache: Any, damage: str) -> None:
    with cache.locked(print), cache.workshop() as workshop:
        fill(workshop)
        cache.publish(workshop, "build")
    victim = cache.folder / "kube-apiserver"
    if damage == "truncated":
        victim.write_text("", encoding="utf-8")
    elif damage == "missing":
        victim.unlink()
    elif damage == "not executable":
        victim.chmod(0o644)
    else:
        (cache.folder / "manifest.json").unlink()
    assert not cache.whole()
    with cache.locked(print), cache.workshop() as workshop:
        fill(workshop)
        cache.publish(workshop, "build")
    assert cache.whole()


def test_a_killed_run_leaves_nothing_that_is_taken_for_whole(cache: Any) -> None:
    (cache.bin / ".making-abc").mkdir(parents=True)
    fill(cache.bin / ".making-abc")
    assert not cache.whole()
    with cache.locked(print), cache.workshop():
        assert len(list(cache.bin.glob(".making-*"))) == 1
    assert not list(cache.bin.glob(".making-*"))


def test_a_directory_that_was_asked_for_must_have_all(tmp_path: Path) -> None:
    with pytest.raises(script("_cache").BinariesError, match=r"etcd, kube-apiserver, .* not found in tmc_binary_dir"):
        script("binaries").given(str(tmp_path))


def test_kubebuilder_assets_that_lack_one_are_passed_over_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert script("binaries").given(None) == ("KUBEBUILDER_ASSETS", tmp_path)
    (tmp_path / "kube-controller-manager").unlink()
    assert script("binaries").given(None) is None
    assert "lacks kube-controller-manager: not used" in capsys.readouterr().err


def test_where_nothing_serves_every_way_is_named(
    cache: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    binaries, error = script("binaries"), script("_cache").BinariesError

    def refuse(*_: object) -> None:
        raise error("no network")

    monkeypatch.setattr(binaries, "download", refuse)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with pytest.raises(
        error, match=r"download: no network; build: go is not in PATH; install Go 1\.\d+.*tmc_binary_dir"
    ):
        binaries.find(cache, None, False)
    assert not cache.whole()


# -- download ---------------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Any]:
    """A local server with the layout of both publishers, and its address as Publishers."""
    module = script("_download")
    machine, root = module.architecture(), tmp_path / "www"
    folder = root / "k8s" / "v1.2.3" / "bin" / "linux" / machine
    folder.mkdir(parents=True)
    for name in module.KUBERNETES_PROGRAMS:
        (folder / name).write_bytes(name.encode())
        (folder / f"{name}.sha256").write_text(hashlib.sha256(name.encode()).hexdigest(), encoding="utf-8")
    release = root / "etcd" / "v4.5.6"
    release.mkdir(parents=True)
    archive = release / f"etcd-v4.5.6-linux-{machine}.tar.gz"
    with tarfile.open(archive, "w:gz") as bundle:
        member = tarfile.TarInfo(f"etcd-v4.5.6-linux-{machine}/etcd")
        member.size = 4
        bundle.addfile(member, io.BytesIO(b"etcd"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (release / "SHA256SUMS").write_text(f"{'0' * 64}  other.zip\n{digest}  {archive.name}\n", encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    yield module.Publishers(f"{base}/k8s", f"{base}/etcd"), folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("no_proxy", "*")
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def get(publishers: Any, target: Path) -> None:
    script("_download").download(script("_cache").Versions("1.2.3", "4.5.6"), target, lambda _: None, publishers)


def test_a_download_brings_all_four(publisher: Any, target: Path) -> None:
    get(publisher[0], target)
    assert {p.name: p.read_text(encoding="utf-8") for p in target.iterdir()} == {
        name: name for name in script("_cache").BINARIES
    }


def test_a_file_that_differs_from_its_checksum_is_not_kept(publisher: Any, target: Path) -> None:
    (publisher[1] / "kubectl").write_bytes(b"something else")
    with pytest.raises(script("_cache").BinariesError, match=r"kubectl has SHA-256 [0-9a-f]{64}, its publisher says"):
        get(publisher[0], target)
    assert not (target / "kubectl").exists()


def test_without_a_published_checksum_nothing_is_downloaded(publisher: Any, target: Path) -> None:
    (publisher[1] / "kubectl.sha256").unlink()
    with pytest.raises(script("_cache").BinariesError, match=r"kubectl\.sha256: "):
        get(publisher[0], target)
    assert list(target.iterdir()) == []


def test_publishers_are_asked_over_https() -> None:
    publishers = script("_download").Publishers()
    assert publishers.kubernetes.startswith("https://")
    assert publishers.etcd.startswith("https://")
