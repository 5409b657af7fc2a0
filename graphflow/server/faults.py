"""Every error as the one JSON shape, whoever raised it."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from graphflow.assets import NO_ROOM
from graphflow.errors import DiskFull, ErrorBody, GraphflowError
from graphflow.server.schemas import ErrorAnswer

log = logging.getLogger("graphflow.server")

CODES = {400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
CODES |= {408: "timeout", 411: "length_required", 413: "too_large", 415: "unsupported_media_type", 416: "bad_range"}


@web.middleware
async def tell_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what handlers and aiohttp raise into answers."""
    try:
        return await handler(request)
    except GraphflowError as error:
        return error_response(error.status, error.body(), _headers(error.status))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        body = ErrorBody(code=CODES.get(error.status, "error"), message=_message(request, error))
        return error_response(error.status, body, headers)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            full = DiskFull(DiskFull.MESSAGE)
            return error_response(full.status, full.body())
        log.exception("%s %s", request.method, request.path)
        message = "this is a fault of the server, which wrote it to its log; please report it"
        return error_response(500, ErrorBody(code="internal", message=message))


def error_response(status: int, body: ErrorBody, headers: dict[str, str] | None = None) -> web.Response:
    """The one shape."""
    text = ErrorAnswer(error=body).model_dump_json()
    return web.Response(status=status, text=text, headers=headers, content_type="application/json")


def _headers(status: int) -> dict[str, str]:
    return {"WWW-Authenticate": 'Bearer realm="GraphFlow"'} if status == 401 else {}


def _message(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"there is nothing at {request.path}; the API is described at /v1/openapi.json"
    if error.status == 405:
        return f"{request.path} takes {error.headers.get('Allow', 'other methods')}, not {request.method}"
    return error.text or error.reason
