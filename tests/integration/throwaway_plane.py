# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""One real API server for tests that need no fabric: an etcd and a kube-apiserver below a temporary directory."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

READY_WITHIN = 180.0  # seconds; only ends a hang


@dataclass(frozen=True)
class Plane:
    """A running API server: `kubeconfig` is an administrator's, `url` its address.

    `crash` kills it as `kill -9` does, starts it again on the same data, and returns as soon as it says it is ready.
    `save` copies the data of its store to a folder, and `restore` puts such a copy back; both interrupt its service.
    While the context `down` lasts nobody listens; while `hung` lasts somebody does and never answers.
    """

    kubeconfig: Path
    url: str
    crash: Callable[[], None]
    save: Callable[[Path], None]
    restore: Callable[[Path], None]
    down: Callable[[], AbstractContextManager[None]]
    hung: Callable[[], AbstractContextManager[None]]


@contextmanager
def throwaway_plane(binaries: Path, directory: Path, ports: tuple[int, int, int]) -> Iterator[Plane]:
    """Run etcd (client and peer port) and kube-apiserver (third port) in `directory` while the context lasts."""
    client, peer, secure = ports
    token = secrets.token_urlsafe(24)
    (directory / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    write_signing_key(directory / "sa.key")
    store = f"http://127.0.0.1:{client}"
    with ExitStack() as running:
        peer_url = f"http://127.0.0.1:{peer}"
        etcd = Etcd(
            running,
            directory,
            (
                *(binaries / "etcd", f"--data-dir={directory / 'etcd'}", "--unsafe-no-fsync"),
                *(f"--listen-client-urls={store}", f"--advertise-client-urls={store}"),
                *(f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}"),
                f"--initial-cluster=default={peer_url}",
            ),
        )
        etcd.start()
        server = ApiServer(
            running,
            directory,
            f"https://127.0.0.1:{secure}",
            (
                *(binaries / "kube-apiserver", f"--etcd-servers={store}", f"--secure-port={secure}"),
                *("--bind-address=127.0.0.1", f"--cert-dir={directory / 'certs'}", "--authorization-mode=RBAC"),
                *("--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none"),
                *("--disable-admission-plugins=ServiceAccount", "--service-account-issuer=https://throwaway.invalid"),
                f"--service-account-signing-key-file={directory / 'sa.key'}",
                f"--service-account-key-file={directory / 'sa.key'}",
                f"--token-auth-file={directory / 'tokens.csv'}",
            ),
        )
        server.start()

        def replaced(replace: Callable[[], object]) -> None:
            server.kill()
            etcd.kill()
            replace()
            etcd.start()
            server.start()

        plane = Plane(
            directory / "kubeconfig",
            server.url,
            server.crash,
            save=lambda folder: replaced(lambda: shutil.copytree(etcd.data, folder)),
            restore=lambda folder: replaced(lambda: (shutil.rmtree(etcd.data), shutil.copytree(folder, etcd.data))),
            down=server.down,
            hung=server.hung,
        )
        write_kubeconfig(plane, server.authority.read_bytes(), token)
        yield plane


class Program:
    """A process that can be started again; it ends with `running`."""

    def __init__(self, running: ExitStack, log: Path, command: tuple[str | Path, ...]) -> None:
        self._running, self._log, self._command = running, log, command
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.child = self._running.enter_context(process(self._log, *self._command))

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child.wait()


class Etcd(Program):
    """The store, with its data in `data`."""

    def __init__(self, running: ExitStack, directory: Path, command: tuple[str | Path, ...]) -> None:
        super().__init__(running, directory / "etcd.log", command)
        self.data = directory / "etcd"


class ApiServer(Program):
    """A kube-apiserver; `start` returns when it is ready."""

    def __init__(self, running: ExitStack, directory: Path, url: str, command: tuple[str | Path, ...]) -> None:
        super().__init__(running, directory / "kube-apiserver.log", command)
        self.url, self.authority = url, directory / "certs" / "apiserver.crt"

    def start(self) -> None:
        super().start()
        assert self.child is not None
        await_ready(self.url, self.authority, self.child, self._log)

    def crash(self) -> None:
        with self.down():
            pass

    @contextmanager
    def down(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def hung(self) -> Iterator[None]:
        assert self.child is not None
        self.child.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.child.send_signal(signal.SIGCONT)


@contextmanager
def process(log: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is asked to end with the context, by its pid, and made to after 20 s."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            yield child
        finally:
            end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and make it after 20 s."""
    child.terminate()
    try:
        child.wait(timeout=20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def await_ready(url: str, authority: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when `/readyz` says ok; raises RuntimeError with the end of the log when the server ends or never is."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        if authority.is_file() and is_ready(url, authority):
            return
        time.sleep(0.05)
    raise RuntimeError(f"kube-apiserver is not ready at {url}:\n" + "\n".join(log.read_text().splitlines()[-20:]))


def is_ready(url: str, authority: Path) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(authority))
        with urllib.request.urlopen(f"{url}/readyz", context=context, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ssl.SSLError):
        return False


def write_signing_key(path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem)


def write_kubeconfig(plane: Plane, authority: bytes, token: str) -> None:
    """An administrator's kubeconfig, readable by its owner only. JSON is YAML."""
    cluster = {"server": plane.url, "certificate-authority-data": base64.b64encode(authority).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "throwaway", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "throwaway", "context": {"cluster": "throwaway", "user": "admin"}}],
        "current-context": "throwaway",
    }
    with os.fdopen(os.open(plane.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file)
