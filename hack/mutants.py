#!/usr/bin/env python3
# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Plant bugs in a copy of the runtime, one at a time, and see that a test goes red for each.

The list is `runtime/tests/mutants/*.toml`. The tests that are nearest to the changed file run first, then all of the
runtime's. Exit code 0: the unchanged copy is green, and the share of mutants that were caught is at least --least.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runtime.tests.mutants.catalogue import SOURCES, Mutant, Stale, catalogue

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "runtime" / "tests"
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", f"--rootdir={ROOT}")
SMALLER = {"TMC_FUZZ_PLANS": "30000", "TMC_FUZZ_WORLDS": "200", "TMC_FUZZ_SCRIPTS": "30"}
PURE = ("planner.py", "held.py", "image.py", "objects.py", "status.py")
DEADLINE_SECONDS = 900.0  # only ends a hang, which a bug may well bring about


@dataclass(frozen=True)
class Verdict:
    """`caught` is the test that went red, or what else happened; empty: all stayed green."""

    mutant: Mutant
    caught: str
    seconds: float


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    options = parse(arguments)
    wanted = options.only or [""]
    mutants = [m for m in catalogue() if any(word in f"{m.name} {m.file}" for word in wanted)]
    try:
        for mutant in mutants:
            mutant.applied()
    except Stale as stale:
        print(f"mutants: {stale}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="tmc-mutants-") as folder:
        places = [copied(Path(folder) / str(number)) for number in range(options.jobs)]
        if not options.no_baseline and (red := failing(places[0], (TESTS,))):
            print(f"mutants: without any bug {red} is red already", file=sys.stderr)
            return 2
        verdicts = list(judged(mutants, places))
    return summary(verdicts, options.least)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", help="words: mutants with one of them in name or file (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="copies that are tested at a time (default: 2)")
    parser.add_argument("--least", type=float, default=95.0, help="per cent that must be caught (default: 95)")
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not look first whether all is green without bugs"
    )
    return parser.parse_args(arguments)


def copied(place: Path) -> Path:
    shutil.copytree(SOURCES, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def judged(mutants: list[Mutant], places: list[Path]) -> list[Verdict]:
    """Each mutant in whichever copy is free, told as it is known."""
    free: SimpleQueue[Path] = SimpleQueue()
    for place in places:
        free.put(place)

    def one(mutant: Mutant) -> Verdict:
        place = free.get()
        try:
            verdict = judge(mutant, place)
        finally:
            free.put(place)
        said = f"caught by {verdict.caught}" if verdict.caught else "SURVIVED"
        print(f"{mutant.name:<42} {verdict.seconds:6.1f} s  {said}", flush=True)
        return verdict

    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(one, mutants))


def judge(mutant: Mutant, place: Path) -> Verdict:
    started = time.monotonic()
    file = place / mutant.file
    file.write_text(mutant.applied(), encoding="utf-8")
    try:
        caught = next((red for tests in rounds(mutant.file) if (red := failing(place, tests))), "")
    finally:
        shutil.copyfile(SOURCES / mutant.file, file)
    return Verdict(mutant, caught, time.monotonic() - started)


def rounds(file: str) -> list[tuple[Path, ...]]:
    """Which tests to run, one set after the other, for a bug in this file."""
    area, name = Path(file).parent.name, Path(file).name
    sync = TESTS / "sync"
    searches = {sync / "test_small_model.py"}
    planner = set(sync.glob("test_planner*.py"))
    if name in PURE:
        return [tuple(sorted(planner)), tuple(sorted(searches)), (TESTS,)]
    if area == "sync":
        near = sorted(set(sync.glob(f"test_{Path(name).stem}*.py")))
        others = sorted(set(sync.glob("test_*.py")) - planner - searches - set(near))
        return [(*near, *others), (TESTS,)]
    return [(TESTS / "core", TESTS / "api"), (TESTS,)]


def failing(place: Path, tests: tuple[Path, ...]) -> str:
    """The first test that is red with this copy of the runtime; empty: none is.

    A test that is green when it runs once more, alone, was red for another reason: the others run without it.
    """
    left_out: list[str] = []
    while red := first_red(place, [*map(str, tests), *(f"--deselect={test}" for test in left_out)]):
        if "::" not in red or first_red(place, [red]):
            return red.removeprefix("runtime/tests/")
        print(f"mutants: {red} was red once and then green", file=sys.stderr, flush=True)
        left_out.append(red)
    return ""


def first_red(place: Path, arguments: list[str], *, again: bool = False) -> str:
    environment = {**os.environ, **SMALLER, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["TMC_FUZZ_CASES"] = str(place / "cases")  # what a planted bug breaks is no case to keep
    ignored = f"--ignore={TESTS / 'mutants'}"
    command = [*PYTEST, ignored, "-p", "runtime.tests.mutants.elsewhere", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"a hang of more than {DEADLINE_SECONDS:.0f} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode == 0:
        return ""
    red = re.search(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", output, re.MULTILINE)
    if process.returncode < 0 and not again:
        return first_red(place, arguments, again=True)  # ended from outside, as by a lack of memory
    if process.returncode not in (1, 2) or not red:
        raise RuntimeError(f"pytest ended with {process.returncode}:\n{output}")
    return red[1]


def summary(verdicts: list[Verdict], least: float) -> int:
    survivors = [v.mutant for v in verdicts if not v.caught]
    caught = len(verdicts) - len(survivors)
    share = 100 * caught / len(verdicts) if verdicts else 0.0
    for mutant in survivors:
        print(f"survived: {mutant.name} ({mutant.file}): {mutant.breaks}")
    print(f"mutants: {caught} of {len(verdicts)} caught ({share:.1f} %; at least {least:g} % asked)")
    return 0 if verdicts and share >= least else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
