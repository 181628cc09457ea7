# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's own kubeconfig: our contexts come and go, everything else in it stays as it was."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kind_user_kubeconfig as own
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kind_engine import KindError

Document = dict[str, Any]


def config(name: str, authority: str = "Y2E=") -> Document:
    """A kubeconfig of one cluster, as kind writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": "https://127.0.0.1:1", own.CA: authority}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": {"token": f"of-{name}"}}],
        "current-context": name,
    }


def names(document: Document, section: str) -> list[str]:
    return [one["name"] for one in document[section]]


def test_contexts_are_added_and_the_current_one_stays() -> None:
    mine = {**config("work"), "preferences": {"colors": True}}
    before = copy.deepcopy(mine)
    result = own.merged(mine, [config("kind-controller-kcp"), config("kind-controller-east")])
    assert mine == before
    assert names(result, "contexts") == ["work", "kind-controller-kcp", "kind-controller-east"]
    assert result["current-context"] == "work"
    assert result["preferences"] == {"colors": True}


def test_the_first_becomes_current_where_there_was_none() -> None:
    assert own.merged({}, [config("a"), config("b")])["current-context"] == "a"


def test_an_old_entry_of_the_same_name_is_replaced_in_its_place() -> None:
    mine = own.merged(config("kind-controller-kcp", "b2xk"), [config("work")])
    result = own.merged(mine, [config("kind-controller-kcp", "bmV3")])
    assert names(result, "clusters") == ["kind-controller-kcp", "work"]
    assert result["clusters"][0]["cluster"][own.CA] == "bmV3"


def test_what_was_merged_can_be_taken_out_again() -> None:
    mine = config("work")
    both = own.merged(mine, [config("kind-controller-kcp")])
    assert own.without(both, lambda entry: entry["name"].startswith("kind-")) == mine


def test_no_current_context_is_left_that_leads_nowhere() -> None:
    both = own.merged(config("kind-controller-kcp"), [config("work")])
    assert own.without(both, lambda entry: entry["name"] == "kind-controller-kcp")["current-context"] == ""


def test_a_user_that_others_need_stays() -> None:
    mine = own.merged(config("work"), [config("kind-a")])
    mine["contexts"][0]["context"]["user"] = "kind-a"
    result = own.without(mine, lambda entry: entry["name"] == "kind-a")
    assert "kind-a" in names(result, "users")


def test_nothing_to_take_out_changes_nothing() -> None:
    mine = {"current-context": "gone"}
    assert own.without(mine, lambda _entry: True) is mine


def test_the_file_is_only_written_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("# a person's own words\n" + yaml.safe_dump(config("work")))
    path.chmod(0o640)
    text = path.read_text()
    assert not own.update(path, lambda document: document, True)
    assert path.read_text() == text
    assert own.update(path, lambda document: own.merged(document, [config("a")]), False)
    assert path.read_text() == text
    assert own.update(path, lambda document: own.merged(document, [config("a")]), True)
    assert names(yaml.safe_load(path.read_text()), "contexts") == ["work", "a"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert not list(tmp_path.glob("*.lock"))


def test_a_file_that_holds_nothing_any_more_goes(tmp_path: Path) -> None:
    path = tmp_path / "config"
    own.update(path, lambda document: own.merged(document, [config("a")]), True)
    assert path.stat().st_mode & 0o777 == 0o600
    own.update(path, lambda document: own.without(document, lambda _entry: True), True)
    assert not path.exists()


@pytest.mark.parametrize("mine", [{}, {"preferences": {"colors": True}}, {"apiVersion": "v1", "kind": "Config"}])
def test_a_file_that_was_there_before_stays(tmp_path: Path, mine: Document) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(mine) if mine else "")
    own.update(path, lambda document: own.merged(document, [config("a")]), True)
    own.update(path, lambda document: own.without(document, lambda _entry: True), True)
    left = yaml.safe_load(path.read_text())
    assert left.get("preferences") == mine.get("preferences")
    assert left["contexts"] == []


def test_what_a_person_put_into_our_file_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "config"
    own.update(path, lambda document: own.merged(document, [config("a")]), True)
    own.update(path, lambda document: {**document, "preferences": {"colors": True}}, True)
    own.update(path, lambda document: own.without(document, lambda _entry: True), True)
    assert yaml.safe_load(path.read_text())["preferences"] == {"colors": True}


def test_a_lock_that_stays_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "LOCK_SECONDS", 0.0)
    path = tmp_path / "config"
    (tmp_path / "config.lock").touch()
    with pytest.raises(KindError, match=r"config\.lock has been there"):
        own.update(path, lambda document: own.merged(document, [config("a")]), True)
    assert not path.exists()


def test_the_file_is_chosen_as_kubectl_chooses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
    assert own.target() == second
    first.write_text("{}")
    assert own.target() == first
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own.target() == tmp_path / ".kube" / "config"


@pytest.mark.parametrize("text", ["- a\n- b\n", "clusters: {a: b}\n", "a: [\n"])
def test_a_file_that_is_no_kubeconfig_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert list(own.problems()) == []
    (tmp_path / "config").write_text(text)
    assert "cannot be read" in next(own.problems())
