# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A supervised process: real supervisord, a harmless program. Paths are long and have a space on purpose."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _embedded_supervisor as supervisor_module
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_fabric import Fabric
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_files import State, write
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_programs import Program
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_supervisor import (
    Supervisor,
    alive,
    wait_for,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._embedded_validate import EmbeddedError
from tests.unit.plugins.running import Ended, run_module

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="supervision needs Linux")
SLEEPER = Program("sleeper", ["/bin/sh", "-c", "echo $GREETING; exec sleep 600"], {"GREETING": 'it\'s 100% "fine"; #'})


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    state = State(str(tmp_path / ("a long name " + "x" * 100) / "state"))
    state.claim()
    supervisor = Supervisor(state)
    yield supervisor
    if supervisor.keeper_pid() or supervisor.pid():
        supervisor.shut_down()


def run(supervisor: Supervisor, program: Program) -> bool:
    """What the module supervised_process does."""
    changed = supervisor.write(program)
    supervisor.ensure_running()
    return bool(supervisor.converge([program.name])) or changed


def pid_of(supervisor: Supervisor, name: str = "sleeper") -> int:
    info = supervisor.processes().get(name, {})
    return int(info.get("pid", 0)) if info.get("statename") in ("STARTING", "RUNNING") else 0


def open_files(pid: int) -> set[str]:
    """What a process has open; a descriptor may be closed while we look."""
    found: set[str] = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


def wait_for_other(supervisor: Supervisor, old: int) -> None:
    wait_for(lambda: pid_of(supervisor) not in (0, old), 30, lambda: f"{supervisor.processes()}")


def test_it_runs_once_and_its_output_is_kept(supervisor: Supervisor) -> None:
    assert run(supervisor, SLEEPER)
    pid = pid_of(supervisor)
    assert pid
    assert not run(supervisor, SLEEPER)
    assert pid_of(supervisor) == pid
    log = supervisor.state.logs / "sleeper.log"
    wait_for(lambda: log.read_text(encoding="utf-8") == 'it\'s 100% "fine"; #\n', 10, lambda: log.read_text())


def test_nothing_of_the_callers_is_kept_open(supervisor: Supervisor) -> None:
    run(supervisor, SLEEPER)
    ours = {os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)} - {"/dev/null"}
    for pid in (supervisor.keeper_pid(), supervisor.pid(), pid_of(supervisor)):
        assert not open_files(pid or 0) & ours
        assert os.getsid(int(pid or 0)) != os.getsid(0)


def test_a_changed_definition_restarts_it(supervisor: Supervisor) -> None:
    run(supervisor, SLEEPER)
    old = pid_of(supervisor)
    assert run(supervisor, Program("sleeper", ["/bin/sleep", "601"]))
    wait_for_other(supervisor, old)
    assert not alive(old)


def test_what_was_stopped_by_hand_is_started_again(supervisor: Supervisor) -> None:
    run(supervisor, SLEEPER)
    supervisor.stop(["sleeper"])
    assert run(supervisor, SLEEPER)
    assert pid_of(supervisor)


def supervised(monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor, script: str, **more: Any) -> Ended:
    arguments = {"state_dir": str(supervisor.state.root), "name": "sleeper", "argv": ["/bin/sh", "-c", script]}
    return run_module(monkeypatch, "supervised_process", **{**arguments, **more})


