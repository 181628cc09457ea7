# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What the fabric costs, measured on a throwaway one: `make bench`."""
