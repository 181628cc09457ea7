# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose clusters a state directory leads to. Providers do not share one: each would remove what the other needs.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State, read
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import EmbeddedError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig_files import PROVENANCE, is_extract

PREFIX = "controller-"
PLANE_FILE = "plane.json"
HELD = {
    "embedded": "embedded control planes",
    "kind": "kind clusters",
    "existing": "the kubeconfigs of existing clusters",
}


def clusters(state: State, provider: str) -> list[str]:
    """Names of the clusters of this provider that the state directory leads to."""
    if provider == "embedded":
        found = [path.name for path in _entries(state.planes) if path.is_dir() and not path.name.startswith(".")]
    elif provider == "kind":
        found = [path.stem for path in _entries(state.kind) if path.suffix == ".owner"]
    else:
        found = [path.stem.removeprefix(PREFIX) for path in _entries(state.kubeconfigs) if _is_extract(path)]
    return sorted(found)


def ports(state: State) -> dict[str, int]:
    """Port of the API server of each cluster that was made here. Raises EmbeddedError."""
    planes = {name: state.plane(name) / PLANE_FILE for name in clusters(state, "embedded")}
    nodes = {name: state.kind / f"{name}.json" for name in clusters(state, "kind")}
    found = {name: _port(path, lambda plane: plane["port"]) for name, path in planes.items()}
    found |= {name: _port(path, lambda node: node["networking"]["apiServerPort"]) for name, path in nodes.items()}
    return {name: port for name, port in found.items() if port is not None}


def strangers(state: State, own: str) -> Iterator[str]:
    """One sentence for each other provider whose clusters the state directory leads to."""
    for provider, what in HELD.items():
        names = clusters(state, provider) if provider != own else []
        if names:
            yield (
                f"state directory '{state.root}' holds {what} ({', '.join(names)}): remove them first "
                f"(playbooks/cleanup.yml -e tmc_provider={provider}), or set another TMC_STATE_DIR"
            )


def _port(path: Path, of: Callable[[Any], int]) -> int | None:
    text = read(path)
    try:
        return None if text is None else of(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise EmbeddedError(
            f"{path} tells no port ({error!r}): put it right, or remove the clusters first (playbooks/cleanup.yml)"
        ) from error


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_extract(path: Path) -> bool:
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return PROVENANCE in text and is_extract(text)
