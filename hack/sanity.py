# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""`ansible-test sanity` on an exported tree: it only works below `ansible_collections/`, and not through a link.

For its private environments ansible-test downloads a bootstrap script of pip from its own file host, unless the
script is in its cache. A stand-in there, which takes the pip that comes with Python, needs no such host.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from export import export
from scratch import ROOT

STAND_IN = '''\
"""Bootstrap pip from the copy that comes with Python, then the version that was asked for."""
import ensurepip, os, subprocess, sys

ensurepip.bootstrap()
wanted = [argument for argument in sys.argv[1:] if argument.startswith("pip==")] or ["pip"]
# The pip that comes with Python 3.11 and 3.12 does not look into the system's own trust store.
bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]
bundle = next((["--cert", path] for path in bundles if os.path.isfile(path)), [])
command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
sys.exit(subprocess.call(command + bundle + wanted))
'''
# A Python package, programs, tests and manifests, which ansible-test would judge by the rules of modules. They have
# gates of their own: ruff, mypy --strict, import-linter, yamllint.
NOT_ANSIBLE = (".ci/", "benchmarks/", "controlplane/", "hack/", "manifests/", "runtime/", "tests/")
# Where ansible-test says which pip: the script is called after it, e.g. get_pip_24_2.py.
SOURCE = "_internal/python_requirements.py"


def main() -> int:
    """Export, provide the stand-in, run; returns the exit code of ansible-test."""
    provide_stand_in()
    tree = export(ROOT / ".cache" / "sanity", NOT_ANSIBLE)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--local", "--python", python, "--color", "no", *sys.argv[1:]]
    # A git repository of its own: in the tree of another, all its files would count as ignored.
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    subprocess.run(["git", "add", "--all", "--force"], cwd=tree, check=True)
    return subprocess.run(command, cwd=tree, env=os.environ | {"LC_ALL": "C.UTF-8"}).returncode


def provide_stand_in() -> None:
    """Put the stand-in where ansible-test's cache has none yet."""
    cache = Path("~/.ansible/test/cache").expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    for version in pip_versions():
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        if not script.exists():
            script.write_text(STAND_IN)


def pip_versions() -> set[str]:
    """The versions of pip that the installed ansible-test bootstraps."""
    import ansible_test  # type: ignore[import-untyped]

    source = Path(next(iter(ansible_test.__path__))) / SOURCE
    return set(re.findall(r"""['"]?pip['"]?\s*[=:]\s*['"](\d+(?:\.\d+)+)['"]""", source.read_text()))


if __name__ == "__main__":
    sys.exit(main())
