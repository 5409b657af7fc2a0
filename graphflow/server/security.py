"""Who may ask: the right host, the right page, the right token. A browser tab is a way into this machine.

Three checks, in this order, before any handler. The `Host` must be a name of this server, or a page of an attacker's
domain that points here (DNS rebinding) could read everything. A change, and the WebSocket, must come from a page of
this server: browsers say so in `Origin`, and one that says nothing, or `null`, is refused; programs that are no
browsers need not say anything. Pages of other sites may be allowed by name, or all of them by `*`; the latter never by
the cookie that a browser sends of its own accord. And where a token is set, it must be shown: as `Authorization: Bearer`, or as the cookie
that `/?token=...` sets.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from graphflow.config import Config, is_loopback
from graphflow.errors import Forbidden, Unauthorized
from graphflow.server.call import CONFIG

COOKIE = "graphflow"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
OPEN_PREFIXES = ("/v1/shared/",)
"""A share link's token is its own permission."""

ASKS_FIRST = "Access-Control-Request-Method"
"""A browser asks with this whether another site's page may send what it wants to."""
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
TAKEN = "Authorization, Content-Type, Comfy-User, Idempotency-Key, Last-Event-ID, If-Match, Range"

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "require-trusted-types-for 'script'",
    )
)
"""What a page of ours may do: nothing from anywhere else, no inline script or style, no frame around it."""


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request through when host, origin and token are right."""
    config = request.app[CONFIG]
    check_host(request, config)
    if request.method == "OPTIONS" and _allowed(request, config) and ASKS_FIRST in request.headers:
        return web.Response(status=204)  # what it may do stands in the headers that every response gets
    if request.method not in SAFE or _is_websocket(request):
        check_origin(request, config)
    if config.token:
        login = _login(request, config)
        if login is not None:
            return login
        check_token(request, config)
    return await handler(request)


def check_host(request: web.Request, config: Config) -> None:
    """Raises `Forbidden` for a host name that is not this server's."""
    name = _host_name(request.host)
    allowed = {config.host.lower(), *(host.lower() for host in config.allowed_hosts)}
    if is_loopback(name) or name in allowed:
        return
    if not config.is_loopback and (_is_address(name) or name in _own_names()):
        return  # an address cannot be rebound
    raise Forbidden(f"this server does not answer to the host {name!r}; if it should, add it to allowed_hosts")


def _allowed(request: web.Request, config: Config) -> str:
    """The other site that sends this, if its pages may: its name as allowed, or `*`; else an empty text."""
    origin = request.headers.get("Origin", "").lower()
    if origin in config.allowed_origins:
        return origin
    return "*" if origin and "*" in config.allowed_origins else ""


def is_from_allowed(request: web.Request) -> bool:
    """Whether a page of another site sends this that may."""
    return bool(_allowed(request, request.app[CONFIG]))


def check_origin(request: web.Request, config: Config) -> None:
    """Raises `Forbidden` for a change that comes from another site's page."""
    if _allowed(request, config):
        return
    origin = request.headers.get("Origin")
    if origin is None:
        if _is_browser(request):
            raise Forbidden("the browser did not say which page sent this (no Origin), so it is refused")
        return
    if origin == "null" or _is_foreign(request):
        raise Forbidden(
            f"the page {origin!r} is not of this server ({request.host}), so it may not change anything; if it should, "
            "add it to allowed_origins"
        )


def check_token(request: web.Request, config: Config) -> None:
    """Raises `Unauthorized` unless the request shows the token."""
    if request.path in OPEN_PATHS or request.path.startswith(OPEN_PREFIXES):
        return
    kind, _, shown = request.headers.get("Authorization", "").partition(" ")
    by_header = kind.lower() == "bearer" and _same(shown.strip(), config.token)
    by_cookie = not _is_foreign(request) or _allowed(request, config) not in ("", "*")
    if not by_header and not (by_cookie and _same(request.cookies.get(COOKIE, ""), cookie_of(config.token))):
        raise Unauthorized("show the token: 'Authorization: Bearer TOKEN', or open /?token=TOKEN in the browser")


def cookie_of(token: str) -> str:
    """What the cookie holds: it gives the token away to nobody."""
    return hashlib.sha256(f"graphflow cookie {token}".encode()).hexdigest()


def _login(request: web.Request, config: Config) -> web.StreamResponse | None:
    """For `/?token=...`: the cookie, and the way to the page without the token in its address."""
    token = request.query.get("token")
    if request.path != "/" or request.method != "GET" or token is None or not _same(token, config.token):
        return None
    response = web.Response(status=303, headers={"Location": "/", "Cache-Control": "no-store"})
    response.set_cookie(
        COOKIE, cookie_of(config.token), httponly=True, samesite="Strict", secure=request.secure, max_age=365 * 86400
    )
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every response says to browsers."""
    config = request.app[CONFIG]
    if config.allowed_origins:
        _add_cors(request, response, _allowed(request, config))
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _add_cors(request: web.Request, response: web.StreamResponse, allowed: str) -> None:
    """What pages of the site may do; pictures may be shown in any page, since browsers do not say which asks for them."""
    response.headers["Vary"] = "Origin"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if not allowed:
        return
    response.headers["Access-Control-Allow-Origin"] = "*" if allowed == "*" else request.headers["Origin"]
    if allowed != "*":
        response.headers["Access-Control-Allow-Credentials"] = "true"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = TAKEN
        response.headers["Access-Control-Max-Age"] = "600"


def _same(shown: str, wanted: str) -> bool:
    return hmac.compare_digest(shown.encode(), wanted.encode())  # takes as long for a near miss


def _is_foreign(request: web.Request) -> bool:
    """Whether another site's page sends this."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.host.lower()


def _is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _is_browser(request: web.Request) -> bool:
    return "Cookie" in request.headers or "Sec-Fetch-Site" in request.headers  # Node.js sends Sec-Fetch-Mode alone


def _host_name(host: str) -> str:
    """Without the port, and an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_names() -> set[str]:
    name = socket.gethostname().lower()
    return {name, f"{name.partition('.')[0]}.local"}
