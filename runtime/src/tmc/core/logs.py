# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""Logging on stderr: text for people, or one JSON object a line for machines. Tokens are masked in both."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

import orjson

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|(?<=[Bb]earer )[\w.~+/-]{8,}=*")
MASK = "********"


def mask(text: str) -> str:
    """``text`` without anything that looks like a bearer token."""
    return _SECRET.sub(MASK, text)


class JsonFormatter(logging.Formatter):
    """``ts`` (RFC 3339, UTC), ``level``, ``logger``, ``msg``, the ``extra`` fields, and ``error`` with a traceback.

    ``context``: fields that every line of this process has, such as the name of its cluster.
    """

    def __init__(self, context: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__()
        self._context = dict(context)

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in line}
        line = {**line, **{name: value for name, value in self._context.items() if name not in line}}
        if record.exc_info and record.exc_info[0]:
            line["error"] = self.formatException(record.exc_info)
        return mask(orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode())


class TextFormatter(logging.Formatter):
    """One readable line a record."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def configure_logging(fmt: Literal["json", "text"], level: int = logging.INFO, **context: str) -> None:
    """Send all logging to stderr; replaces what was configured before. ``context`` is on every line of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(context) if fmt == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
