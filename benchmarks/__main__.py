# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Measure the fabric on throwaway control planes, and write a table and a plot. Nothing passes or fails on time.

make bench                                  everything (ARGS="--quick" for a short form)
python -m benchmarks --only latency,writes --rounds 500
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import growth, latency, lives, report, throughput
from benchmarks.fabric import REGIONS, Fabric, FabricError, throwaway_fabric
from benchmarks.figures import Row
from benchmarks.machine import described, kubernetes_version

PARTS = ("latency", "writes", "throughput", "recovery", "members")
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass
class Results:
    rows: list[Row] = field(default_factory=list)
    delays: latency.Delays = field(default_factory=dict)

    @property
    def missed(self) -> list[str]:
        """The figures whose targets were missed."""
        return [row.figure for row in self.rows if row.verdict == "missed"]

    def add(self, rows: list[Row]) -> None:
        """Take them, and print them."""
        for row in rows:
            if not self.rows or self.rows[-1].section != row.section:
                print(row.section)
            print(report.line(row), flush=True)
            self.rows.append(row)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, interrupted)
    begun, machine, results = time.monotonic(), described(), Results()
    try:
        run(options, machine, results)
    except FabricError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:  # what was measured before something went wrong is kept
        machine["whole run"] = f"{time.monotonic() - begun:.0f} s: {' '.join(arguments) or 'everything'}"
        finish(options, machine, results)
    return 1 if options.strict and results.missed else 0


def finish(options: argparse.Namespace, machine: dict[str, str], results: Results) -> None:
    """Write the results, if there are any, and say what they come to."""
    if results.rows:
        results.rows.sort(key=lambda row: row.section == growth.SECTION)  # last, though its first part came first
        file = options.output / f"{options.name}.json"
        report.write(file, results.rows, machine, results.delays)
        print(
            f"targets missed: {', '.join(results.missed) or 'none'}\n{machine['whole run']}\n{file.with_suffix('.md')}"
        )


def run(options: argparse.Namespace, machine: dict[str, str], results: Results) -> None:
    """Fabric after fabric: the first is measured in full, others only for the cost of more members."""
    parts = set(options.only)
    members = options.members if "members" in parts else []
    if parts - {"members"}:
        with deployed(2, options.executable) as fabric:
            machine["Kubernetes"] = asyncio.run(kubernetes_version(fabric))
            if 2 in members:  # before there are many objects
                results.add(asyncio.run(growth.measure(fabric, options.rounds // 5, options.lives)))
            in_full(fabric, options, parts, results)
        members = [number for number in members if number != 2]
    for number in members:
        with deployed(number, options.executable) as fabric:
            machine.setdefault("Kubernetes", asyncio.run(kubernetes_version(fabric)))
            results.add(asyncio.run(growth.measure(fabric, options.rounds // 5, options.lives)))


def in_full(fabric: Fabric, options: argparse.Namespace, parts: set[str], results: Results) -> None:
    """What is measured on one fabric of two members, the many objects last."""
    if "latency" in parts:
        results.delays = asyncio.run(latency.measure(fabric, options.rounds))
        results.add(latency.rows(results.delays))
    if "writes" in parts:
        results.add(asyncio.run(lives.measure(fabric, options.lives, options.queues)))
    if parts & {"throughput", "recovery"}:
        counts = sorted({min(1000, options.objects), options.objects})
        if "throughput" not in parts:
            counts = counts[-1:]
        rounds, recover = options.rounds // 5, "recovery" in parts
        asyncio.run(throughput.measure(fabric, counts, rounds, results.add, recover=recover))


@contextmanager
def deployed(members: int, executable: Path | None) -> Iterator[Fabric]:
    """A throwaway fabric; says how long it took to come and go."""
    begun = time.monotonic()
    print(f"deploying a fabric of a hub and {members} members", flush=True)
    with throwaway_fabric(members, executable) as fabric:
        print(f"  deployed in {time.monotonic() - begun:.0f} s", flush=True)
        yield fabric


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", type=chosen_parts, default=list(PARTS), help=f"some of {','.join(PARTS)} (all)")
    parser.add_argument("--quick", action="store_true", help="fewer of everything: --rounds 100 --objects 1000 ...")
    parser.add_argument("--strict", action="store_true", help="end with 1 when a target is missed")
    parser.add_argument("--rounds", type=positive, help="status changes of each system (1000; quick: 100)")
    parser.add_argument("--objects", type=positive, help="objects of the largest burst (10000; quick: 1000)")
    parser.add_argument("--lives", type=positive, help="objects whose writes are counted (20; quick: 5)")
    parser.add_argument("--queues", type=positive, help="TaskQueues whose writes are counted (10; quick: 3)")
    parser.add_argument("--members", type=member_counts, help="sizes of fabrics (2,3,5; quick: 2,3)")
    parser.add_argument("--executable", type=Path, help="another tmc program, to compare two (the installed one)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results (%(default)s)")
    parser.add_argument("--name", help="name of the files there (bench; quick: bench-quick)")
    options = parser.parse_args(arguments)
    full = {"rounds": 1000, "objects": 10000, "lives": 20, "queues": 10, "members": [2, 3, 5], "name": "bench"}
    quick = {"rounds": 100, "objects": 1000, "lives": 5, "queues": 3, "members": [2, 3], "name": "bench-quick"}
    for name, value in (quick if options.quick else full).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def chosen_parts(text: str) -> list[str]:
    parts = text.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is no part; there are {', '.join(PARTS)}")
    return parts


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a number of at least 1")
    return int(text)


def member_counts(text: str) -> list[int]:
    counts = [positive(part) for part in text.split(",")]
    if not all(2 <= count <= len(REGIONS) for count in counts):
        raise argparse.ArgumentTypeError(f"'{text}' must be numbers from 2 to {len(REGIONS)}, such as 2,3,5")
    return counts


def interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    """Asked to end: take the fabric down on the way out."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
