# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: refuses to test another runtime than the copy that PYTHONPATH names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tmc.sync


def pytest_configure() -> None:
    place = Path(os.environ["PYTHONPATH"].split(os.pathsep)[0])
    if not Path(tmc.sync.__file__ or "").is_relative_to(place):
        raise pytest.UsageError(f"tmc is imported from {tmc.sync.__file__}, not from {place}")
