# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of a play."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.tmc.cross_cluster.plugins.modules import taskqueue_info
from ansible_collections.tmc.cross_cluster.plugins.plugin_utils import _story

ROOT = Path(__file__).parents[3]
PLAY = """
- name: "Step 1: Something"
  hosts: all
  gather_facts: false
  tasks:
    - name: Quiet when nothing changes
      ansible.builtin.set_fact: {x: 1}
    - name: Planes ready
      ansible.builtin.command: /bin/true
    - name: Tell
      ansible.builtin.debug: {msg: ["first line", "$ kubectl get x"]}
      run_once: true
- name: "Step 1: Something"
  hosts: all
  gather_facts: false
  tasks:
    - name: Must hold
      ansible.builtin.assert: {that: inventory_hostname != 'east', fail_msg: "east is\\nnot allowed"}
"""
INVENTORY = """
all:
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  hosts: {kcp: , east: , west: }
"""


def play(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(PLAY)
    (folder / "hosts.yml").write_text(INVENTORY)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "play.yml", *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_STDOUT_CALLBACK": "tmc.cross_cluster.story",
        "ANSIBLE_HOME": str(folder / "home"),
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return play(tmp_path_factory.mktemp("story"))


def test_a_failed_play_fails(told: subprocess.CompletedProcess[str]) -> None:
    assert told.returncode == 2, told.stdout + told.stderr


def test_plays_of_one_name_are_one_section(told: subprocess.CompletedProcess[str]) -> None:
    assert told.stdout.count("━━ Step 1: Something ━") == 1


def test_a_change_is_one_line_with_its_hosts_in_the_order_of_the_inventory(
    told: subprocess.CompletedProcess[str],
) -> None:
    (line,) = [line for line in told.stdout.splitlines() if "Planes ready" in line]
    assert line.split()[:6] == ["✓", "Planes", "ready", "kcp", "east", "west"]
    assert line.endswith(" s")


def test_what_changes_nothing_says_nothing(told: subprocess.CompletedProcess[str]) -> None:
    assert "Quiet" not in told.stdout


def test_messages_are_plain_lines(told: subprocess.CompletedProcess[str]) -> None:
    assert "\n  first line\n  $ kubectl get x\n" in told.stdout


def test_a_failure_names_host_and_message_first(told: subprocess.CompletedProcess[str]) -> None:
    assert "  ✗ Must hold\n    east: east is\n      not allowed\n" in told.stdout


def test_the_recap_has_the_figures_that_people_and_scripts_read(told: subprocess.CompletedProcess[str]) -> None:
    (east,) = [line for line in told.stdout.splitlines() if line.startswith("east ")]
    assert "changed=1 " in east
    assert "failed=1 " in east


def test_without_a_terminal_there_is_no_escape_code(told: subprocess.CompletedProcess[str]) -> None:
    assert "\x1b" not in told.stdout
    assert "\r" not in told.stdout


def test_verbose_it_is_the_default_callback(tmp_path: Path) -> None:
    assert "TASK [Quiet when nothing changes]" in play(tmp_path, "-v").stdout


def test_durations_are_said_as_people_say_them() -> None:
    assert [_story.took(value) for value in (0.04, 59.94, 61, 3600)] == ["0.0 s", "59.9 s", "1 min 01 s", "60 min 00 s"]


def test_a_long_failure_is_cut_and_says_so() -> None:
    lines = _story.failure_lines({"msg": "no", "stdout": "\n".join(map(str, range(500))), "rc": 1, "invocation": {}})
    assert lines[0] == "no"
    assert len(lines) == _story.MAX_DETAIL_LINES + 2
    assert "-v shows everything" in lines[-1]


def test_progress_is_told_of_taskqueues_only() -> None:
    meta = {"name": "a", "namespace": "default", "uid": "u"}
    one = taskqueue_info.summary({"metadata": meta, "status": {"phase": "Running", "progress": "1/2"}})
    assert _story.progress([one, {"kind": "Pod"}, "text"]) == "a 1/2"
    assert _story.progress([one, {**one, "name": "b", "progress": ""}]) == "a 1/2, b -"
