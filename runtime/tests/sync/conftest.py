# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from runtime.tests.sync import figures


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in figures.told():
        terminalreporter.write_line(line)
