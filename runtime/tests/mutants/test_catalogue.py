# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The list of mutants is alive: each fits the code as it is, and is Python when it is planted."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from runtime.tests.mutants.catalogue import SOURCES, Mutant, Stale, catalogue


@pytest.mark.parametrize("mutant", catalogue(), ids=lambda mutant: mutant.name)
def test_each_fits_and_is_a_change(mutant: Mutant) -> None:
    before = (SOURCES / mutant.file).read_text(encoding="utf-8")
    after = mutant.applied()
    assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(before))


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    names = Counter(mutant.name for mutant in catalogue())
    assert len(names) >= 40
    assert set(names.values()) == {1}


def test_a_stale_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n", encoding="utf-8")
    for old in ("y", "x = 1"):
        with pytest.raises(Stale, match="must be once"):
            Mutant("m", "a.py", old, "", "nothing").applied(tmp_path)
