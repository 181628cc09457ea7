# Copyright: tmc.cross_cluster contributors
# SPDX-License-Identifier: Apache-2.0
"""/healthz, /readyz and /metrics over HTTP, without any secret in them and without any way to change something.

A loop that hangs does not answer at all: that, too, is an answer to whoever probes.
"""

from __future__ import annotations

import argparse
import errno
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

from tmc.core.files import write_private
from tmc.core.settings import SettingsError
from tmc.core.vitals import Vitals

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ALLOWED: Final = "it must be HOST:PORT, such as 127.0.0.1:8080; port 0 is any free one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--health-address",
        metavar="HOST:PORT",
        help="serve /healthz, /readyz and /metrics there (default: not at all); port 0 is any free one",
    )
    parser.add_argument(
        "--health-file", metavar="PATH", type=Path, help="write the URL that is served there into this file"
    )


@asynccontextmanager
async def serving(args: argparse.Namespace, vitals: Vitals, metrics: Callable[[], bytes]) -> AsyncIterator[None]:
    """Serve while the block runs, if ``args`` of ``add_arguments`` ask for it. Raises SettingsError."""
    if args.health_address is None:
        if args.health_file is not None:
            raise SettingsError(f"--health-file='{args.health_file}' needs --health-address too; {_ALLOWED}")
        yield
        return
    host, port = parse_address(args.health_address)
    runner = web.AppRunner(application(vitals, metrics), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        with _announced(args.health_file, url_of(host, runner.addresses[0][1])):
            yield
    finally:
        await runner.cleanup()


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of ``HOST:PORT``; an IPv6 host may stand in brackets. Raises SettingsError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"--health-address='{text}' cannot be used; {_ALLOWED}")
    return host, int(port)


def url_of(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise SettingsError(f"--health-address='{host}:{port}' cannot be used: {why}; {_ALLOWED}") from error


@contextmanager
def _announced(file: Path | None, url: str) -> Iterator[None]:
    """The URL is in ``file`` while the block runs; a file that another process has taken over is left to it."""
    if file is None:
        yield
        return
    text = f"{url}\n".encode()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, text)
    except OSError as error:
        raise SettingsError(f"--health-file='{file}' cannot be written: {error.strerror}; name another one") from error
    try:
        yield
    finally:
        with suppress(OSError):
            if file.read_bytes() == text:
                file.unlink()


def application(vitals: Vitals, metrics: Callable[[], bytes]) -> web.Application:
    """The three endpoints; healthz and readyz answer 200 or 503 with a JSON body that says why."""

    async def healthz(_request: web.Request) -> web.Response:
        return _verdict(vitals, vitals.stuck())

    async def readyz(_request: web.Request) -> web.Response:
        return _verdict(vitals, vitals.unready())

    async def scrape(_request: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": METRICS_TYPE})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    return app


def _verdict(vitals: Vitals, problems: dict[str, str]) -> web.Response:
    checks = {**dict.fromkeys(vitals.labels(), "ok"), **problems}
    body = {"status": "failing" if problems else "ok", "checks": checks}
    return web.Response(status=503 if problems else 200, body=orjson.dumps(body), content_type="application/json")
