# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs a module in this process, as Ansible would, and returns what it ended with."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.tmc.cross_cluster.plugins.modules"


class Ended(Exception):
    """What exit_json or fail_json was called with."""

    def __init__(self, failed: bool, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg", ""))
        self.failed = failed
        self.result = result


def run_module(monkeypatch: pytest.MonkeyPatch, name: str, /, **arguments: Any) -> Ended:
    """Ends with an assertion when the module does not end by itself."""

    def end(failed: bool) -> Any:
        def ended(_module: basic.AnsibleModule, **result: Any) -> None:
            raise Ended(failed, result)

        return ended

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", end(False))
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", end(True))
    # Python keeps parsed arguments of the last call; a fresh process would not.
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
    module = importlib.import_module(f"{MODULES}.{name}")
    with patch_module_args(arguments), pytest.raises(Ended) as caught:
        module.main()
    return caught.value
