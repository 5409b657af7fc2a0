"""The WebSocket: a client's own runs, told in ComfyUI's messages, with previews in the form that it asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from graphflow.comfy.call import Door, Particulars, door_of
from graphflow.comfy.logs import entry_of
from graphflow.comfy.messages import TO_ALL, Message, Run, message, progress_text, status
from graphflow.errors import NotFound
from graphflow.events import (
    BaseEvent,
    JobCancelled,
    JobDone,
    JobFailed,
    JobQueued,
    JobStarted,
    NodeOutput,
    NodeProgress,
    NodeSaid,
    Preview,
)
from graphflow.service import Hopeless, Listener

HEARTBEAT = 15.0
"""Seconds between questions whether the other side is there."""
STUCK = 60.0
"""Seconds that one message may take to leave."""
MAX_ID = 128
ENDS = (JobDone, JobFailed, JobCancelled)


@dataclass
class _Socket:
    """One connection."""

    door: Door
    response: web.WebSocketResponse
    id: str
    metadata: bool = False
    """The client takes previews with metadata."""
    runs: dict[str, Run] = field(default_factory=dict)
    """Jobs that run, as far as they were told."""
    preview: Preview | None = None
    """Of the progress that comes next."""
    seen: dict[str, int] = field(default_factory=dict)
    """Of jobs that ran before this connection: the last event that needs no telling."""

    @property
    def is_current(self) -> bool:
        """Whether this is the newest connection under its id."""
        return self.door.sockets.get(self.id) is self.response


async def serve_socket(request: web.Request) -> web.StreamResponse:
    """`/ws?clientId=ID`: tells `status` at once, then everything that concerns the client."""
    door = door_of(request)
    response = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=2**20, compress=False)
    await response.prepare(request)
    id = request.query.get("clientId", "")[:MAX_ID] or uuid.uuid4().hex
    socket = _Socket(door, response, id)
    door.sockets[id] = response
    try:
        with door.service.hub.listen(previews=True) as listener:
            await response.send_json(status(await door.remaining(), id))
            await _catch_up(socket)
            await _until_either_ends(_tell(socket, listener), _hear(socket))
    except (ConnectionError, TimeoutError, Hopeless):
        await response.close()
    finally:
        if socket.is_current:
            del door.sockets[id]
            door.readers.discard(id)
    return response


async def _catch_up(socket: _Socket) -> None:
    """For a client that comes back in the middle of its run: where it is."""
    for job in await socket.door.service.jobs.history(["running"], limit=100):
        about = await socket.door.particulars(job.id)
        run = socket.runs[job.id] = Run(job.id, about.types, about.outputs)
        for event in await socket.door.service.jobs.events(job.id):
            if isinstance(event, ENDS):
                break  # it ended while we read: the listener has that still to tell
            socket.seen[job.id] = event.seq
            run.messages(event)
        if about.client == socket.id and run.last is not None:
            await socket.response.send_json(message("executing", node=run.last))


# --- what the client says --------------------------------------------------------------------------------------------


async def _hear(socket: _Socket) -> None:
    """The first text may announce feature flags; everything else is read and forgotten."""
    is_first = True
    while True:
        got = await socket.response.receive()
        if got.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return
        said = _said(got)
        if said is None or not is_first:
            continue
        is_first = False
        if said.get("type") == "feature_flags" and isinstance(said.get("data"), dict):
            socket.metadata = said["data"].get("supports_preview_metadata") is True
            await socket.response.send_json(message("feature_flags", **features(socket.door)))


def _said(got: WSMessage) -> dict[str, Any] | None:
    """A JSON object, or None for anything else."""
    if got.type is not WSMsgType.TEXT:
        return None
    try:
        said = json.loads(got.data)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def features(door: Door) -> dict[str, Any]:
    """What this server can do, in the flags' words."""
    return {"supports_preview_metadata": True, "max_upload_size": int(door.config.max_upload)}


# --- what it is told -------------------------------------------------------------------------------------------------


async def _tell(socket: _Socket, listener: Listener) -> None:
    while True:
        heard = await listener.get()
        async with asyncio.timeout(STUCK):
            if isinstance(heard, Preview):
                socket.preview = heard
            elif isinstance(heard, NodeSaid):
                await _tell_words(socket, heard)
            elif isinstance(heard, BaseEvent):
                await _tell_event(socket, heard)


