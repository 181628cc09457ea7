# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Download of the control-plane binaries, checked against the publishers' own checksums. Standard library only."""

from __future__ import annotations

import hashlib
import http.client
import platform
import tarfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from _cache import BinariesError, Say, Versions

# A machine without internet must learn so at once: the build is waiting.
CONNECT_SECONDS = 4.0
READ_SECONDS = 30.0
PROGRESS_SECONDS = 3.0
CHUNK = 1 << 20
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kubectl")


@dataclass(frozen=True)
class Publishers:
    """Base addresses of the two publishers. Tests put a local server here."""

    kubernetes: str = "https://dl.k8s.io/release"
    etcd: str = "https://github.com/etcd-io/etcd/releases/download"
    kind: str = "https://github.com/kubernetes-sigs/kind/releases/download"


def architecture() -> str:
    """The publishers' word for this machine. Raises BinariesError for one that they do not build for."""
    try:
        return ARCHITECTURES[platform.machine().lower()]
    except KeyError as error:
        raise BinariesError(f"no published binaries for a {platform.machine()} machine") from error


def download(versions: Versions, folder: Path, say: Say, publishers: Publishers = Publishers()) -> None:
    """Put the four binaries into C(folder). Raises BinariesError; a file whose checksum differs is never kept."""
    machine = architecture()
    base = f"{publishers.kubernetes}/v{versions.kubernetes}/bin/linux/{machine}"
    release = f"{publishers.etcd}/v{versions.etcd}"
    archive = f"etcd-v{versions.etcd}-linux-{machine}.tar.gz"
    # Both publishers are asked for checksums before a byte of the big files is fetched.
    checksums = {name: _text(f"{base}/{name}.sha256").split()[0] for name in KUBERNETES_PROGRAMS}
    checksums[archive] = _listed(_text(f"{release}/SHA256SUMS"), archive)
    for name in KUBERNETES_PROGRAMS:
        _fetch(f"{base}/{name}", folder / name, checksums[name], say)
    _fetch(f"{release}/{archive}", folder / archive, checksums[archive], say)
    _extract(folder / archive, f"{archive.removesuffix('.tar.gz')}/etcd", folder / "etcd")


def download_kind(versions: Versions, folder: Path, say: Say, publishers: Publishers = Publishers()) -> None:
    """Put kind for this machine into C(folder). Raises BinariesError; a file whose checksum differs is never kept."""
    name = f"kind-{platform.system().lower()}-{architecture()}"
    url = f"{publishers.kind}/v{versions.kind}/{name}"
    _fetch(url, folder / "kind", _text(f"{url}.sha256sum").split()[0], say)


def _open(url: str, seconds: float) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=seconds)
        return response
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise BinariesError(f"{url}: {reason}") from error


def _text(url: str) -> str:
    with _open(url, CONNECT_SECONDS) as response:
        text = response.read(1 << 20).decode("utf-8", "replace").strip()
    if not text:
        raise BinariesError(f"{url} is empty")
    return text


def _listed(sums: str, name: str) -> str:
    """The checksum of C(name) in a C(SHA256SUMS) file."""
    for line in sums.splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[1].lstrip("*") == name:
            return fields[0]
    raise BinariesError(f"the publisher's SHA256SUMS does not list {name}")


def _fetch(url: str, target: Path, checksum: str, say: Say) -> None:
    digest, received, told = hashlib.sha256(), 0, time.monotonic()
    with _open(url, READ_SECONDS) as response, open(target, "wb") as handle:
        total = int(response.headers.get("Content-Length") or 0)
        say(f"downloading {url} ({total >> 20} MB)")
        while chunk := _chunk(response, url):
            handle.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                say(f"  {target.name}: {received >> 20} of {total >> 20} MB")
    if digest.hexdigest() != checksum.lower():
        target.unlink()
        raise BinariesError(f"{url} has SHA-256 {digest.hexdigest()}, its publisher says {checksum}")


def _chunk(response: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise BinariesError(f"{url} broke off: {error}") from error


def _extract(archive: Path, member: str, target: Path) -> None:
    """Take one file out of the archive, by content: nothing in the archive says where it goes."""
    with tarfile.open(archive) as bundle:
        try:
            source = bundle.extractfile(member)
        except KeyError as error:
            raise BinariesError(f"{archive.name} has no {member}") from error
        if source is None:
            raise BinariesError(f"{member} in {archive.name} is not a file")
        with source, open(target, "wb") as handle:
            while chunk := source.read(CHUNK):
                handle.write(chunk)
    archive.unlink()
