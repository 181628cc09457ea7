#!/usr/bin/env python3
# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Judge millions of the planner's answers, and search the small model in full.

A failure prints how to play it again; one on a made-up state is kept in `runtime/tests/sync/cases/`, which `make test`
plays again for ever. Commit it with the fix.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("test_planner_states", "test_planner_fuzz", "test_planner_order")
SEARCH = "test_small_model"


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plans", type=int, default=3_000_000, help="answers on any state (default: 3000000)")
    parser.add_argument("--worlds", type=int, default=20_000, help="random worlds, for each of two processors")
    parser.add_argument("--scripts", type=int, default=3_000, help="scripts that are played in several orders")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6) + 2, help="default: another one each time")
    parser.add_argument("--no-search", action="store_true", help="leave the search of the small model out")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    environment = {
        **os.environ,
        "TMC_FUZZ_PLANS": str(options.plans),
        "TMC_FUZZ_WORLDS": str(options.worlds),
        "TMC_FUZZ_SCRIPTS": str(options.scripts),
        "TMC_FUZZ_SEED": str(options.seed),
        "TMC_SEARCH": "full",
    }
    tests = TESTS if options.no_search else (*TESTS, SEARCH)
    files = [str(ROOT / "runtime" / "tests" / "sync" / f"{name}.py") for name in tests]
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *files], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
