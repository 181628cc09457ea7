# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""The TaskQueue controller: a pure planner and scheduler, and a thin layer around them that claims, runs, records."""
