"""Sessions of real clients: recorded once through a proxy, kept as small JSON files, replayed without the client.

To record anew: `GRAPHFLOW_RECORD=1 pytest tests/comfy/test_clients.py`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from graphflow.comfy.door import ROUTES

SESSIONS = Path(__file__).parent / "sessions"
LARGE = 4000
"""Characters of an answer that is kept by its shape alone."""
_OURS = [re.compile("(/api)?" + re.sub(r"\{[^}]*\}", "[^/]+", path) + "$") for _, path, _ in ROUTES]
_DROPPED = {
    "host",
    "origin",
    "connection",
    "content-length",
    "accept-encoding",
    "transfer-encoding",
    "upgrade",
    "referer",
}
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def is_protocol(path: str) -> bool:
    """Whether a path is one of the protocol's, not a file of the editor."""
    return any(pattern.match(path) for pattern in _OURS)


def shape(data: Any) -> Any:
    """What an answer looks like: keys and types, of a list its first item."""
    if isinstance(data, dict):
        return {"": shape(next(iter(data.values())))} if _named_by_ids(data) else {k: shape(v) for k, v in data.items()}
    if isinstance(data, list):
        return [shape(data[0])] if data else []
    return "number" if isinstance(data, int | float) and not isinstance(data, bool) else type(data).__name__


def _named_by_ids(data: dict[str, Any]) -> bool:
    return bool(data) and all(re.fullmatch(ID, key) for key in data)


def fits(now: Any, then: Any) -> bool:
    """Whether an answer's shape is as it was; lists and values that were or are empty say nothing."""
    if isinstance(then, dict) and isinstance(now, dict):
        return not then or not now or (then.keys() <= now.keys() and all(fits(now[k], then[k]) for k in then))
    if isinstance(then, list) and isinstance(now, list):
        return not then or not now or fits(now[0], then[0])
    return now == then or "NoneType" in (now, then)


def told(frame: Any) -> list[Any] | None:
    """What of a message must be the same each time; None for those that depend on the moment."""
    if isinstance(frame, bytes):
        return ["binary", int.from_bytes(frame[:4], "big")]
    if frame["type"] in ("status", "progress_state"):
        return None
    data = {key: value for key, value in frame["data"].items() if key not in ("timestamp", "prompt_id", "sid")}
    return [frame["type"], data]


@asynccontextmanager
async def recorded(server: TestServer, file: Path) -> AsyncIterator[TestServer]:
    """A proxy before a server; what goes through it is written to a file at the end."""
    entries: list[dict[str, Any]] = []
    target = f"http://{server.host}:{server.port}"
    async with aiohttp.ClientSession(auto_decompress=True) as session:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            headers = {key: value for key, value in request.headers.items() if key.lower() not in _DROPPED}
            if request.headers.get("Origin") == f"http://{request.host}":
                headers["Origin"] = target  # the page is the server's own, as it would be without the proxy
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await _sockets(session, request, target, entries)
            body = await request.read()
            url = target + request.raw_path
            async with session.request(request.method, url, data=body, headers=headers, allow_redirects=False) as got:
                data = await got.read()
                if is_protocol(request.path):
                    entries.append(_exchange(request, body, got, data))
                kind = {"Content-Type": got.headers.get("Content-Type", "application/octet-stream")}
                return web.Response(status=got.status, body=data, headers=kind)

        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{tail:.*}", pass_on)
        async with TestServer(app) as proxy:
            yield proxy
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _exchange(request: web.Request, body: bytes, got: aiohttp.ClientResponse, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"method": request.method, "path": request.raw_path, "status": got.status}
    if body:
        entry["type"] = request.headers.get("Content-Type", "")
        entry["body"] = base64.b64encode(body).decode() if b"\0" in body else body.decode()
    if got.content_type == "application/json":
        entry["shape"] = shape(json.loads(data)) if len(data) < LARGE else type(json.loads(data)).__name__
    else:
        entry["kind"] = got.content_type
    return entry


async def _sockets(
    session: aiohttp.ClientSession, request: web.Request, target: str, entries: list[dict[str, Any]]
) -> web.StreamResponse:
    near = web.WebSocketResponse()
    await near.prepare(request)
    async with session.ws_connect(target + request.raw_path) as far:
        entries.append({"socket": request.raw_path})

        async def outwards() -> None:
            async for got in near:
                if got.type is WSMsgType.TEXT:
                    entries.append({"said": got.data})
                    await far.send_str(got.data)

        async def inwards() -> None:
            async for got in far:
                if got.type is WSMsgType.TEXT:
                    if (kept := told(json.loads(got.data))) is not None:
                        entries.append({"heard": kept})
                    await near.send_str(got.data)
                elif got.type is WSMsgType.BINARY:
                    entries.append({"heard": told(got.data)})
                    await near.send_bytes(got.data)

        tasks = [asyncio.ensure_future(one) for one in (outwards(), inwards())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    return near
