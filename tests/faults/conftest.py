# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The binaries of real API servers, found or built as for the integration tests."""

from __future__ import annotations

from tests.integration.conftest import binaries, short_path

__all__ = ["binaries", "short_path"]
