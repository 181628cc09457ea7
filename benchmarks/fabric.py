#!/usr/bin/env python3
"""Figures of a running fabric: status latency, submission of many TaskQueues, memory and processor time of the syncers.

    python benchmarks/fabric.py [--state DIR] [--objects 1000] [--changes 200]

It uses the fabric that `make demo` with DEMO_SKIP_CLEANUP=true, or playbooks/deploy.yml, has left running, and removes
what it creates. Nothing here passes or fails on time: it reports.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import yaml

from tmc.api.client import ApiClient
from tmc.api.kubeconfig import load_kubeconfig
from tmc.api.resource import Resource

TASK_QUEUES = Resource("demo.tmc.io", "v1", "taskqueues", "TaskQueue")
DEFAULT_STATE = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local/state")) / "tmc-cross-cluster"
REPOSITORY = Path(__file__).resolve().parent.parent
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
Clients = dict[str, ApiClient]


def queue(name: str, tasks: int = 5, duration: str | None = None) -> dict[str, Any]:
    simulate = {"simulate": {"duration": duration}} if duration else {}
    listed = [{"name": f"task-{i}", "command": f"bench --task={i}", **simulate} for i in range(tasks)]
    return {
        "apiVersion": "demo.tmc.io/v1",
        "kind": "TaskQueue",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"region": "bench", "priority": "low", "parallelism": 1, "tasks": listed},
    }


def counted(obj: dict[str, Any]) -> str:
    """What changes with every status write: states and attempts of the tasks."""
    return str([(t["state"], t["attempts"]) for t in obj.get("status", {}).get("tasks", ())])


async def status_latency(clusters: Clients, source: str, target: str, changes: int) -> list[float]:
    """Seconds from a status change's watch event on `source` to the same change's watch event on `target`."""
    seen: dict[str, dict[tuple[str, str], float]] = {source: {}, target: {}}
    names = [f"bench-{uuid.uuid4().hex[:6]}" for _ in range(-(-changes // 20))]

    async def observe(cluster: str) -> None:
        start = (await clusters[cluster].list(TASK_QUEUES, "default")).resource_version
        stream = clusters[cluster].watch(TASK_QUEUES, start, "default", timeout_seconds=600, inactivity=600)
        async for event in stream:
            name = event.object["metadata"].get("name", "")
            if name in names and event.type == "MODIFIED":
                seen[cluster].setdefault((name, counted(event.object)), time.perf_counter())

    observers = [asyncio.create_task(observe(cluster)) for cluster in seen]
    await asyncio.sleep(0.5)
    for name in names:  # one after the other, with pauses between the changes: latency, not throughput
        await clusters[target].create(TASK_QUEUES, queue(name, tasks=20, duration="100ms"), field_manager="bench")
        await until(clusters[target], lambda items, n=name: any(i["metadata"]["name"] == n and done(i) for i in items))
    for observer in observers:
        observer.cancel()
    for name in names:
        obj = await clusters[target].get(TASK_QUEUES, name, "default")
        await clusters[target].delete(TASK_QUEUES, name, "default", uid=obj["metadata"]["uid"])
    both = seen[source].keys() & seen[target].keys()
    return sorted(seen[target][change] - seen[source][change] for change in both)


def done(obj: dict[str, Any]) -> bool:
    return obj.get("status", {}).get("phase") in ("Completed", "Failed")


async def until(client: ApiClient, holds: Any) -> None:
    while not holds((await client.list(TASK_QUEUES, "default")).items):  # noqa: ASYNC110 - polling is the measure
        await asyncio.sleep(0.2)


async def submission(clusters: Clients, state: Path, origin: str, objects: int) -> dict[str, float]:
    """One module task submits many TaskQueues on `origin`; seconds until accepted, and until present everywhere."""
    prefix = f"many-{uuid.uuid4().hex[:6]}"
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [
                {
                    "name": "Submit",
                    "tmc.cross_cluster.taskqueue": {
                        "kubeconfig": str(kubeconfig(state, origin)),
                        "template": queue(f"{prefix}-{{index}}", tasks=1, duration="1h"),
                        "count": objects,
                        "state": "{{ wanted }}",
                    },
                }
            ],
        }
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yml", dir=REPOSITORY / ".cache") as file:
        yaml.safe_dump(play, file)
        file.flush()
        before = time.perf_counter()
        arrivals = asyncio.create_task(all_present(clusters, prefix, objects))
        accepted = await asyncio.to_thread(run_play, file.name, "present")
        present = await arrivals
        figures = {"task": accepted, "present everywhere": present - before}
        gone = time.perf_counter()
        await asyncio.to_thread(run_play, file.name, "absent")
        for client in clusters.values():
            await until(client, lambda items: not any(i["metadata"]["name"].startswith(prefix) for i in items))
        return figures | {"gone everywhere": time.perf_counter() - gone}


def run_play(path: str, state: str) -> float:
    playbook = str(Path(sys.executable).with_name("ansible-playbook"))
    steering = ["-e", f"wanted={state}", "-e", f"ansible_python_interpreter={sys.executable}"]
    started = time.perf_counter()
    run = subprocess.run(
        [playbook, "-i", "localhost,", "-c", "local", path, *steering],
        check=False, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if run.returncode != 0:
        raise RuntimeError(f"the play failed:\n{run.stdout}")
    return time.perf_counter() - started


async def all_present(clusters: Clients, prefix: str, objects: int) -> float:
    for client in clusters.values():
        while True:
            listed = (await client.list(TASK_QUEUES, "default", metadata_only=True)).items
            if sum(i["metadata"]["name"].startswith(prefix) for i in listed) == objects:
                break
            await asyncio.sleep(0.3)
    return time.perf_counter()


def kubeconfig(state: Path, cluster: str) -> Path:
    return state / "kubeconfigs" / f"controller-{cluster}.kubeconfig"


def our_processes(state: Path) -> dict[str, int]:
    """Process ids of the syncers and the controller that work from `state`, by what they are."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        words = entry.read_bytes().decode(errors="replace").split("\0")
        for part in ("syncer", "controller"):
            if part in words[:4] and any(str(state) in word for word in words):
                named = next((word.partition("=")[2] for word in words if word.startswith("--member=")), "")
                found[f"{part} {named}".strip()] = int(entry.parent.name)
    return found


