#!/usr/bin/env python3
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find, download or build the control-plane binaries. Standard library only.

The first that serves: --binary-dir; $KUBEBUILDER_ASSETS; the cache; a download from the publishers, checked against
the checksums that they publish; a build with Go from the committed go.mod and go.sum. The last line on stdout is the
directory, the line before it says where that came from; progress is on stderr.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _build import build
from _cache import BinariesError, Cache, lacking, read_versions
from _download import download

NOT_MADE = 3  # exit code of --check when the binaries would have to be downloaded or built


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def end(signum: int, frame: FrameType | None) -> None:
    """A polite end, so that a running build ends with us and the workshop is removed."""
    sys.exit(128 + signum)


def given(binary_dir: str | None) -> tuple[str, Path] | None:
    """A directory that the user named, and what it is; None when neither is given or KUBEBUILDER_ASSETS lacks some.

    Raises BinariesError when --binary-dir lacks some: what is asked for is not silently replaced.
    """
    if binary_dir:
        missing = lacking(Path(binary_dir))
        if missing:
            raise BinariesError(f"{', '.join(missing)} not found in tmc_binary_dir '{binary_dir}' (or not executable)")
        return "tmc_binary_dir", Path(binary_dir).resolve()
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        missing = lacking(Path(assets))
        if not missing:
            return "KUBEBUILDER_ASSETS", Path(assets).resolve()
        say(f"KUBEBUILDER_ASSETS={assets} lacks {', '.join(missing)}: not used")
    return None


def make(cache: Cache) -> str:
    """Download into the cache or, where that cannot be, build; returns which."""
    tried: list[str] = []
    for way, name in ((download, "download"), (build, "build")):
        with cache.workshop() as workshop:
            try:
                way(cache.versions, workshop, say)
            except BinariesError as error:
                tried.append(f"{name}: {error}")
                say(f"{name} not possible: {error}")
                continue
            cache.publish(workshop, name)
            return name
    raise BinariesError(
        "no control-plane binaries: "
        + "; ".join(tried)
        + ". Set tmc_binary_dir (or KUBEBUILDER_ASSETS) to a directory that has them"
    )


def find(cache: Cache, binary_dir: str | None, check: bool) -> tuple[str, Path] | None:
    """Where the binaries come from and are; None in check mode when they would have to be made."""
    found = given(binary_dir)
    if found:
        return found
    if cache.whole():
        return "cache", cache.folder
    if check:
        return None
    with cache.locked(say):
        if cache.whole():  # another run made them while this one waited
            return "cache", cache.folder
        return make(cache), cache.folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", required=True, help="cache directory; binaries are kept in <cache>/bin/<version>")
    parser.add_argument("--binary-dir", help="directory that has the binaries already")
    parser.add_argument(
        "--check", action="store_true", help=f"only look; exit {NOT_MADE} when they would have to be made"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    try:
        cache = Cache(Path(arguments.cache).expanduser().resolve(), read_versions())
        found = find(cache, arguments.binary_dir, arguments.check)
    except BinariesError as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        say(f"error: cannot write {arguments.cache}: {error.strerror or error}: {error.filename or ''}")
        return 1
    source, folder = found or ("to be made", cache.folder)
    print(f"source: {source}\n{folder}")
    return 0 if found else NOT_MADE


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
