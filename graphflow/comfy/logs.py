"""What ComfyUI's editor shows as the server's log: what happened to jobs, and nothing else of the machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from aiohttp import web

from graphflow.comfy.call import Door, answer, door_of, read_object
from graphflow.errors import BadRequest
from graphflow.events import BaseEvent, JobCancelled, JobDone, JobFailed, JobQueued
from graphflow.jobs import FINISHED, Job

SHOWN = 100
"""Jobs whose log is given at once."""
SIZE = {"cols": 120, "rows": 40}
"""Of the terminal in which the editor shows it."""

Entry = dict[str, str]
"""`t`, the moment as ISO 8601, and `m`, a line with its end."""


def _entry(moment: float, text: str) -> Entry:
    return {"t": datetime.fromtimestamp(moment, UTC).isoformat(), "m": text + "\n"}


def entry_of(event: BaseEvent) -> Entry | None:
    """The line about an event; None for one that is not worth a line."""
    moment = event.time or time.time()
    match event:
        case JobQueued():
            return _entry(moment, "got prompt")
        case JobDone(seconds=seconds):
            return _entry(moment, f"Prompt executed in {seconds:.2f} seconds")
        case JobFailed(error=error):
            return _entry(moment, f"Prompt failed: {error.message}")
        case JobCancelled():
            return _entry(moment, "Processing interrupted")
    return None


def _entries_of(job: Job) -> list[tuple[float, Entry]]:
    told = [(job.created, _entry(job.created, "got prompt"))]
    if job.status not in FINISHED:
        return told
    end = job.finished or job.created
    if job.status == "done":
        text = f"Prompt executed in {end - (job.started or end):.2f} seconds"
    else:
        text = f"Prompt failed: {job.error.message}" if job.error else "Processing interrupted"
    return [*told, (end, _entry(end, text))]


async def entries(door: Door) -> list[Entry]:
    """Lines about the newest jobs, the oldest first."""
    jobs = await door.service.jobs.history(limit=SHOWN)
    told = [one for job in jobs for one in _entries_of(job)]
    return [entry for _, entry in sorted(told, key=lambda one: one[0])]


async def get_logs(request: web.Request) -> web.Response:
    """The log as one text."""
    listed = await entries(door_of(request))
    return answer("".join(f"{entry['t']} - {entry['m']}" for entry in listed))


async def get_raw_logs(request: web.Request) -> web.Response:
    """The log by lines."""
    return answer({"entries": await entries(door_of(request)), "size": SIZE})


async def subscribe(request: web.Request) -> web.Response:
    """Whether a client is to hear each new line in a message `logs`."""
    door, body = door_of(request), await read_object(request)
    client = body.get("clientId")
    if not isinstance(client, str):
        raise BadRequest("clientId must say which WebSocket is meant")
    if body.get("enabled") is True:
        if client in door.sockets:
            door.readers.add(client)
    else:
        door.readers.discard(client)
    return web.Response()
