"""Where packs' routes are answered and prompts changed: an application of the packs' own, on a loop of its own.

The application is a real one of aiohttp, reached through a pair of sockets inside this process: no port is opened.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from graphflow.comfy.packs.server import Server
from graphflow.comfy.packs.surface import Surface
from graphflow.comfy.passing import LARGEST, PATIENCE, STYLE, About, Answered, Asked, Faulty, Prompted, Route

log = logging.getLogger(__name__)


class PackDesk:
    """A `graphflow.registry.Desk` for the packs that share a surface."""

    style = STYLE

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._server: Server = surface.server
        self._app = self._server.app
        for route in self._server.routes:
            try:
                self._app.add_routes([route])
            except (RuntimeError, ValueError) as error:
                log.warning("a pack's route is left out: %s", error)
        self._app.middlewares.insert(0, self._on_stage)
        self._starting: asyncio.Task[web.AppRunner] | None = None
        self.about = About(tuple(self._routes()), bool(self._server.prompt_handlers)).told()

    def _routes(self) -> Iterator[Route]:
        for resource in self._app.router.resources():
            info = resource.get_info()
            if (prefix := info.get("prefix")) is not None:
                yield Route("GET", f"{re.escape(str(prefix))}/.*")
                continue
            pattern = info.get("pattern")
            path = pattern.pattern if pattern is not None else re.escape(str(info.get("path", "")))
            for route in resource:
                if path:
                    yield Route(route.method, path)

    @web.middleware
    async def _on_stage(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """With the modules that packs import in place; what a pack raises is in the log, and not told."""
        try:
            with self._surface.installed():
                return await handler(request)
        except web.HTTPException:
            raise
        except Exception:
            log.exception("a node pack failed to answer %s %s", request.method, request.path)
            message = "the node pack failed to answer; the log says why"
            return web.json_response({"error": {"code": "pack_failed", "message": message}}, status=500)

    def answer(self, question: Asked | Prompted) -> Answered | Faulty | Prompted:
        """What the packs answer; what they raise is in the log, and not told."""
        if isinstance(question, Prompted):
            return self._changed(question)
        future = asyncio.run_coroutine_threadsafe(self._answer(question), self._server.loop)
        try:
            return future.result(PATIENCE)
        except TimeoutError:
            future.cancel()
            return Faulty(f"the node pack did not answer within {PATIENCE:.0f} seconds")
        except Exception:
            log.exception("a node pack failed to answer %s %s", question.method, question.target)
            return Faulty("the node pack failed to answer; the log says why")

    def _changed(self, question: Prompted) -> Prompted:
        """The prompt as every pack has left it; one that fails, or returns none, changes nothing."""
        body = dict(question.body)
        for handler in self._server.prompt_handlers:
            try:
                with self._surface.installed():
                    changed = handler(body)
            except Exception:
                log.exception("a node pack failed to look at a prompt")
                continue
            if isinstance(changed, dict):
                body = changed
        return Prompted(body)

    async def _start(self) -> web.AppRunner:
        runner = web.AppRunner(self._app, access_log=None, handler_cancellation=True)
        await runner.setup()
        return runner

    async def _answer(self, question: Asked) -> Answered | Faulty:
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        runner = await asyncio.shield(self._starting)
        session = aiohttp.ClientSession(
            connector=_Inside(runner), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        url = "http://localhost" + question.target
        async with session, session.request(
            question.method, URL(url, encoded=True), headers=question.headers, data=question.body, allow_redirects=False
        ) as response:  # fmt: skip
            body = bytearray()
            while len(body) <= LARGEST and (more := await response.content.read(2**16)):
                body += more
            if len(body) > LARGEST:
                return Faulty(f"the node pack's answer is larger than {LARGEST:,} bytes")
            headers = tuple((name, value) for name, value in response.headers.items())
            return Answered(response.status, headers, bytes(body))


class _Inside(aiohttp.BaseConnector):
    """Connects to an application of this process."""

    def __init__(self, runner: web.AppRunner) -> None:
        super().__init__(force_close=True)
        self._runner = runner

    async def _create_connection(self, *_: Any) -> Any:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        assert self._runner.server is not None
        await loop.connect_accepted_socket(self._runner.server, theirs)
        return (await loop.create_connection(self._factory, sock=ours))[1]