def usage(pid: int) -> tuple[float, float]:
    """(processor seconds so far, resident MiB) of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--state", type=Path, default=Path(os.environ.get("TMC_STATE_DIR", DEFAULT_STATE)))
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=200)
    args = parser.parse_args()
    names = sorted(p.name[len("controller-") : -len(".kubeconfig")] for p in (args.state / "kubeconfigs").glob("*"))
    if not {"east", "west"} <= set(names):
        parser.error(f"no running fabric in {args.state} (found: {names}); deploy one with playbooks/deploy.yml")
    async with AsyncExitStack() as stack:
        clusters = {
            n: await stack.enter_async_context(ApiClient(load_kubeconfig(kubeconfig(args.state, n)))) for n in names
        }
        processes = our_processes(args.state)
        idle = {what: usage(pid)[0] for what, pid in processes.items()}
        await asyncio.sleep(20)
        for what, pid in processes.items():
            print(f"{what}: idle {(usage(pid)[0] - idle[what]) / 20 * 100:.2f} % of a core, {usage(pid)[1]:.0f} MiB")
        delays = await status_latency(clusters, "west", "east", args.changes)
        p50, p99 = statistics.median(delays), delays[min(len(delays) - 1, int(len(delays) * 0.99))]
        print(f"status west -> east: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, N {len(delays)}")
        for what, seconds in (await submission(clusters, args.state, "east", args.objects)).items():
            print(f"{args.objects} TaskQueues, {what}: {seconds:.1f} s")
        for what, pid in processes.items():
            print(f"{what}: {usage(pid)[1]:.0f} MiB after {args.objects} objects")


if __name__ == "__main__":
    asyncio.run(main())
