# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What supervised programs say of themselves on loopback."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from runtime.tests.core.scraping import scrape
from tests.integration.admission_lab import eventually
from tests.integration.deployed_fabric import Fabric

PROGRAMS = ("kcp-syncer-east", "kcp-syncer-west", "taskqueue-controller-west")


def ask(fabric: Fabric, program: str, path: str) -> tuple[int, str]:
    """(status, body); 0 while nobody answers."""
    try:
        url = (fabric.state_dir / "run" / f"{program}.url").read_text().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url + path, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (FileNotFoundError, urllib.error.URLError):
        return 0, ""


def test_every_program_is_alive_ready_and_counted(fabric: Fabric) -> None:
    for program in PROGRAMS:
        eventually(lambda program=program: ask(fabric, program, "/readyz")[0] == 200, f"{program} is ready")
        status, body = ask(fabric, program, "/healthz")
        assert status == 200
        assert set(json.loads(body)["checks"].values()) == {"ok"}
        found = scrape(ask(fabric, program, "/metrics")[1])
        assert found.value("tmc_leader") == 1
        assert found.value("tmc_api_requests_total") > 0
        assert found.value("tmc_reflector_lists_total") > 0
