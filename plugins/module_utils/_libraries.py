# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The libraries that do not come with Python. A host without them is told which, not shown a traceback."""

from __future__ import annotations

import traceback
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

__all__ = ["MISSING", "require", "urllib3", "yaml"]

MISSING: dict[str, str] = {}

urllib3: Any = None
yaml: Any = None

try:
    import urllib3
except ImportError:
    MISSING["urllib3"] = traceback.format_exc()

try:
    import yaml
except ImportError:
    MISSING["PyYAML"] = traceback.format_exc()


def require(module: AnsibleModule) -> None:
    """Ends the module when a library is missing."""
    for library, exception in MISSING.items():
        module.fail_json(msg=missing_required_lib(library), exception=exception)
