# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fragment ``wait``: waiting for objects to reach a state."""

from __future__ import annotations


class ModuleDocFragment:
    """How long, and how often, a module looks."""

    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until the objects are as asked for.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: float
    default: 120.0
  wait_sleep:
    description:
      - Seconds between two looks.
    type: float
    default: 0.5
"""
