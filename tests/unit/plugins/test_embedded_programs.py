# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is run, and the configuration that makes supervisord run it."""

from __future__ import annotations

import configparser
import json
import shlex
import sys
from pathlib import Path

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_programs import (
    Program,
    plane_program_names,
    plane_programs,
    supervisord_conf,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import Cluster

EAST = Cluster("east", 37444)


def argv(part: str) -> list[str]:
    (program,) = [p for p in plane_programs(EAST, "/state/planes/east", "/bin") if p.name == f"plane-east-{part}"]
    return list(program.argv)


def test_the_api_server_has_the_only_tcp_port_and_it_is_local() -> None:
    assert {"--secure-port=37444", "--bind-address=127.0.0.1"} <= set(argv("apiserver"))
    assert "--secure-port=0" in argv("controller-manager")
    urls = [a.split("=", 1)[1] for a in argv("etcd") if "urls=" in a]
    assert len(urls) == 4
    assert all(url.startswith("unix://") for url in urls)


def test_rbac_is_on_and_anonymous_requests_are_limited() -> None:
    assert {"--authorization-mode=RBAC", "--authentication-config=authentication.yaml"} <= set(argv("apiserver"))


def test_etcd_syncs_to_disk() -> None:
    assert not [a for a in argv("etcd") if "fsync" in a]


def test_programs_are_found_by_the_names_that_they_have() -> None:
    programs = plane_programs(EAST, "/state/planes/east", "/bin")
    assert {program.name for program in programs} == set(plane_program_names("east"))
    # What uses etcd stops before etcd: supervisord stops the highest priority first.
    assert [p.name for p in sorted(programs, key=lambda p: -p.priority)] == plane_program_names("east")


def test_a_section_is_read_back_as_it_was_meant() -> None:
    program = Program("syncer-east", ["/opt/my tools/100%/tmc", "a;b", 'q"x'], {"A": "% ; \" '\n"}, "/x y")
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(program.section())
    section = parser["program:syncer-east"]
    # The last word is the digest; nothing of the definition itself is in the ini file.
    assert shlex.split(section["command"])[-3:-1] == ["tied.py", "syncer-east"]
    assert section["autorestart"] == "true"
    assert int(section["startretries"]) > 100_000
    assert section["stdout_logfile_maxbytes"] != "0"
    assert json.loads(program.definition()) == {
        "argv": ["/opt/my tools/100%/tmc", "a;b", 'q"x'],
        "cwd": "/x y",
        "env": {"A": "% ; \" '\n"},
    }


@pytest.mark.parametrize(
    "other",
    [
        Program("a", ["tmc", "x"]),
        Program("a", ["tmc"], {"K": "v"}),
        Program("a", ["tmc"], {}, "/tmp"),
        Program("a", ["tmc"], restart_on={"/hub.kubeconfig": "one"}),
    ],
)
def test_every_change_of_a_definition_changes_the_section(other: Program) -> None:
    assert other.section() != Program("a", ["tmc"]).section()


def test_what_a_program_is_restarted_on_is_in_its_section() -> None:
    one, two = (Program("a", ["tmc"], restart_on={"/hub.kubeconfig": content}) for content in ("one", "two"))
    assert one.section() != two.section()


def test_the_name_that_python_was_called_by_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Program("a", ["tmc"]).section()
    (tmp_path / "python3").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    assert Program("a", ["tmc"]).section() == before


def test_equal_definitions_are_equal_text() -> None:
    assert Program("a", ["x"], {"B": "2", "A": "1"}).section() == Program("a", ["x"], {"A": "1", "B": "2"}).section()


def test_a_long_state_directory_gets_a_socket_that_fits() -> None:
    assert "file=supervisord.sock\n" in supervisord_conf("/short/supervisor")
    assert "file=/proc/self/cwd/supervisord.sock\n" in supervisord_conf("/" + "x" * 120 + "/supervisor")
