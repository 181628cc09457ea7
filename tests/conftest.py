# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What every test of the collection shares: the repository's own paths.

The collection is importable as `ansible_collections.tmc.cross_cluster` because `collections/` is on
`pythonpath` (pyproject.toml) and holds a link to this repository.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT
