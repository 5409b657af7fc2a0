"""What is told while it happens: a job's events as a stream, and everything over a WebSocket."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from graphflow.errors import BadRequest
from graphflow.events import BaseEvent, Preview
from graphflow.server import schemas
from graphflow.server.call import Call, Nothing
from graphflow.service import Hopeless, Listener

HEARTBEAT = 15.0
"""Seconds of silence after which the other side is asked, or told, that all is well."""
STUCK = 60.0
"""Seconds that one message may take to leave."""
PREVIEW = 1
"""Kind of a binary frame."""

SOCKETS = web.AppKey("sockets", set[web.WebSocketResponse])
STREAMS = web.AppKey("streams", set["asyncio.Task[Any]"])


async def stream_events(call: Call[schemas.EventsQuery, Nothing]) -> web.StreamResponse:
    """A job's events as server-sent events, from the first, or from the one after `Last-Event-ID`, to the end.

    204 says that the job ended and nothing is left to tell.
    """
    after, id = _last_seen(call), call.part("id")
    events = call.service.follow(id, after)
    first = await anext(events, None)
    if first is None:
        return web.Response(status=204)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(call.request)
    writing = asyncio.create_task(_write(response, first, events))
    call.request.app[STREAMS].add(writing)
    try:
        await writing
    except (ConnectionError, TimeoutError, Hopeless):
        pass  # it went away, or is too slow; it may come back, and goes on where it was
    except asyncio.CancelledError:
        writing.cancel()
        raise
    finally:
        call.request.app[STREAMS].discard(writing)
    return response


async def _write(response: web.StreamResponse, first: BaseEvent, events: AsyncIterator[BaseEvent]) -> None:
    await response.write(_lines(first))
    async for event in _with_silence(events):
        await asyncio.wait_for(response.write(b": \n\n" if event is None else _lines(event)), STUCK)


def _last_seen(call: Call[schemas.EventsQuery, Nothing]) -> int:
    header = call.request.headers.get("Last-Event-ID", "")
    if header and not (header.isascii() and header.isdecimal() and len(header) <= 15):
        raise BadRequest(f"Last-Event-ID is {header[:40]!r}; it must be the number of an event")
    return int(header) if header else call.query.after


def _lines(event: BaseEvent) -> bytes:
    type = getattr(event, "type", "")
    return f"id: {event.seq}\nevent: {type}\ndata: {event.model_dump_json()}\n\n".encode()


async def _with_silence(events: AsyncIterator[BaseEvent]) -> AsyncIterator[BaseEvent | None]:
    """The events, and None whenever nothing happened for a while."""
    pending: asyncio.Task[BaseEvent] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events))  # type: ignore[arg-type]
            done, _ = await asyncio.wait([pending], timeout=HEARTBEAT)
            if not done:
                yield None
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event
    finally:
        if pending is not None:
            pending.cancel()


async def live(call: Call[Nothing, Nothing]) -> web.StreamResponse:
    """Everything that happens, for an editor: first `hello`, then events and notices, and previews as binary frames.

    Nothing that a client sends is looked at. One that is too slow loses previews, and in the end its connection.
    """
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=4096, compress=False)
    await socket.prepare(call.request)
    sockets = call.request.app[SOCKETS]
    sockets.add(socket)
    try:
        with call.service.hub.listen(previews=True) as listener:
            await socket.send_str((await call.service.hello()).model_dump_json())
            await _until_either_ends(_send(socket, listener), _drain(socket))
    except (ConnectionError, TimeoutError):
        pass  # it went away
    except Hopeless:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow; connect again")
    finally:
        sockets.discard(socket)
    return socket


async def _send(socket: web.WebSocketResponse, listener: Listener) -> None:
    while True:
        message = await listener.get()
        async with asyncio.timeout(STUCK):
            if isinstance(message, Preview):
                await socket.send_bytes(preview_frame(message))
            else:
                await socket.send_str(message.model_dump_json())


async def _drain(socket: web.WebSocketResponse) -> None:
    """Reads and forgets until the other side closes."""
    while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
        pass


async def _until_either_ends(*works: Any) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def preview_frame(preview: Preview) -> bytes:
    """Kind and length of the header, 4 bytes each, big end first; the header as JSON; the picture."""
    header = json.dumps({"job": preview.job, "node": preview.node, "media_type": preview.media_type}).encode()
    return struct.pack(">II", PREVIEW, len(header)) + header + preview.data


async def close_sockets(app: web.Application) -> None:
    """Says goodbye to everybody when the server ends: streams and sockets would keep it waiting."""
    for stream in app[STREAMS]:
        stream.cancel()
    goodbye: Callable[..., Any] = web.WebSocketResponse.close
    closing = [goodbye(socket, code=WSCloseCode.GOING_AWAY, message=b"the server ends") for socket in app[SOCKETS]]
    await asyncio.gather(*closing, return_exceptions=True)
