# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""What an API server does to one object, as pure functions: nothing is changed in place, unchanged parts are shared.

Real rules for uid, generation, status subresource, finalizers and deletion. A resourceVersion is the caller's affair.
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]
Ops = list[dict[str, Any]]
DELETED_AT = "2026-01-01T00:00:00Z"


class BadPatch(Exception):
    """422: a JSON patch that no API server could apply, whatever else has happened. The planner must never send it."""


class Overtaken(Exception):
    """409 or 422: the object is not (any more) what the patch says it is."""


class Forbidden(Exception):
    """422: a finalizer would be added to an object that is being deleted."""


def finalizers(obj: Obj) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def created(body: Obj, uid: str, *, has_status: bool = True) -> Obj:
    obj = {k: v for k, v in body.items() if k != "status" or not has_status}
    obj["metadata"] = {**body["metadata"], "uid": uid, "generation": 1}
    return obj


def patched(old: Obj, ops: Ops, subresource: str, *, has_status: bool = True) -> Obj | None:
    """The object after `ops`; None: its last finalizer went while it was being deleted.

    Raises Overtaken, BadPatch, Forbidden.
    """
    new = old
    for op in ops:
        tokens = [t.replace("~1", "/").replace("~0", "~") for t in op["path"].split("/")[1:]]
        if op["op"] == "test" or tokens == ["metadata", "resourceVersion"]:
            if _at(new, tokens) != op["value"]:
                raise Overtaken(f"{op} does not hold")
        else:
            new = _applied(new, tokens, op)
    return changed(old, _of_subresource(old, new, subresource, has_status), has_status=has_status)


def changed(old: Obj, new: Obj, *, has_status: bool = True) -> Obj | None:
    """What is stored when somebody writes `new` in place of `old`; `old` itself when that is the same."""
    if new == old:
        return old
    meta = new["metadata"]
    if old["metadata"].get("deletionTimestamp") and set(finalizers(new)) - set(finalizers(old)):
        raise Forbidden("no finalizer may be added to an object that is being deleted")
    if _intent(old, has_status) != _intent(new, has_status):
        new = {**new, "metadata": {**meta, "generation": (old["metadata"].get("generation") or 0) + 1}}
    return None if meta.get("deletionTimestamp") and not finalizers(new) else new


def deleted(old: Obj) -> Obj | None:
    """After a DELETE: None, or the object that waits for its finalizers."""
    meta = old["metadata"]
    if meta.get("deletionTimestamp"):
        return old
    if not finalizers(old):
        return None
    generation = (meta.get("generation") or 0) + 1
    return {**old, "metadata": {**meta, "deletionTimestamp": DELETED_AT, "generation": generation}}


def _intent(obj: Obj, has_status: bool) -> Obj:
    hidden = {"metadata", "status"} if has_status else {"metadata"}
    return {k: v for k, v in obj.items() if k not in hidden}


def _of_subresource(old: Obj, new: Obj, subresource: str, has_status: bool) -> Obj:
    if subresource == "status":
        old, new = new, old  # only the status of what was sent counts
    elif not has_status:
        return new
    kept = {k: v for k, v in new.items() if k != "status"}
    return {**kept, "status": old["status"]} if "status" in old else kept


def _at(node: Any, tokens: list[str]) -> Any:
    """None: nothing is there."""
    for token in tokens:
        if isinstance(node, list):
            node = dict(enumerate(node)).get(int(token))
        else:
            node = node.get(token) if isinstance(node, dict) else None
    return node


def _applied(node: Any, tokens: list[str], op: dict[str, Any]) -> Any:
    token, *rest = tokens
    if isinstance(node, list):
        return _applied_to_list(node, tokens, op)
    if not isinstance(node, dict) or ((rest or op["op"] != "add") and token not in node):
        raise BadPatch(f"{op} does not fit {node!r}")
    if rest:
        return {**node, token: _applied(node[token], rest, op)}
    if op["op"] == "remove":
        return {k: v for k, v in node.items() if k != token}
    return {**node, token: op["value"]}


def _applied_to_list(node: list[Any], tokens: list[str], op: dict[str, Any]) -> list[Any]:
    """An entry is added at the end, or one that is there goes: nothing else is made use of."""
    [token] = tokens
    if (op["op"], token) == ("add", "-"):
        return [*node, op["value"]]
    if op["op"] != "remove" or not int(token) < len(node):
        raise BadPatch(f"{op} does not fit {node!r}")
    return [*node[: int(token)], *node[int(token) + 1 :]]