def test_a_program_that_ends_at_once_is_told_with_its_log_and_tried_again(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = f"test -e {tmp_path / 'wanted'} && exec sleep 600; echo no {tmp_path / 'wanted'}; exit 2"
    for _ in range(2):
        ended = supervised(monkeypatch, supervisor, script)
        assert ended.failed
        assert "'sleeper' ended right after its start" in ended.result["msg"]
        assert f"no {tmp_path / 'wanted'}" in ended.result["msg"]
    (tmp_path / "wanted").touch()
    assert supervised(monkeypatch, supervisor, script, _ansible_check_mode=True).result["changed"]
    for changed in (True, False):
        ended = supervised(monkeypatch, supervisor, script)
        assert not ended.failed, ended.result["msg"]
        assert ended.result["changed"] == changed
    assert not supervised(monkeypatch, supervisor, script, _ansible_check_mode=True).result["changed"]


def test_a_program_is_up_when_it_says_so(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    os.utime(ready, (1, 1))  # of a program that ran before
    supervisor.ensure_running()
    with monkeypatch.context() as patience:
        patience.setattr(supervisor_module, "START_SECONDS", 5.0)
        ended = supervised(monkeypatch, supervisor, "sleep 1.5; echo too slow a death", ready_file=str(ready))
    assert ended.failed
    assert "was not up within 5 s" in ended.result["msg"]
    assert "too slow a death" in ended.result["msg"]
    script = f"echo x > {ready}; exec sleep 600"
    assert supervised(monkeypatch, supervisor, script, ready_file=str(ready)).result["changed"]
    assert not supervised(monkeypatch, supervisor, script, ready_file=str(ready)).result["changed"]


def test_it_is_restarted_when_what_it_reads_at_its_start_is_another(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kubeconfig, code = tmp_path / "hub.kubeconfig", tmp_path / "code"
    (code / "sync" / "__pycache__").mkdir(parents=True)
    (code / "sync" / "planner.py").write_text("one")
    kubeconfig.write_text("server: one")
    (tmp_path / "hub.token").write_text("one")
    restart_on = [str(kubeconfig), str(code)]

    def again(**more: Any) -> Ended:
        ended = supervised(monkeypatch, supervisor, "exec sleep 600", restart_on=restart_on, **more)
        assert not ended.failed, ended.result
        return ended

    assert again().result["changed"]
    for changed in (kubeconfig, code / "sync" / "planner.py", code / "new.py"):
        old = pid_of(supervisor)
        assert not again().result["changed"]
        changed.write_text("two")
        assert again(_ansible_check_mode=True).result["changed"]
        assert pid_of(supervisor) == old
        told = again().result
        assert told["changed"]
        assert told["diff"]["before"]["restart_on"] != told["diff"]["after"]["restart_on"]
        assert not alive(old)
    old = pid_of(supervisor)
    for other in (tmp_path / "hub.token", code / "sync" / "__pycache__" / "planner.pyc", code / ".planner.py.swp"):
        other.write_text("two")
    assert not again().result["changed"]
    assert pid_of(supervisor) == old


def test_what_it_reads_at_its_start_must_be_there(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone")
    ended = supervised(monkeypatch, supervisor, "exec sleep 600", restart_on=[gone], _ansible_check_mode=True)
    assert ended.result["changed"]
    ended = supervised(monkeypatch, supervisor, "exec sleep 600", restart_on=[gone])
    assert ended.failed
    assert f"restart_on '{gone}' of program 'sleeper' cannot be read" in ended.result["msg"]
    assert not supervised(monkeypatch, supervisor, "", state="absent", restart_on=[gone]).failed


def test_a_killed_program_comes_back(supervisor: Supervisor) -> None:
    run(supervisor, SLEEPER)
    old = pid_of(supervisor)
    os.kill(old, signal.SIGKILL)
    wait_for_other(supervisor, old)


def test_a_killed_supervisord_takes_its_programs_along_and_comes_back(supervisor: Supervisor) -> None:
    run(supervisor, SLEEPER)
    old, guardian = pid_of(supervisor), supervisor.pid()
    assert guardian
    os.kill(guardian, signal.SIGKILL)
    wait_for(lambda: not alive(old), 10, lambda: "the program outlived supervisord")
    wait_for(lambda: supervisor.pid() not in (None, guardian), 30, lambda: "supervisord did not come back")
    wait_for_other(supervisor, old)
    assert not run(supervisor, SLEEPER)


def test_without_its_keeper_all_goes_on_and_the_next_run_puts_it_back(supervisor: Supervisor) -> None:
    run(supervisor, SLEEPER)
    keeper, guardian, program = supervisor.keeper_pid(), supervisor.pid(), pid_of(supervisor)
    os.kill(keeper or 0, signal.SIGKILL)
    wait_for(lambda: supervisor.keeper_pid() is None, 10, lambda: "the keeper is still there")
    assert (supervisor.pid(), pid_of(supervisor)) == (guardian, program)
    assert supervisor.ensure_running()
    assert (supervisor.pid(), pid_of(supervisor)) == (guardian, program)
    # The new keeper watches the supervisord that it found.
    os.kill(guardian or 0, signal.SIGKILL)
    wait_for_other(supervisor, program)


@pytest.mark.parametrize("victims", [(), ("keeper",), ("supervisord",), ("keeper", "supervisord")])
def test_afterwards_nothing_is_left(supervisor: Supervisor, victims: tuple[str, ...]) -> None:
    run(supervisor, SLEEPER)
    pids = {"keeper": supervisor.keeper_pid(), "supervisord": supervisor.pid(), "program": pid_of(supervisor)}
    for victim in victims:
        os.kill(pids[victim] or 0, signal.SIGKILL)
    Fabric(supervisor.state, "").absent([], keep_logs=False)
    wait_for(lambda: not any(alive(pid or 0) for pid in pids.values()), 10, lambda: f"still there: {pids}")
    assert not supervisor.state.root.exists()


def test_logs_stay_when_asked_for_and_can_be_removed_later(supervisor: Supervisor) -> None:
    run(supervisor, SLEEPER)
    fabric = Fabric(supervisor.state, "")
    fabric.absent([], keep_logs=True)
    assert sorted(p.name for p in supervisor.state.root.iterdir()) == [".tmc-cross-cluster", "logs"]
    fabric.absent([], keep_logs=False)
    assert not supervisor.state.root.exists()


@pytest.mark.parametrize("folder", ["", "credentials", "planes"])
def test_a_removal_that_was_killed_is_carried_on_before_the_marker_goes(tmp_path: Path, folder: str) -> None:
    state = State(str(tmp_path / "state"))
    state.claim()
    half = state.root / folder / ".removing-east" / "east"
    half.mkdir(parents=True)
    (half / "hub.token").touch()
    Fabric(state, "").absent([], keep_logs=False)
    assert not state.root.exists()


def test_a_part_that_goes_takes_along_what_was_half_removed(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    state.claim()
    for path in (state.plane("west") / "plane.json", state.credentials / ".removing-east" / "hub.token"):
        write(path, "{}")
    Fabric(state, "").absent(["east"], keep_logs=False)
    assert not state.credentials.exists()
    assert state.plane("west").exists()


def test_what_is_half_removed_does_not_keep_the_next_fabric_out(tmp_path: Path) -> None:
    (tmp_path / ".removing-credentials").mkdir()
    assert State(str(tmp_path)).foreign() == []


def test_foreign_files_are_left_alone(supervisor: Supervisor) -> None:
    (supervisor.state.root / "notes.txt").write_text("mine", encoding="utf-8")
    Fabric(supervisor.state, "").absent([], keep_logs=False)
    assert [p.name for p in supervisor.state.root.iterdir()] == ["notes.txt"]


def test_a_directory_without_marker_is_refused(tmp_path: Path) -> None:
    (tmp_path / "planes" / "prod").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match="has no ownership marker; nothing removed"):
        Fabric(State(str(tmp_path)), "").refuse_foreign(["prod"])


def test_a_cluster_without_marker_is_refused(tmp_path: Path) -> None:
    state = State(str(tmp_path))
    state.claim()
    (tmp_path / "planes" / "prod" / "etcd").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match="cluster 'prod' has no ownership marker"):
        Fabric(state, "").refuse_foreign(["prod"])


def test_supervisord_that_cannot_start_says_why(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor.folder.mkdir()
    (supervisor.folder / "conf.d").mkdir()
    (supervisor.folder / "conf.d" / "broken.conf").write_text("[program:x]\nautostart=perhaps\n", encoding="utf-8")
    monkeypatch.setattr(supervisor_module, "START_SECONDS", 0.1)
    with pytest.raises(EmbeddedError, match="supervisord did not start"):
        supervisor.ensure_running()
    errors = supervisor.state.logs / "supervisord.stderr"
    wait_for(lambda: errors.exists() and "perhaps" in errors.read_text(), 60, lambda: "supervisord said nothing")
    with pytest.raises(EmbeddedError, match="perhaps"):
        supervisor.ensure_running()
