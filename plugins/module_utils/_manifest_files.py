# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects in files, as kubectl apply takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import yaml

Object = dict[str, Any]


def read(path: str) -> list[Object]:
    """The objects in a file; raises InvalidInput when it is not one of manifests."""
    try:
        documents = [document for document in yaml.safe_load_all(Path(path).read_text(encoding="utf-8")) if document]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"cannot read manifests from '{path}': {error}") from error
    if not all(_is_manifest(document) for document in documents):
        raise InvalidInput(
            f"'{path}' holds a document without apiVersion, kind and metadata.name, each a text: is it a manifest?"
        )
    return documents


def _is_manifest(document: Any) -> bool:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        return False
    named = (document.get("apiVersion"), document.get("kind"), metadata.get("name"))
    return all(text and isinstance(text, str) for text in named)
