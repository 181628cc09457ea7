# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The sync engine: a pure planner, and a thin layer around it that reads, writes and tells."""
