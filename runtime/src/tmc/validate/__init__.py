# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""`tmc validate`: proves that a fabric works, by sending probes through it and checking who did what.

`observations` says what is looked at, `collect` looks (all I/O), `judgement` decides (pure), `report` and `story` tell.
"""
