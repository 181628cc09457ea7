# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by the Python of the base image: says, as JSON, which wheels it takes."""

import json
import os
import platform

try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")  # "glibc 2.36"
except (ValueError, OSError):
    libc = None
minor = (libc or "musl 1.2").split(".")[1]
print(
    json.dumps(
        {
            "version": ".".join(platform.python_version_tuple()[:2]),
            "machine": platform.machine(),
            "libc": ["glibc" if libc else "musl", minor],
        }
    )
)
