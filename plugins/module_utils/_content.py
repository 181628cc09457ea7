# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What files and folders hold, in a short text that can be compared.

This file is private to tmc.cross_cluster and may change at any time.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest(path: str) -> str:
    """Of a file its content; of a folder names and contents of everything below it. Raises OSError when it cannot be read."""
    top = Path(path)
    if not top.is_dir():
        return hashlib.sha256(top.read_bytes()).hexdigest()
    files = sorted(file for file in top.rglob("*") if _counts(file.relative_to(top)) and file.is_file())
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.relative_to(top)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _counts(path: Path) -> bool:
    """Not what Python and editors put beside the files of others."""
    return not any(part == "__pycache__" or part.startswith(".") for part in path.parts)
