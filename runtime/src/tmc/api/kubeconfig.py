# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Kubeconfig files: read one, refuse what is unsafe or broken, with a message that says what to change.

Only what a long-running process can use without surprises is accepted: https, a verified server certificate, a
token, a token file or a client certificate. Programs (``exec``), passwords and switched-off verification are refused.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class KubeconfigError(Exception):
    """The kubeconfig cannot be used; the message names the file, the field and the fix."""


@dataclass(frozen=True)
class Connection:
    """Where an API server is and how to prove who we are; secrets are kept out of ``repr``."""

    name: str
    server: str
    ca: bytes | None = field(default=None, repr=False)
    client_certificate: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    tls_server_name: str | None = None
    namespace: str = "default"

    def ssl_context(self) -> ssl.SSLContext:
        """A verifying context that trusts the kubeconfig's CA alone (the system's only when it names none)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Go trusts any certificate in the pool, self-signed server certificates included.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.ca is None:
            context.load_default_certs()
        else:
            _load_ca(context, self.ca, self.name)
        if self.client_certificate and self.client_key:
            _load_client_certificate(context, self.client_certificate, self.client_key, self.name)
        return context


def load_kubeconfig(path: str | Path, context: str | None = None) -> Connection:
    """Read the connection of ``context`` (default: ``current-context``).

    Raises KubeconfigError for everything that is wrong with the file.
    """
    return _Kubeconfig(Path(path).expanduser()).connection(context)


class _Kubeconfig:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = self._read()

    def _fail(self, text: str, cause: Exception | None = None) -> KubeconfigError:
        error = KubeconfigError(f"kubeconfig '{self.path}': {text}")
        error.__cause__ = cause
        return error

    def _read(self) -> dict[str, Any]:
        try:
            document = yaml.safe_load(self.path.read_bytes())
        except FileNotFoundError as error:
            raise self._fail("does not exist", error) from error
        except IsADirectoryError as error:
            raise self._fail("is a directory; give the path of a file", error) from error
        except OSError as error:
            raise self._fail(f"cannot be read: {error.strerror}", error) from error
        except (yaml.YAMLError, ValueError) as error:
            raise self._fail(f"not a kubeconfig: {_where(error)}", error) from error
        if document is None:
            raise self._fail("is empty; the top level must be a mapping with clusters, users and contexts")
        if not isinstance(document, dict):
            raise self._fail(f"the top level must be a mapping, got a {type(document).__name__}")
        return document

    def _named(self, section: str) -> dict[str, dict[str, Any]]:
        """The entries of a section by name; like kubectl, the first one of a name wins."""
        entries = self.document.get(section) or []
        if not isinstance(entries, list):
            raise self._fail(f"{section} must be a list, got a {type(entries).__name__}")
        found: dict[str, dict[str, Any]] = {}
        inner = section.removesuffix("s")
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise self._fail(f"{section}[{index}] must be a mapping with a name")
            body = entry.get(inner) or {}
            if not isinstance(body, dict):
                raise self._fail(f"{section}[{index}].{inner} must be a mapping")
            found.setdefault(entry["name"], body)
        return found

    def connection(self, wanted: str | None) -> Connection:
        contexts = self._named("contexts")
        name = wanted or self.document.get("current-context")
        available = ", ".join(sorted(contexts)) or "none"
        if not name:
            raise self._fail(f"has no current-context; name one of: {available}")
        if name not in contexts:
            raise self._fail(f"context '{name}' not found; available: {available}")
        context = contexts[name]
        cluster = self._referred(name, context, "cluster")
        user = self._referred(name, context, "user")
        return Connection(
            name=str(name),
            namespace=str(context.get("namespace") or "default"),
            **self._cluster(str(context["cluster"]), cluster),
            **self._user(str(context["user"]), user),
        )

    def _referred(self, context_name: str, context: dict[str, Any], what: str) -> dict[str, Any]:
        target = context.get(what)
        if not target:
            raise self._fail(f"context '{context_name}' names no {what}")
        entries = self._named(f"{what}s")
        if target not in entries:
            raise self._fail(f"context '{context_name}' refers to {what} '{target}' which is not defined")
        return entries[target]

    def _cluster(self, name: str, cluster: dict[str, Any]) -> dict[str, Any]:
        if cluster.get("insecure-skip-tls-verify"):
            raise self._fail(f"refused: TLS verification is off for cluster '{name}'; give its certificate authority")
        if cluster.get("proxy-url"):
            raise self._fail(f"refused: cluster '{name}' has a proxy-url, which is not supported")
        ca = self._pem(f"cluster '{name}'", cluster, "certificate-authority", "CERTIFICATE")
        if ca is not None:
            check_ca(ca, name)
        return {
            "server": self._server(name, cluster.get("server")),
            "ca": ca,
            "tls_server_name": cluster.get("tls-server-name"),
        }

    def _server(self, name: str, server: object) -> str:
        text = server if isinstance(server, str) else ""
        try:
            url = urlsplit(text)
            good = url.scheme == "https" and url.hostname and url.path in ("", "/") and not (url.query or url.fragment)
            good = bool(good) and url.username is None and (url.port is None or url.port > 0)
        except ValueError:
            good = False
        if not good:
            raise self._fail(
                f"server of cluster '{name}' is {server!r}; it must be an https URL with a host and no path, "
                "such as https://127.0.0.1:6443"
            )
        return text.rstrip("/")

    def _user(self, name: str, user: dict[str, Any]) -> dict[str, Any]:
        self._refuse_unsupported(name, user)
        certificate = self._pem(f"user '{name}'", user, "client-certificate", "CERTIFICATE")
        key = self._pem(f"user '{name}'", user, "client-key", "PRIVATE KEY")
        if (certificate is None) != (key is None):
            raise self._fail(f"user '{name}' needs both client-certificate and client-key, or neither")
        token, token_file = str(user.get("token") or "").strip(), user.get("tokenFile")
        if not token.isprintable() or not token.isascii():
            raise self._fail(f"token of user '{name}' has characters that no token has")
        if not (certificate or token or token_file):
            raise self._fail(f"user '{name}' has no credential; give a token, a tokenFile or a client certificate")
        return {
            "client_certificate": certificate,
            "client_key": key,
            # kubectl: a tokenFile takes precedence over a token.
            "token": None if token_file else token or None,
            "token_file": self._beside(str(token_file)) if token_file else None,
        }

    def _refuse_unsupported(self, name: str, user: dict[str, Any]) -> None:
        if user.get("exec"):
            program = (user["exec"] or {}).get("command", "?") if isinstance(user["exec"], dict) else "?"
            raise self._fail(f"refused: user '{name}' would run program '{program}'; use a token or a certificate")
        for key in ("auth-provider", "username", "password", "as", "as-uid", "as-groups"):
            if user.get(key):
                raise self._fail(f"refused: user '{name}' uses {key}; use a token, a tokenFile or a certificate")

    def _pem(self, owner: str, body: dict[str, Any], key: str, expected: str) -> bytes | None:
        """The bytes of ``<key>-data`` (base64; it wins, as in kubectl) or of the file named by ``<key>``."""
        data, file = body.get(f"{key}-data"), body.get(key)
        if data:
            try:
                pem = base64.b64decode(str(data), validate=True)
            except (binascii.Error, ValueError) as error:
                raise self._fail(f"{key}-data of {owner} is not base64", error) from error
        elif file:
            try:
                pem = self._beside(str(file)).read_bytes()
            except OSError as error:
                raise self._fail(f"{key} '{file}' of {owner} cannot be read: {error.strerror}", error) from error
        else:
            return None
        if f"{expected}-----".encode() not in pem:
            raise self._fail(f"{key} of {owner}: expected {expected} in PEM, got {_pem_kind(pem)}")
        return pem

    def _beside(self, file: str) -> Path:
        """Paths in a kubeconfig are relative to the kubeconfig's own directory."""
        return self.path.absolute().parent / Path(file).expanduser()


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not YAML"
    return f"line {mark.line + 1}: {problem}" if mark is not None else f"not YAML text ({type(error).__name__})"


