# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module's main() does the same way: connect, keep secrets out of the output, turn errors into failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import NotReady, TmcError
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import require
from ansible_collections.tmc.cross_cluster.plugins.module_utils._options import connection_of

Result = dict[str, Any]


def run(module: AnsibleModule, body: Callable[[AnsibleModule], Result]) -> None:
    """Ends the module with what ``body`` returns, or with its error as the message."""
    require(module)
    try:
        result = body(module)
    except NotReady as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        # Check mode from nothing: an earlier task would have made what is missing.
        module.warn(f"check mode: a change is predicted, because {error}")
        result = {"changed": True}
    except TmcError as error:
        module.fail_json(msg=str(error))
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**result)


def connect(module: AnsibleModule, connections: int = 4, **instead: Any) -> Any:
    """A client by the module's auth options; ``instead`` replaces some of them (another kubeconfig, say)."""
    from ansible_collections.tmc.cross_cluster.plugins.module_utils._client import Client

    params = module.params | instead
    connection = connection_of(params)
    module.no_log_values.update(secret for secret in (connection.token, connection.password) if secret)
    return Client(connection, timeout=params["request_timeout"], connections=connections)


def another_cluster(kubeconfig: str | None, context: str | None) -> dict[str, Any]:
    """The options that make connect() go by this kubeconfig alone."""
    own = (
        "kubeconfig_content",
        "host",
        "api_key",
        "username",
        "password",
        "client_cert",
        "client_key",
        "ca_cert",
        "proxy",
    )
    nothing: dict[str, Any] = dict.fromkeys((*own, "impersonate_user", "impersonate_groups"))
    return nothing | {"kubeconfig": kubeconfig, "context": context}
