# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/promises.md names the test that shows each promise: every one of them must be there."""

from __future__ import annotations

import re
from pathlib import Path

REFERENCE = re.compile(r"`([\w/]+\.py)::(\w+)`")
FILE = re.compile(r"`([\w/]+\.(?:py|json|yml))`")


def test_every_test_that_is_named_exists(repository: Path) -> None:
    text = (repository / "docs" / "promises.md").read_text()
    named = REFERENCE.findall(text)
    assert len(named) > 40, "the table names too few tests to be the table of all promises"
    missing = [f"{path}::{test}" for path, test in named if not has_test(repository / path, test)]
    missing += [path for path in FILE.findall(text) if not (repository / path).is_file()]
    assert not missing


def test_every_row_names_what_shows_it(repository: Path) -> None:
    rows = [line for line in (repository / "docs" / "promises.md").read_text().splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith(("| promise", "| pain", "| figure", "|--"))]
    assert promises
    assert [row for row in promises if not (REFERENCE.search(row) or FILE.search(row) or "`make " in row)] == []


def has_test(path: Path, name: str) -> bool:
    return path.is_file() and re.search(rf"^(?:async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
