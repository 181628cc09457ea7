#!/usr/bin/env python3
# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines of docker and kind, as far as our module uses them; containers are files in $FAKE_ENGINE.

Links to this file named docker and kind are put on PATH. Every call is written to $FAKE_ENGINE/calls. A file
$FAKE_ENGINE/break-<cluster> makes kind fail half-way.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(os.environ["FAKE_ENGINE"])
LABEL = "io.x-k8s.kind.cluster"


def containers() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(ROOT.glob("*.container"))}


def save(document: dict[str, Any]) -> None:
    (ROOT / f"{document['Id']}.container").write_text(json.dumps(document))


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def listed(filter_: str) -> list[str]:
    key, _, value = filter_.partition("=")
    if key == "label":
        return [one["Id"] for one in containers().values() if value in one["Config"]["Labels"]]
    return [one["Id"] for one in containers().values() if re.search(value, one["Name"])]


def docker(arguments: list[str]) -> int:
    command, last = arguments[0], arguments[-1]
    if command == "info":
        print((ROOT / "info").read_text())
    elif command == "ps":
        print("\n".join(listed(option(arguments, "--filter"))))
    elif command == "inspect":
        print(json.dumps([containers()[each] for each in arguments[1:]]))
    elif command == "start":
        save({**containers()[last], "State": {"Status": "running"}})
    elif command == "rm":
        (ROOT / f"{last}.container").unlink()
    elif command == "exec":
        inside(arguments[1], last)
    return 0


def inside(name: str, script: str) -> None:
    node = next(one for one in containers().values() if name in (one["Id"], one["Name"]))
    if script.startswith("mkdir"):
        save({**node, "complete": True})
    else:
        print("whole" if node.get("complete") else "half")


def kind(arguments: list[str]) -> int:
    name = option(arguments, "--name")
    if arguments[0] == "get":
        print(json.dumps(kubeconfig(name)))
        return 0
    config = json.loads(Path(option(arguments, "--config")).read_text())
    mount = config["nodes"][0]["extraMounts"][0]
    save(
        {
            "Id": f"id-{os.getpid()}",
            "Name": f"{name}-control-plane",
            "State": {"Status": "running"},
            "Config": {"Image": option(arguments, "--image"), "Labels": {LABEL: name}},
            "HostConfig": {
                "Binds": [f"{mount['hostPath']}:{mount['containerPath']}:ro"],
                "PortBindings": {"6443/tcp": [{"HostPort": str(config["networking"]["apiServerPort"])}]},
            },
        }
    )
    if (ROOT / f"break-{name}").exists():
        print("kubeadm said no")
        return 1
    return 0


def kubeconfig(name: str) -> dict[str, Any]:
    context = f"kind-{name}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"certificate-authority-data": name, "server": "https://x"}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "users": [{"name": context, "user": {}}],
        "current-context": context,
    }


if __name__ == "__main__":
    program = Path(sys.argv[0]).name
    with (ROOT / "calls").open("a", encoding="utf-8") as calls:
        calls.write(" ".join([program, *sys.argv[1:]]) + "\n")
    sys.exit((docker if program == "docker" else kind)(sys.argv[1:]))
