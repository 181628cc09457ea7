# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build of the control-plane binaries with Go, from the committed go.mod and go.sum. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from _cache import HERE, BinariesError, Say, Versions

PROGRESS_SECONDS = 15.0


@dataclass(frozen=True)
class Module:
    """One of the two Go modules: its folder, what it makes, and about how long on two cores with empty caches."""

    folder: str
    makes: tuple[str, ...]
    packages: tuple[str, ...]
    seconds: int


ETCD = Module("etcd", ("etcd",), ("go.etcd.io/etcd/server/v3",), 60)
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kubectl")
KUBERNETES = Module(
    "kubernetes", KUBERNETES_PROGRAMS, tuple(f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS), 240
)
KIND = Module("kind", ("kind",), ("sigs.k8s.io/kind",), 30)


def build(versions: Versions, folder: Path, say: Say) -> None:
    """Put the four binaries into C(folder). Raises BinariesError."""
    go = _usable_go()
    for module, flags in ((ETCD, "-s -w"), (KUBERNETES, kubernetes_flags(versions))):
        _build_module(go, module, flags, folder, say)


def build_kind(folder: Path, say: Say) -> None:
    """Put kind into C(folder). Raises BinariesError."""
    _build_module(_usable_go(), KIND, "-s -w", folder, say)


def kubernetes_flags(versions: Versions) -> str:
    """Linker flags. Without the versions the binaries call themselves v0.0.0, and clients believe it."""
    major, minor = versions.kubernetes.split(".")[:2]
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        facts = {"Version": f"v{versions.kubernetes}", "Major": major, "Minor": minor, "TreeState": "clean"}
        flags += [f"-X {package}.git{name}={value}" for name, value in facts.items()]
    return " ".join(flags)


def needed_go() -> str:
    """The Go version that the committed modules ask for, e.g. C(1.25.0)."""
    found = [
        re.search(r"^go (\S+)$", (HERE / module.folder / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
        for module in (ETCD, KUBERNETES)
    ]
    return max((match[1] for match in found if match), key=_numbers)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _usable_go() -> str:
    go = shutil.which("go")
    if go is None:
        raise BinariesError(f"go is not in PATH; install Go {needed_go()} or newer")
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    asked = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment)
    have = asked.stdout.strip().removeprefix("go")
    if asked.returncode or not have:
        raise BinariesError(f"{go} does not work: {asked.stderr.strip() or 'it names no version'}")
    if _numbers(have) < _numbers(needed_go()):
        raise BinariesError(f"{go} is version {have}; Go {needed_go()} or newer is needed")
    return go


def _build_module(go: str, module: Module, flags: str, folder: Path, say: Say) -> None:
    source, output = folder / f"{module.folder}.src", folder / f"{module.folder}.out"
    source.mkdir()
    output.mkdir()
    for name in ("go.mod", "go.sum"):  # a copy, so that no build can ever touch the committed files
        shutil.copyfile(HERE / module.folder / name, source / name)
    # A single package would get its module's name (server), so it is told its own; several go into the directory.
    target = f"{output}/" if len(module.makes) > 1 else f"{output}/{module.makes[0]}"
    command = [go, "build", "-trimpath", "-ldflags", flags, "-o", target, *module.packages]
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    environment = {**os.environ, **settings}
    _run(command, source, environment, folder / f"{module.folder}.log", module, say)
    for name in module.makes:
        os.replace(output / name, folder / name)


def _run(command: list[str], source: Path, environment: dict[str, str], log: Path, module: Module, say: Say) -> None:
    """Run the build, telling every few seconds that it goes on. Its own process group ends with us."""
    what = ", ".join(module.makes)
    say(f"building {what} with Go (about {module.seconds} s on two cores, less with a warm build cache)")
    began = told = time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=source,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.monotonic() - told > PROGRESS_SECONDS:
                    told = time.monotonic()
                    say(f"  building {what}: {told - began:.0f} s of about {module.seconds} s")
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    if process.returncode:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise BinariesError(f"go build of {what} failed:\n{end}")
    say(f"  built {what} in {time.monotonic() - began:.0f} s")
