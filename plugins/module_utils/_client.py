# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small, thread-safe client of one API server: plain urllib3, no discovery, the kubeconfig's CA and no other.

The official client costs 0.25 s to import before the first request, which is more than a whole module call should.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from ansible_collections.tmc.cross_cluster.plugins.module_utils._errors import (
    ApiError,
    InvalidInput,
    NotServed,
    Unreachable,
)
from ansible_collections.tmc.cross_cluster.plugins.module_utils._kubeconfig import Connection
from ansible_collections.tmc.cross_cluster.plugins.module_utils._libraries import urllib3
from ansible_collections.tmc.cross_cluster.plugins.module_utils._names import FIELD_MANAGER
from ansible_collections.tmc.cross_cluster.plugins.module_utils._resources import Resource

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PAGE = 500
VERSION = "/version"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Client:
    """Requests to one API server. Raises ApiError when it refuses, Unreachable when nothing answers."""

    def __init__(self, connection: Connection, *, timeout: float = 30.0, connections: int = 4) -> None:
        self.connection = connection
        self.label = connection.label or connection.server
        self._timeout = urllib3.Timeout(connect=min(timeout, 5.0), read=timeout)
        options: dict[str, Any] = {"maxsize": connections, "ssl_context": _ssl_context(connection)}
        if connection.server_name:
            options["server_hostname"] = options["assert_hostname"] = connection.server_name
        if not connection.verify:
            options["assert_hostname"] = False
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._pool = _pool(connection, options)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> Object:
        query = {key: value for key, value in (params or {}).items() if value}
        url = self.connection.server + path + (f"?{urlencode(query)}" if query else "")
        headers = self._pool.headers | ({"Content-Type": content_type} if body is not None else {})
        headers = headers | ({"Accept": accept} if accept else {})
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        # Only reads are repeated: a write whose answer was lost may have been carried out.
        retries = urllib3.Retry(
            3,
            backoff_factor=0.2,
            status_forcelist=(429, 503),
            raise_on_status=False,
            redirect=0,
            allowed_methods=("GET",),
            respect_retry_after_header=True,
        )
        try:
            answer = self._pool.request(method, url, body=data, headers=headers, timeout=self._timeout, retries=retries)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"cluster '{self.label}' does not answer at {self.connection.server}: {_cause(error)}"
            ) from error
        return self._decode(answer, path)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """The object, or None when there is none of that name."""
        try:
            return self.request("GET", resource.path(namespace, name))
        except NotServed:
            raise
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> list[Object]:
        """All pages; when a continue token expires half-way (410) the list is asked for anew, once.

        ``metadata_only``: no spec, status or data, so that no Secret's content is read.
        """
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        accept = METADATA_LIST if metadata_only else ""
        try:
            return list(self._pages(resource, namespace, selectors, accept))
        except ApiError as error:
            if error.status != 410:
                raise
            return list(self._pages(resource, namespace, selectors, accept))

    def _pages(self, resource: Resource, namespace: str, selectors: dict[str, str], accept: str) -> Iterator[Object]:
        token = ""
        while True:
            params = {"limit": str(PAGE), "continue": token, **selectors}
            page = self.request("GET", resource.path(namespace), params=params, accept=accept)
            yield from page.get("items") or []
            token = (page.get("metadata") or {}).get("continue", "")
            if not token:
                return

    def create(self, resource: Resource, obj: Object, *, dry_run: bool = False, strict: bool = False) -> Object:
        namespace = obj["metadata"].get("namespace", "")
        return self.request("POST", resource.path(namespace), params=_write_params(dry_run, strict), body=obj)

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        dry_run: bool = False,
        strict: bool = False,
        content_type: str = MERGE_PATCH,
    ) -> Object:
        params = _write_params(dry_run, strict) | ({"force": "true"} if content_type == APPLY_PATCH else {})
        path = resource.path(namespace, name)
        return self.request("PATCH", path, params=params, body=patch, content_type=content_type)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str,
        dry_run: bool = False,
        propagation: str = "",
    ) -> None:
        """Always with a uid, so that a successor of the same name is never hit. Gone already is fine."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        if propagation:
            body["propagationPolicy"] = propagation
        params = {"dryRun": "All"} if dry_run else None
        try:
            self.request("DELETE", resource.path(namespace, name), params=params, body=body)
        except ApiError as error:
            if error.status != 404:
                raise

    def _decode(self, answer: urllib3.BaseHTTPResponse, path: str) -> Object:
        try:
            document = json.loads(answer.data or b"")
        except ValueError:
            document = None
        if isinstance(document, dict) and answer.status < 300:
            return document
        if isinstance(document, dict) and document.get("kind") == "Status":
            raise self._refusal(answer.status, document, path)
        if answer.status == 404 and path != VERSION:
            self.request("GET", VERSION)  # raises when this is no API server at all
            raise self._not_served(path)
        if answer.status in (401, 403) or answer.status >= 500:
            text = (answer.data or b"")[:200].decode("utf-8", "replace").strip()
            raise ApiError(answer.status, str(answer.reason), f"'{self.label}' answered {answer.status}: {text}")
        raise InvalidInput(
            f"'{self.connection.server}' answered but is not a Kubernetes API server "
            f"({path.lstrip('/')} endpoint: {answer.status}); check the server of the kubeconfig"
        )

    def _refusal(self, status: int, document: Object, path: str) -> ApiError:
        reason = str(document.get("reason") or "Unknown")
        message = str(document.get("message") or reason)
        if status == 404 and not (document.get("details") or {}).get("name"):
            return self._not_served(path)
        if status == 401:
            message = f"'{self.label}' does not accept the credentials (401 {message}); get a new kubeconfig or token"
        if status == 403:
            message = f"'{self.label}' refuses: {message}"
        return ApiError(status, reason, message)

    def _not_served(self, path: str) -> NotServed:
        return NotServed(404, "NotServed", f"cluster '{self.label}' does not serve {path}: is its CRD installed?")


def _write_params(dry_run: bool, strict: bool) -> dict[str, str]:
    return {
        "fieldManager": FIELD_MANAGER,
        "fieldValidation": "Strict" if strict else "",
        "dryRun": "All" if dry_run else "",
    }


def _pool(connection: Connection, options: dict[str, Any]) -> urllib3.PoolManager:
    headers = _headers(connection)
    if not connection.proxy:
        return urllib3.PoolManager(headers=headers, **options)
    try:
        return urllib3.ProxyManager(connection.proxy, headers=headers, **options)
    except urllib3.exceptions.HTTPError:
        # Without the value, which may hold a password.
        where = connection.label or connection.server
        raise InvalidInput(f"proxy of '{where}' must be an http or https URL, such as http://host:port") from None


def _headers(connection: Connection) -> urllib3.HTTPHeaderDict:
    headers = urllib3.HTTPHeaderDict({"Accept": "application/json", "User-Agent": FIELD_MANAGER})
    if connection.token:
        headers["Authorization"] = f"Bearer {connection.token}"
    elif connection.username:
        pair = base64.b64encode(f"{connection.username}:{connection.password or ''}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    if connection.impersonate_user:
        headers["Impersonate-User"] = connection.impersonate_user
    for group in connection.impersonate_groups:
        headers.add("Impersonate-Group", group)
    return headers


def _ssl_context(connection: Connection) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not connection.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif connection.ca_pem:
        context.load_verify_locations(cadata=connection.ca_pem)
    else:
        context.load_default_certs()
    _load_client_certificate(context, connection)
    return context


def _load_client_certificate(context: ssl.SSLContext, connection: Connection) -> None:
    cert, key, label = connection.cert_pem, connection.key_pem, connection.label or connection.server
    if not cert and not key:
        return
    if not cert or not key:
        there, missing = ("certificate", "key") if cert else ("key", "certificate")
        raise InvalidInput(f"'{label}' has a client {there} without its {missing}: give both, or another credential")
    try:
        with _private_file(cert + "\n" + key) as path:
            context.load_cert_chain(path, password="")  # with None, OpenSSL asks at the terminal
    except ssl.SSLError as error:
        raise InvalidInput(
            f"client certificate and key of '{label}' cannot be used: {error}; are they a pair?"
        ) from error


@contextmanager
def _private_file(text: str) -> Iterator[str]:
    """OpenSSL takes client certificates from files only; mkstemp makes them 0600 and they are gone at once."""
    handle, path = tempfile.mkstemp(prefix="tmc-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        yield path
    finally:
        os.unlink(path)


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error)