async def _tell_event(socket: _Socket, event: BaseEvent) -> None:
    if event.seq <= socket.seen.get(event.job, 0):
        return
    if socket.id in socket.door.readers and socket.is_current and (line := entry_of(event)) is not None:
        await socket.response.send_json(message("logs", entries=[line]))
    if isinstance(event, JobQueued | JobStarted):
        await socket.response.send_json(status(await socket.door.remaining()))
    if isinstance(event, JobQueued):
        return
    try:
        about = await socket.door.particulars(event.job)
    except NotFound:
        return
    is_known = event.job in socket.runs
    run = socket.runs.setdefault(event.job, Run(event.job, about.types, about.outputs))
    if isinstance(event, NodeOutput) and any(output.details.get("socket") for output in event.outputs):
        await _tell_pictures(socket, run, event, about)
        return
    texts = await _texts(socket.door, event)
    if is_known or not isinstance(event, JobCancelled):  # one that never ran has nothing to interrupt
        for one in _with_preview(socket, run, about, run.messages(event, texts), event):
            await _send(socket, one, about.client)
    if isinstance(event, NodeProgress) and event.text and _concerns(socket, about.client):
        await socket.response.send_bytes(progress_text(event.node, event.text))
    if isinstance(event, ENDS):
        remaining = await socket.door.remaining()
        for one in run.ending(remaining) if is_known else [status(remaining)]:
            await _send(socket, one, about.client)
        socket.runs.pop(event.job, None)
        socket.seen.pop(event.job, None)


def _with_preview(
    socket: _Socket, run: Run, about: Particulars, messages: list[Message], event: BaseEvent
) -> Sequence[Message | bytes]:
    """A step's messages with its preview among them: with metadata before `progress`, else behind it.

    Simple clients take any picture on the socket for a result, so they must ask for previews.
    """
    if not isinstance(event, NodeProgress) or (preview := socket.preview) is None:
        return messages
    socket.preview = None
    if not (socket.metadata if about.previews is None else about.previews):
        return messages
    frame = run.preview(preview, metadata=socket.metadata)
    return [*messages[:-1], frame, messages[-1]] if socket.metadata else [*messages, frame]


async def _tell_pictures(socket: _Socket, run: Run, event: NodeOutput, about: Particulars) -> None:
    """Pictures that go over the socket in full, each as one more step of its node."""
    for place, output in enumerate(event.outputs):
        done = NodeProgress(job=event.job, node=event.node, value=place + 1, total=len(event.outputs))
        for one in run.messages(done):
            await _send(socket, one, about.client)
        if _concerns(socket, about.client):
            data = await socket.door.data(output.asset)
            picture = Preview(event.job, event.node, output.media_type, data)
            await socket.response.send_bytes(run.preview(picture, metadata=socket.metadata))


async def _texts(door: Door, event: BaseEvent) -> dict[str, str]:
    if not isinstance(event, NodeOutput):
        return {}
    written = [output.asset for output in event.outputs if output.media_type.startswith("text/")]
    return {asset: await door.text(asset) for asset in written}


async def _send(socket: _Socket, one: Message | bytes, client: str | None) -> None:
    """A message or a picture, if it concerns this client."""
    if isinstance(one, bytes):
        if _concerns(socket, client):
            await socket.response.send_bytes(one)
        return
    is_for_all = one["type"] == "status" or (client is None and one["type"] in TO_ALL)
    if is_for_all or (client == socket.id and socket.is_current):
        await socket.response.send_json(one)


def _concerns(socket: _Socket, client: str | None) -> bool:
    """Whether pictures and texts of a client's run, or of one that nobody asked for, go to this connection."""
    return client is None or (client == socket.id and socket.is_current)


async def _tell_words(socket: _Socket, said: NodeSaid) -> None:
    """A pack's own message, as it is."""
    try:
        about = await socket.door.particulars(said.job)
    except NotFound:
        return
    if _concerns(socket, about.client):
        await socket.response.send_json({"type": said.kind, "data": said.content})


async def _until_either_ends(*works: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
