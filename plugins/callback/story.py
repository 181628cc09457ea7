# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A play told as a story: steps, what happened where, how long it took."""

from __future__ import annotations

DOCUMENTATION = r"""
name: story
type: stdout
short_description: A play told as a story worth reading
version_added: 0.1.0
author:
  - The tmc.cross_cluster maintainers (@tmc-io)
description:
  - Each play is a section with a headline and the time it took. A play that has the name of the play before it
    continues that section.
  - A task that changed something is one line with the hosts it changed and its duration. Tasks that were ok or
    skipped say nothing.
  - Messages of M(ansible.builtin.debug) are printed as plain lines.
  - Failures are printed in full, the host and the message first.
  - Without a terminal, with E(NO_COLOR) or with E(TERM=dumb) there are no escape codes.
  - With C(-v) and more it behaves like P(ansible.builtin.default#callback).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - Set as C(stdout_callback) in the configuration.
"""

import sys
import time
import typing as t
from dataclasses import dataclass, field

from ansible import constants as C
from ansible import context
from ansible.plugins.callback.default import CallbackModule as Default

from ansible_collections.tmc.cross_cluster.plugins.plugin_utils import _story

if t.TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.inventory.host import Host
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

_DEBUG = ("debug", "ansible.builtin.debug", "ansible.legacy.debug")
# They finish at once, or they talk to the terminal themselves: no "working on it" line for them.
_NO_WAITING_LINE = ("assert", "debug", "fail", "include", "import", "meta", "pause", "set_", "validate")


@dataclass
class _TaskLine:
    """What is known of the task that runs now; becomes one line when it has changed something."""

    uuid: str
    title: str
    started: float
    changed: list[str] = field(default_factory=list)


@dataclass
class _Section:
    name: str
    started: float
    opened: bool = False


