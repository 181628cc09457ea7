# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a client and an API server: an answer that says no, or no answer."""

from __future__ import annotations

from typing import Any

import orjson


class ApiError(Exception):
    """The API server answered with an error.

    ``status``: HTTP status; ``reason``: the Status object's reason ("Conflict"), or empty; ``message``: for people;
    ``retry_after``: seconds the server asked to wait, or None; ``causes``: reasons in the Status object's details.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
        causes: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = causes


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class AlreadyExists(ApiError):
    """409 to a create: the name is taken."""


class Conflict(ApiError):
    """409: the resourceVersion or UID precondition did not hold."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422: refused by schema, CEL rule or admission; also a failed ``test`` of a JSON patch."""


class Forbidden(ApiError):
    """403: refused by RBAC or admission."""


class Unauthorized(ApiError):
    """401: the credential is not (or no longer) valid."""


class TooManyRequests(ApiError):
    """429: wait ``retry_after`` seconds."""


class PayloadTooLarge(ApiError):
    """413, or a 500 by which an API server passes on that its storage does not take an object of this size."""


class ServerError(ApiError):
    """5xx."""


class Unreachable(Exception):
    """No (complete) answer. ``ambiguous``: the request may have been carried out all the same."""

    def __init__(self, message: str, *, ambiguous: bool) -> None:
        super().__init__(message)
        self.ambiguous = ambiguous


# What etcd, and the connection to it, say of an object over the limit (1.5 MiB, 2 MiB); API servers pass it on as 500.
_TOO_LARGE = ("etcdserver: request is too large", "trying to send message larger than max")

_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: PayloadTooLarge,
    422: Invalid,
    429: TooManyRequests,
}


def error_from_status(status: dict[str, Any], http_status: int = 0, retry_after: float | None = None) -> ApiError:
    """Make the exception for a ``metav1.Status``; ``http_status`` wins over the code in the body."""
    code = http_status or int(status.get("code") or 500)
    reason = str(status.get("reason") or "")
    details = status.get("details") or {}
    if retry_after is None and details.get("retryAfterSeconds"):
        retry_after = float(details["retryAfterSeconds"])
    kind = _BY_STATUS.get(code, ServerError if code >= 500 else ApiError)
    message = str(status.get("message") or "")
    if kind is Conflict and reason == "AlreadyExists":
        kind = AlreadyExists
    if kind is ServerError and any(words in message for words in _TOO_LARGE):
        kind = PayloadTooLarge
    causes = frozenset(str(cause.get("reason")) for cause in details.get("causes") or () if isinstance(cause, dict))
    return kind(code, reason, message, retry_after, causes)


def error_from_response(http_status: int, body: bytes, retry_after: str | None) -> ApiError:
    """Make the exception for an HTTP answer of 300 or more; bodies that are no Status are quoted, shortened."""
    wait = float(retry_after) if retry_after and retry_after.isdigit() else None
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": body[:200].decode("utf-8", "replace").strip()}
    return error_from_status(status, http_status, wait)
