# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials from the program that a kubeconfig names: ``users[].user.exec``."""

from __future__ import annotations

from typing import Any

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput


def credentials(plugin: dict[str, Any], folder: str, place: str) -> dict[str, Any]:
    """The ``status`` of the ExecCredential that the program prints, run in ``folder``. InvalidInput when it fails."""
    program = f"{place}: program '{plugin.get('command')}'"
    try:
        from kubernetes.config import ConfigException  # 0.2 s to import, and rarely needed
        from kubernetes.config.exec_provider import ExecProvider
    except ImportError as error:
        raise InvalidInput(
            f"{program} cannot be run without the Python library kubernetes: install it, or use a token or a client "
            f"certificate ({error})"
        ) from error
    try:
        status = ExecProvider(_Node(plugin), folder).run()
    except (ConfigException, OSError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"{program} gave no credentials: {error}; run it by hand, or log in with it again, and see that it is "
            "installed on this machine"
        ) from error
    if not isinstance(status, dict):
        raise InvalidInput(f"{program} gave no credentials: status must be a mapping, got {type(status).__name__}")
    return status


class _Node(dict):  # type: ignore[type-arg]
    """What ExecProvider takes: a mapping that also has safe_get and a name."""

    name = "exec"

    def safe_get(self, key: str) -> Any:
        return self.get(key)
