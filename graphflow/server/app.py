"""The factory: an aiohttp application from a service and the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from graphflow.config import Config
from graphflow.errors import Unauthorized
from graphflow.server import security
from graphflow.server.assets import ETAG
from graphflow.server.call import CONFIG, SERVICE, as_aiohttp
from graphflow.server.editor import LOGIN, page, serve_editor
from graphflow.server.faults import tell_faults
from graphflow.server.live import SOCKETS, STREAMS, close_sockets
from graphflow.server.nodes import CATALOG, Catalog
from graphflow.server.routes import ROUTES
from graphflow.service import Service

Door = Callable[[web.Application], None]
"""Adds another protocol's routes to the application; it finds the service under `SERVICE`."""


def create_app(service: Service, config: Config, *, doors: Sequence[Door] = ()) -> web.Application:
    """The application: the native API, the editor, and other doors beside them. It starts and stops the service."""
    app = web.Application(
        middlewares=[tell_faults, ask_for_token, security.guard], client_max_size=int(config.max_upload)
    )
    app[SERVICE], app[CONFIG], app[CATALOG] = service, config, Catalog()
    app[SOCKETS], app[STREAMS] = set(), set()
    for route in ROUTES:
        app.router.add_route(route.method, route.path, as_aiohttp(route))
        if route.method == "GET" and route.path != "/v1/live":
            app.router.add_route("HEAD", route.path, as_aiohttp(route))
    for door in doors:
        door(app)
    app.router.add_get("/", serve_editor)
    app.router.add_get("/{path:(?!v1/|v1$).+}", serve_editor)
    app.on_response_prepare.append(security.add_headers)
    app.on_response_prepare.append(set_etag)
    app.on_shutdown.append(close_sockets)
    app.cleanup_ctx.append(running_service)
    return app


async def running_service(app: web.Application) -> AsyncIterator[None]:
    """Starts the service with the application, and stops it after the last answer."""
    await app[SERVICE].start()
    yield
    await app[SERVICE].stop()


async def set_etag(request: web.Request, response: web.StreamResponse) -> None:
    """Puts our ETag in place of the one that aiohttp makes of a file's time."""
    if (etag := request.get(ETAG)) is not None:
        response.headers["ETag"] = etag


@web.middleware
async def ask_for_token(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Shows people a page where programs get an error."""
    try:
        return await handler(request)
    except Unauthorized:
        if request.method == "GET" and request.path == "/" and "text/html" in request.headers.get("Accept", ""):
            return page(LOGIN, 401)
        raise
