"""`graphflow serve`: the server until it is stopped, and what it says on the way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

import typer
from aiohttp import web

from graphflow import __version__, paths
from graphflow.cli.main import FAILED
from graphflow.config import Config, with_token
from graphflow.errors import Conflict, GraphflowError
from graphflow.process import settle
from graphflow.server import create_app
from graphflow.service import Service, WorkerNotice, build_service

GRACE = 5.0
"""Seconds that open requests have when the server is stopped."""


def serve(config: Config, *, verbose: bool) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit code. Raises `GraphflowError` when it cannot."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        config = with_token(config)
        listening = _listen(config)
        config.data.mkdir(parents=True, exist_ok=True)
        with listening, _alone(config.data / "server.lock"):
            asyncio.run(_serve(config, listening, verbose=verbose))
    except OSError as error:
        raise GraphflowError(f"{error.filename or config.data}: {error.strerror or error}") from error
    return 0


def _listen(config: Config) -> socket.socket:
    """The open port. Raises `Conflict` in one clear line when it is taken."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {config.port} on {config.host} is taken, perhaps by another GraphFlow; choose one with --port"
            ) from error
        raise Conflict(f"cannot listen on {config.host}:{config.port}: {error.strerror}") from error


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Keeps a second server off the data folder. Raises `Conflict` when there is one already."""
    with file.open("a+") as stream:
        if not _lock(stream):
            raise Conflict(f"another server uses the data folder {file.parent}; stop it, or choose one with --data")
        yield


def _lock(stream: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: a second server is met at the port
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


async def _serve(config: Config, listening: socket.socket, *, verbose: bool) -> None:
    service, database = await asyncio.to_thread(build_service, config)
    doors = [entry.load() for entry in entry_points(group="graphflow.doors")]
    access_log = logging.getLogger("aiohttp.access") if verbose else None
    runner = web.AppRunner(create_app(service, config, doors=doors), access_log=access_log, shutdown_timeout=GRACE)
    stop = _stop_event()
    try:
        await runner.setup()
        await web.SockSite(runner, listening).start()
        await asyncio.to_thread(_greet, config, service, listening.getsockname()[1])
        telling = asyncio.create_task(_tell_workers(service))
        await asyncio.to_thread(importlib.import_module, "networkx")  # the first job need not wait for it
        settle()
        await stop.wait()
        typer.secho("stopping", err=True, dim=True)
        telling.cancel()
    finally:
        await runner.cleanup()
        database.close()


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM and Ctrl-C; a second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(FAILED)
        stop.set()

    for one in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(one, on_signal)
        except NotImplementedError:  # Windows
            signal.signal(one, lambda *_: loop.call_soon_threadsafe(on_signal))
    return stop


def _greet(config: Config, service: Service, port: int) -> None:
    """Says what was found, and where it serves."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    shown = "127.0.0.1" if config.host in ("0.0.0.0", "::") else host
    token = f"/?token={config.token}" if config.token else ""
    _line("GraphFlow", f"{__version__} at http://{shown}:{port}{token}")
    _line("data", str(config.data))
    for root in service.models.roots:
        if root.is_dir():
            count = sum(1 for _ in root.rglob("*.safetensors"))
            _line("models", f"{root} ({count} files)")
    if not (paths.editor_folder() / "index.html").is_file():
        _line("editor", "not built here; `make web` builds it")
    for slot in service.slots:
        _line("worker", f"{slot.status.name} is starting")


async def _tell_workers(service: Service) -> None:
    """Says once how each worker came up, and whenever one dies."""
    told: dict[str, str] = {}
    with service.hub.listen() as listener:
        async for message in listener:
            if not isinstance(message, WorkerNotice):
                continue
            state = "ready" if message.state == "busy" else message.state
            if told.get(message.name) != state and state != "starting":
                told[message.name] = state
                found = f"{message.device}, {len(await service.definitions())} node types" if state == "ready" else ""
                _line("worker", f"{message.name} is {state}: {found or message.message}")


def _line(what: str, text: str) -> None:
    typer.echo(typer.style(what.ljust(10), bold=True) + text)