class CallbackModule(Default):
    """Prints sections, changed tasks, messages and failures; leaves the rest out."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "tmc.cross_cluster.story"

    def __init__(self) -> None:
        super().__init__()
        self._begun = time.monotonic()
        self._section: _Section | None = None
        self._line: _TaskLine | None = None
        self._mark = ""
        self._progress: dict[str, str] = {}
        self._failed: str = ""
        self._waiting = 0
        self._order: list[str] = []  # host names in the order in which tasks start on them: the inventory's

    # ---------------------------------------------------------------- plays and tasks

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        self._begun = time.monotonic()
        super().v2_playbook_on_start(playbook)

    def v2_playbook_on_play_start(self, play: Play) -> None:
        if self._verbose:
            super().v2_playbook_on_play_start(play)
            return
        self._play = play
        self._end_line()
        name = play.get_name().strip()
        # A play without a name is called after its hosts: plumbing, not a chapter.
        if self._section and (name == self._section.name or not play.name):
            return
        self._end_section()
        self._section = _Section(name, time.monotonic())
        self._mark = " [check mode: nothing is changed]" if play.check_mode else ""

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        self._start_task(task, "TASK")

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        self._start_task(task, "RUNNING HANDLER")

    def v2_playbook_on_include(self, included_file: t.Any) -> None:
        if self._verbose:
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        if self._verbose:
            super().v2_playbook_on_no_hosts_matched()

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        if not self._verbose:
            self._end_line()
            self._end_section()
            self._display.display(f"\nIt took {_story.took(time.monotonic() - self._begun)} in all.")
        super().v2_playbook_on_stats(stats)

    # ---------------------------------------------------------------- results

    def v2_runner_on_start(self, host: Host, task: Task) -> None:
        if host.get_name() not in self._order:
            self._order.append(host.get_name())
        super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        if self._verbose:
            super().v2_runner_on_ok(result)
            return
        self._warn(result)
        if result.task.action in _DEBUG:
            if not (result.task.loop and "results" in result.result):
                self._tell(result)
        elif result.result.get("changed"):
            self._line_of(result.task).changed += self._changed_hosts(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        if self._verbose:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        self._warn(result)
        if not (result.task.loop and "results" in result.result):  # else each failed item has been told already
            self._tell_failure(result, result.result)
        if ignore_errors:
            self._print("    ... which is allowed here", C.COLOR_SKIP)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        if self._verbose:
            super().v2_runner_on_unreachable(result)
            return
        self._warn(result)
        self._tell_failure(result, result.result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        if self._verbose:
            super().v2_runner_on_skipped(result)
        else:
            self._warn(result)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        if self._verbose:
            super().v2_runner_item_on_ok(result)
            return
        self._warn(result)
        if result.task.action in _DEBUG:
            self._tell(result)

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        if self._verbose:
            super().v2_runner_item_on_failed(result)
            return
        self._warn(result)
        self._tell_failure(result, result.result, item=self._get_item_label(result.result))

    def v2_runner_item_on_skipped(self, result: CallbackTaskResult) -> None:
        if self._verbose:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """A task that looks at TaskQueues until they are done tells how far they are, when that has changed."""
        if self._verbose:
            super().v2_runner_retry(result)
            return
        host = result.host.get_name()
        progress = _story.progress(result.result.get("taskqueues") or [])
        if progress and progress != self._progress.get(host):
            self._progress[host] = progress
            self._print(f"    {host}: {progress}", C.COLOR_SKIP)

    def v2_runner_on_async_poll(self, result: CallbackTaskResult) -> None:
        if self._verbose:
            super().v2_runner_on_async_poll(result)

    def v2_runner_on_async_ok(self, result: CallbackTaskResult) -> None:
        if self._verbose:
            super().v2_runner_on_async_ok(result)

    def v2_on_file_diff(self, result: CallbackTaskResult) -> None:
        if not self._verbose:
            self._erase_waiting()
            self._last_task_banner = result.task._uuid  # the diff alone, without the default's banner
        super().v2_on_file_diff(result)

    # ---------------------------------------------------------------- telling

    @property
    def _verbose(self) -> bool:
        return bool(self._display.verbosity)

    @property
    def _width(self) -> int:
        return min(max(self._display.columns, 50), 100)

    def _start_task(self, task: Task, prefix: str) -> None:
        if self._verbose:
            self._task_start(task, prefix=prefix)
            return
        self._end_line()
        self._line = _TaskLine(task._uuid, task.name or task.action, time.monotonic())
        if not task.action.rpartition(".")[2].startswith(_NO_WAITING_LINE):
            self._open_section()
            self._show_waiting(self._line.title)

    def _line_of(self, task: Task) -> _TaskLine:
        # With the free strategy results of several tasks come mixed.
        if self._line is None or self._line.uuid != task._uuid:
            self._end_line()
            self._line = _TaskLine(task._uuid, task.name or task.action, time.monotonic())
        return self._line

    def _place(self, host: str) -> int:
        return self._order.index(host) if host in self._order else len(self._order)

    @staticmethod
    def _changed_hosts(result: CallbackTaskResult) -> list[str]:
        """The host, or, when one task has done something for several clusters, those that its result names."""
        clusters = result.result.get("clusters")
        if isinstance(clusters, dict) and all(isinstance(entry, dict) for entry in clusters.values()):
            return [name for name, entry in clusters.items() if entry.get("changed")] or [result.host.get_name()]
        return [result.host.get_name()]

    def _end_line(self) -> None:
        self._erase_waiting()
        line, self._line = self._line, None
        if line is None or not line.changed:
            return
        self._open_section()
        hosts = sorted({*line.changed} - {"localhost"}, key=self._place)
        text = _story.done_line(line.title, hosts, time.monotonic() - line.started, self._width)
        self._display.display(text, color=C.COLOR_OK)

    def _open_section(self) -> None:
        """Prints the headline as soon as there is something to tell; a play that only looks stays silent."""
        if self._section and not self._section.opened:
            self._section.opened = True
            title = _story.heading(self._section.name + self._mark, self._width)
            self._display.display("\n" + title, color=C.COLOR_HIGHLIGHT)

    def _end_section(self) -> None:
        section, self._section = self._section, None
        if section and section.opened:
            self._display.display(f"  {_story.took(time.monotonic() - section.started)}", color=C.COLOR_SKIP)

    def _tell(self, result: CallbackTaskResult) -> None:
        value = result.result.get("msg")
        if value is None:
            hidden = ("changed", "failed", "item", "ansible_loop_var")
            value = {k: v for k, v in result.result.items() if k not in hidden and not k.startswith("_ansible")}
        for line in _story.plain_lines(value):
            self._print(f"  {line}".rstrip(), C.COLOR_VERBOSE if line.lstrip().startswith("$ ") else None)

    def _tell_failure(self, result: CallbackTaskResult, values: t.Mapping[str, t.Any], item: t.Any = None) -> None:
        self._erase_waiting()
        self._open_section()
        stderr = self.get_option("display_failed_stderr")
        if self._failed != result.task._uuid:
            self._failed = result.task._uuid
            title = self._line_of(result.task).title
            self._display.display(f"  ✗ {title}", color=C.COLOR_ERROR, stderr=stderr)
        host = self.host_label(result) + (f", {item}" if item is not None else "")
        first, *rest = _story.failure_lines(values)
        self._display.display(f"    {host}: {first}", color=C.COLOR_ERROR, stderr=stderr)
        for line in rest:
            self._display.display(f"      {line}", color=C.COLOR_ERROR, stderr=stderr)

    def _warn(self, result: CallbackTaskResult) -> None:
        self._erase_waiting()
        self._handle_warnings(result.result)

    def _print(self, text: str, color: str | None = None) -> None:
        self._erase_waiting()
        self._open_section()
        self._display.display(text, color=color)

    # ---------------------------------------------------------------- the line of the task that runs now

    def _show_waiting(self, title: str) -> None:
        """On a terminal only: say what is being worked on, without an escape code, to be overwritten later."""
        if sys.stdout.isatty() and not C.ANSIBLE_NOCOLOR and not context.CLIARGS.get("check"):
            text = f"  … {title}"[: self._width - 1]
            self._waiting = len(text)
            self._display.display(text, newline=False, screen_only=True)

    def _erase_waiting(self) -> None:
        if self._waiting:
            self._display.display("\r" + " " * self._waiting + "\r", newline=False, screen_only=True)
            self._waiting = 0
