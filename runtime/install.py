# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Install the runtime into /opt/tmc while the image is built: `install.py dependencies`, then `install.py program`.

Standard library only, and no pip is taken for granted: one from a wheel serves as well.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ENVIRONMENT = Path("/opt/tmc")
RUNTIME = Path(__file__).resolve().parent
REQUIREMENTS = RUNTIME.parent / "requirements"
WHEELS = REQUIREMENTS / "wheels"


def main(what: str) -> None:
    """Run pip for one of the two steps."""
    if what == "dependencies":
        pip(*tomllib.loads((RUNTIME / "pyproject.toml").read_text())["project"]["dependencies"])
    else:
        pip("--no-deps", str(RUNTIME))
        # An image whose program does not even start is no image.
        subprocess.run([ENVIRONMENT / "bin" / "tmc", "--help"], stdout=subprocess.DEVNULL, check=True)


def pip(*arguments: str) -> None:
    """`pip install` into the environment; leaves with pip's exit code, and a message, when it fails."""
    settings = {"PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_RETRIES": "1", "PIP_QUIET": "1"}
    settings["PIP_CONSTRAINT"] = str(REQUIREMENTS / "constraints.txt")
    if any(WHEELS.glob("*.whl")):
        settings |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
    target = ["--python", str(ENVIRONMENT / "bin" / "python"), "install", "--only-binary=:all:"]
    command = [sys.executable, *program(), *target, *arguments]
    done = subprocess.run(command, env=os.environ | settings, check=False)
    if done.returncode:
        sys.exit(f"install.py: pip failed (exit code {done.returncode}), see above")


def program() -> list[str]:
    """The arguments with which Python runs pip: its wheel, or the module that the base image has."""
    wheels = sorted(WHEELS.glob("pip-*.whl"))
    if wheels:
        return [f"{wheels[-1]}/pip"]
    if importlib.util.find_spec("pip") is None:
        sys.exit(
            "install.py: the base image has no pip, and there is no wheel of pip in requirements/wheels. "
            "Use a base with pip, or fill that folder with pip and all packages (the role images does so)."
        )
    return ["-m", "pip"]


if __name__ == "__main__":
    main(sys.argv[1])
