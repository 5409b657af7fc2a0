"""What clients ask of node packs' own routes, passed on to the worker that has the packs; and packs' say on prompts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from graphflow.comfy.call import Door, door_of
from graphflow.comfy.history import without_secrets
from graphflow.comfy.passing import PATIENCE, STYLE, About, Answered, Asked, Faulty, Prompted
from graphflow.errors import Forbidden, GraphflowError, WorkerDied
from graphflow.server.call import read_raw
from graphflow.server.security import is_from_allowed
from graphflow.worker.protocol import Worker

log = logging.getLogger(__name__)
KEPT = {"accept", "accept-language", "content-type", "if-none-match", "if-modified-since", "range", "comfy-user"}
"""Headers of a request that packs are told. Tokens and cookies are this server's own."""
TOLD = {"content-type", "content-disposition", "content-encoding", "content-range", "accept-ranges", "cache-control",
        "etag", "last-modified", "location"}  # fmt: skip
"""Headers of an answer that clients are told."""
PROMPT_PATIENCE = 10.0
"""Seconds that packs may take to look at a prompt."""


class PackFailed(GraphflowError):
    """A node pack gave no answer that could be passed on."""

    code = "pack_failed"
    status = 502


def _desks(door: Door) -> Iterator[tuple[Worker, int, About]]:
    """The desks of the packs in the first worker that has any, by their places."""
    for slot in door.service.slots:
        greeting = slot.worker.greeting
        signs = [] if greeting is None else [(i, one) for i, one in enumerate(greeting.desks) if one.style == STYLE]
        if signs:
            yield from ((slot.worker, place, About.of(sign.about)) for place, sign in signs)
            return


@web.middleware
async def pass_on(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Asks the packs where the server itself has nothing."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        path = request.rel_url.raw_path
        found = _route(door_of(request), request.method, path)
        if found is None:
            raise
    return await _passed_on(request, *found)


def _route(door: Door, method: str, path: str) -> tuple[Worker, int, str] | None:
    """The worker and the desk for a request, and the path as the pack knows it; each route has its twin below /api."""
    if path.startswith("/v1/"):
        return None
    bare = path.removeprefix("/api") if path.startswith("/api/") else path
    for worker, place, about in _desks(door):
        for known in dict.fromkeys((path, bare)):
            if any(route.fits(method, known) for route in about.routes):
                return worker, place, known
    return None


async def _passed_on(request: web.Request, worker: Worker, desk: int, path: str) -> web.Response:
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and not is_from_allowed(request):
        raise Forbidden("another site's page may not ask anything of node packs")
    headers = tuple((name, value) for name, value in request.headers.items() if name.lower() in KEPT)
    query = request.rel_url.raw_query_string
    body = await read_raw(request, door_of(request).config.max_upload)
    asked = Asked(request.method, f"{path}?{query}" if query else path, headers, body)
    answered = await _ask(worker, desk, asked, PATIENCE + 5)
    if not isinstance(answered, Answered):
        raise PackFailed(answered.reason if isinstance(answered, Faulty) else "the worker that has the pack is not up")
    told = [(name, value) for name, value in answered.headers if name.lower() in TOLD]
    response = web.Response(status=answered.status, body=answered.body, headers=CIMultiDict(told))
    response.headers["Content-Security-Policy"] = "sandbox"  # a page or a drawing of a pack runs no script here
    return response


async def changed(door: Door, body: dict[str, Any]) -> dict[str, Any]:
    """A client's prompt as the packs want it to be; as it is where they fail."""
    for worker, desk, about in list(_desks(door)):
        if not about.changes_prompts:
            continue
        extra = body.get("extra_data")
        told = {**body, "extra_data": without_secrets(extra)} if isinstance(extra, Mapping) else body
        answered = await _ask(worker, desk, Prompted(told), PROMPT_PATIENCE)
        if isinstance(answered, Prompted):
            body = dict(answered.body)
        else:
            log.warning("node packs did not look at a prompt: the worker is not up, or took too long")
    return body


async def _ask(worker: Worker, desk: int, question: Asked | Prompted, patience: float) -> Any:
    try:
        return await asyncio.wait_for(worker.ask(desk, question), patience)
    except TimeoutError:
        return Faulty("the worker that has the pack did not answer in time")
    except WorkerDied as error:
        return Faulty(error.message)