def _pem_kind(pem: bytes) -> str:
    for line in pem.splitlines():
        if line.startswith(b"-----BEGIN "):
            return line.removeprefix(b"-----BEGIN ").rstrip(b"- ").decode("ascii", "replace")
    return "no PEM block"


def check_ca(ca: bytes, name: str) -> None:
    """Raises KubeconfigError when ``ca`` holds no certificate, or none that is still valid."""
    _load_ca(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca, name)


def _load_ca(context: ssl.SSLContext, ca: bytes, name: str) -> None:
    try:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise KubeconfigError(f"certificate-authority of cluster '{name}' is no valid certificate: {error}") from error
    ends = [str(known["notAfter"]) for known in context.get_ca_certs() if "notAfter" in known]
    if ends and all(ssl.cert_time_to_seconds(end) < time.time() for end in ends):
        raise KubeconfigError(f"certificate-authority of cluster '{name}' expired on {max(ends)}; get a new kubeconfig")


def _load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes, name: str) -> None:
    """OpenSSL wants files: a private one that lives for a moment."""
    descriptor, path = tempfile.mkstemp(prefix="tmc-", suffix=".pem")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(path)
    except ssl.SSLError as error:
        raise KubeconfigError(f"client certificate and key of '{name}' do not fit together: {error.reason}") from error
    finally:
        os.unlink(path)
