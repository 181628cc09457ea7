# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.faults`: the fault campaign on three real API servers, or the replay of one plan.

python -m tests.faults run [--full] [--seed N] [--only CLASS] [--output FILE]
python -m tests.faults replay FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "collections")]  # as pytest has them

from tests.faults.campaign import FULL, Campaign, as_json, table  # noqa: E402
from tests.faults.lab import laboratory  # noqa: E402
from tests.faults.plans import load_plan  # noqa: E402


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="the whole campaign, or a seeded selection of it")
    run.add_argument("--full", action="store_true", help="every plan; otherwise the selection of `make test`")
    run.add_argument("--seed", type=int, default=1, help="chooses the plans (%(default)s)")
    run.add_argument("--only", action="append", default=[], choices=sorted(FULL), help="a class; may be repeated")
    run.add_argument("--output", type=Path, help="write the figures there as JSON")
    replay = commands.add_parser("replay", help="one plan")
    replay.add_argument("plan", type=Path)
    replay.add_argument("--times", type=int, default=1, help="how often (%(default)s)")
    parser.add_argument("--binaries", type=Path, help="folder of etcd and kube-apiserver (found or built otherwise)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it leaves nothing running
    return asyncio.run(campaign(options) if options.command == "run" else replayed(options))


async def campaign(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tmc-faults-") as folder:
        async with laboratory(ROOT, options.binaries or binaries(), Path(folder)) as lab:
            await lab.start_all()
            figures = await Campaign(lab, seed=options.seed, full=options.full, only=options.only).run()
    print(table(figures))
    if options.output:
        machine = {"machine": platform.machine(), "python": platform.python_version(), "seed": options.seed}
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(machine | as_json(figures), indent=2) + "\n")
    return 0 if figures.good else 1


async def replayed(options: argparse.Namespace) -> int:
    plan, failures = load_plan(options.plan), 0
    with tempfile.TemporaryDirectory(prefix="tmc-faults-") as folder:
        async with laboratory(ROOT, options.binaries or binaries(), Path(folder)) as lab:
            await lab.start_all()
            replaying = Campaign(lab, seed=0, full=False)
            for _time in range(options.times):
                outcome = await replaying.replay(plan)
                met = "" if outcome.reached else " (a fault was not met)"
                print(f"{plan.name}: {'survived' if outcome.survived else 'FAILED'}{met}", flush=True)
                if not outcome.survived:
                    failures += 1
                    print("\n".join([*outcome.problems, *lab.audit.history[outcome.namespace]]))
    return 1 if failures else 0


def binaries() -> Path:
    """The folder with kube-apiserver and etcd, fetched or built into the cache when they are nowhere."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = os.environ.get("TMC_CACHE_DIR") or str(user_cache / "tmc-cross-cluster")
    command = [sys.executable, str(ROOT / "controlplane" / "binaries.py"), "--cache", cache]
    run = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE)
    return Path(run.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
