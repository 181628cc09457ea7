# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The list of bugs that `make mutants` plants, one at a time, to see that a test goes red."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = FOLDER.parents[1] / "src"


class Stale(Exception):
    """A mutant's old text does not stand in its file exactly once: the list has to follow the code."""


@dataclass(frozen=True)
class Mutant:
    """In `file` (below runtime/src) `old` becomes `new`; `breaks` says which promise goes with it."""

    name: str
    file: str
    old: str
    new: str
    breaks: str

    def applied(self, sources: Path = SOURCES) -> str:
        """The whole file with the bug in it. Raises Stale."""
        text = (sources / self.file).read_text(encoding="utf-8")
        found = text.count(self.old)
        if found != 1:
            raise Stale(f"{self.name}: the old text stands {found} times in {self.file}, must be once: {self.old!r}")
        return text.replace(self.old, self.new)


def catalogue() -> list[Mutant]:
    """All mutants, in the order of their files."""
    return [
        Mutant(**entry)
        for path in sorted(FOLDER.glob("*.toml"))
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    ]
