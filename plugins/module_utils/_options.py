# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The authentication options that all modules share (as in kubernetes.core), and what they mean."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import env_fallback
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.tmc.cross_cluster.plugins.module_utils import _kubeconfig, _kubeconfig_files
from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import InvalidInput
from ansible_collections.tmc.cross_cluster.plugins.module_utils._pem import check_pem

Params = dict[str, Any]


# Options that the environment may give instead, as K8S_AUTH_<name>.
ENVIRONMENT = {
    "kubeconfig": "KUBECONFIG",
    "context": "CONTEXT",
    "host": "HOST",
    "api_key": "API_KEY",
    "username": "USERNAME",
    "password": "PASSWORD",
    "client_cert": "CERT_FILE",
    "client_key": "KEY_FILE",
    "ca_cert": "SSL_CA_CERT",
    "validate_certs": "VERIFY_SSL",
    "proxy": "PROXY",
}


def auth_spec() -> dict[str, Any]:
    """Argument spec of the fragment ``auth``."""
    return {
        "kubeconfig": {"type": "path"},
        "kubeconfig_content": {"type": "raw", "no_log": True},
        "context": {"type": "str"},
        "host": {"type": "str"},
        "api_key": {"type": "str", "no_log": True},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "client_cert": {"type": "path", "aliases": ["cert_file"]},
        "client_key": {"type": "path", "aliases": ["key_file"], "no_log": False},
        "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
        "validate_certs": {"type": "bool", "aliases": ["verify_ssl"]},
        "proxy": {"type": "str"},
        "impersonate_user": {"type": "str"},
        "impersonate_groups": {"type": "list", "elements": "str"},
        "allow_exec": {"type": "bool", "default": False, "fallback": (env_fallback, ["K8S_AUTH_ALLOW_EXEC"])},
        "allow_insecure_mode": {"type": "bool", "default": False},
        "request_timeout": {"type": "float", "default": 30.0},
    }


MUTUALLY_EXCLUSIVE = [("kubeconfig", "kubeconfig_content")]


def rules_of(params: Params) -> _kubeconfig.Rules:
    return _kubeconfig.Rules(
        allow_exec=params["allow_exec"],
        allow_insecure_mode=params["allow_insecure_mode"],
        allow_insecure_tls=params["validate_certs"] is False,
    )


def environment_rules() -> _kubeconfig.Rules:
    """What the environment lets through, for modules that take kubeconfigs only by their paths."""
    return _kubeconfig.Rules(allow_exec=_switch("K8S_AUTH_ALLOW_EXEC") or False)


def _switch(variable: str) -> bool | None:
    value = os.environ.get(variable)
    try:
        return boolean(value) if value else None
    except TypeError as error:
        raise InvalidInput(f"{variable} is {value!r}: it must be true or false") from error


def with_environment(params: Params) -> Params:
    """The options, those not given from the environment. A kubeconfig that is given says all: nothing is added to it."""
    if params.get("kubeconfig") or params.get("kubeconfig_content") is not None:
        return params
    absent = {option: f"K8S_AUTH_{name}" for option, name in ENVIRONMENT.items() if params.get(option) is None}
    found: Params = {option: os.environ[name] for option, name in absent.items() if os.environ.get(name)}
    if "validate_certs" in found:
        found["validate_certs"] = _switch(absent["validate_certs"])
    return params | found


def connection_of(params: Params) -> _kubeconfig.Connection:
    """The connection that the module's options ask for; TmcError names what is wrong with them."""
    require_positive(params, "request_timeout")
    params = with_environment(params)
    connection = _override(_base(params), params)
    if not connection.verify and params["validate_certs"] is not False:
        raise InvalidInput("TLS verification is off: set validate_certs to false if that is what you want")
    return connection


def _base(params: Params) -> _kubeconfig.Connection:
    rules = rules_of(params)
    content = params.get("kubeconfig_content")
    if content is not None:
        document = content if isinstance(content, dict) else _kubeconfig.parse_text(str(content), "kubeconfig_content")
        return _kubeconfig.load_document(document, "kubeconfig_content", params["context"], rules)
    if params.get("host") and not params.get("kubeconfig"):
        _kubeconfig.check_server(params["host"], "option host")
        return _kubeconfig.Connection(server=params["host"].rstrip("/"), label=params["host"])
    path = params.get("kubeconfig") or os.environ.get("KUBECONFIG") or _kubeconfig_files.DEFAULT
    if os.pathsep in path:
        return _kubeconfig.load_document(_kubeconfig_files.merged(path, rules), path, params["context"], rules)
    return _kubeconfig.load_file(path, params["context"], rules)


def _override(connection: _kubeconfig.Connection, params: Params) -> _kubeconfig.Connection:
    """Options that are given beat what the kubeconfig says."""
    changes: dict[str, Any] = {}
    if params.get("host"):
        _kubeconfig.check_server(params["host"], "option host")
        changes["server"] = params["host"].rstrip("/")
    if params.get("api_key"):
        changes |= {"token": params["api_key"], "cert_pem": None, "key_pem": None, "username": None}
    for option in ("username", "password", "proxy", "impersonate_user"):
        if params.get(option):
            changes[option] = params[option]
    if params.get("impersonate_groups"):
        changes["impersonate_groups"] = tuple(params["impersonate_groups"])
    for option, name, kind in (
        ("ca_cert", "ca_pem", "CERTIFICATE"),
        ("client_cert", "cert_pem", "CERTIFICATE"),
        ("client_key", "key_pem", "PRIVATE KEY"),
    ):
        if params.get(option):
            changes[name] = _pem_file(params[option], kind, f"option {option}")
    if params.get("validate_certs") is False:
        changes["verify"] = False
    return replace(connection, **changes)


def _pem_file(path: str, kind: str, place: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="ascii") as handle:
            pem = handle.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{place}: file '{path}' cannot be read: {error}") from error
    check_pem(pem, kind, place)
    return pem


def require_positive(params: Params, *options: str) -> None:
    for option in options:
        if params.get(option) is not None and params[option] <= 0:
            raise InvalidInput(f"option {option} is {params[option]}: it must be greater than 0")
