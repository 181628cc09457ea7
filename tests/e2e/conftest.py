# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The fabric that the end-to-end test looks at. TMC_E2E_PROVIDER says on which clusters: embedded, kind or existing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.provided import (
    PROVIDERS,
    Provided,
    engine,
    handed_over,
    left_behind,
    strangers,
    with_user_kubeconfig,
)
from tests.integration.conftest import binaries, free_ports
from tests.integration.deployed_fabric import Fabric, new_fabric

__all__ = ["binaries"]  # a fixture

PORTS = ("CONTROLLER_KCP_PORT", "CONTROLLER_EAST_PORT", "CONTROLLER_WEST_PORT")


@pytest.fixture(scope="session")
def provider() -> str:
    chosen = os.environ.get("TMC_E2E_PROVIDER", "embedded")
    assert chosen in PROVIDERS, f"TMC_E2E_PROVIDER={chosen}: allowed are {', '.join(PROVIDERS)}"
    if chosen == "kind" and engine() is None:
        pytest.skip("no container engine answers (docker, podman)")
    return chosen


@pytest.fixture(scope="session")
def provided(provider: str, repository: Path, request: pytest.FixtureRequest) -> Iterator[Provided]:
    """The fabric, not deployed yet. In the end it is removed if a test has not done so, and nothing may be left."""
    folder = Path(tempfile.mkdtemp(prefix="tmc-", dir="/tmp"))
    assets = request.getfixturevalue("binaries") if provider != "kind" else Path()
    ports = dict(zip(PORTS, map(str, free_ports(3)), strict=True))
    fabric = new_fabric(repository, folder / "s", ports, assets)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        yield from make(provider, fabric, assets, stack)


def make(provider: str, fabric: Fabric, assets: Path, stack: ExitStack) -> Iterator[Provided]:
    arguments: tuple[str, ...] = ("-e", f"tmc_provider={provider}")
    kubectl = str(assets / "kubectl")
    if provider == "kind":
        fabric = with_user_kubeconfig(fabric)
        kubectl = shutil.which("kubectl") or ""
        assert kubectl, "kubectl is not on PATH: the end-to-end test types the commands of the documentation"
    if provider == "existing":
        planes = replace(fabric, state_dir=fabric.state_dir.parent / "p")
        planes = replace(planes, environment={**planes.environment, "TMC_STATE_DIR": str(planes.state_dir)})
        stack.callback(planes.play_or_fail, "cleanup", "-e", "tmc_provider=embedded")
        planes.play_or_fail("../tests/e2e/planes")
        arguments = handed_over(planes, fabric.state_dir.parent)
    made = Provided(provider, fabric, arguments, kubectl)
    yield made
    if fabric.state_dir.exists():
        made.play("cleanup", "-e", "cleanup_force=true")
    left = left_behind(made)
    assert not left, "cleanup.yml left behind:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def stranger_containers(provider: str) -> Iterator[set[str]]:
    """Containers of others on the engine; none where no engine takes part."""
    program = engine() if provider == "kind" else None
    if program is None:
        yield set()
        return
    image = os.environ.get("TMC_IMAGE_BASE") or "python:3.13-slim"
    with strangers(program, image) as names:
        yield names
