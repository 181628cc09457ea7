# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by the Python beside a `tmc` program: says in which folder the code of the program is, or nothing."""

from importlib.util import find_spec

spec = find_spec("tmc")
if spec and spec.submodule_search_locations:
    print(spec.submodule_search_locations[0])
