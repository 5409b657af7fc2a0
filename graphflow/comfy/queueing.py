"""Routes for prompts, the queue and the history. The jobs are the same as everybody's."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from graphflow.comfy import pack_routes
from graphflow.comfy.call import Door, answer, door_of, number_in, read_json, read_object
from graphflow.comfy.history import history_entry, queue_item, without_secrets
from graphflow.comfy.prompt import read_prompt
from graphflow.comfy.signatures import Signatures
from graphflow.comfy.validation import NO_PROMPT, Verdict, error, independent, planning_errors, validate
from graphflow.errors import BadRequest, Conflict, GraphflowError, InvalidWorkflow, NotFound, TooLarge
from graphflow.jobs import FINISHED, Stored

MANY = 200
"""Entries from which on a history leaves out which nodes were cached."""
_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_TEXT_KEY = re.compile(r"[A-Za-z][\w-]{0,78}")


# --- prompts ---------------------------------------------------------------------------------------------------------


async def get_prompt(request: web.Request) -> web.Response:
    """How many jobs wait or run."""
    return answer({"exec_info": {"queue_remaining": await door_of(request).remaining()}})


async def post_prompt(request: web.Request) -> web.Response:
    """Queues a prompt. 400 with ComfyUI's errors when no output of it can run."""
    door = door_of(request)
    try:
        body = await read_object(request)
    except TooLarge:
        raise
    except BadRequest as fault:
        return _refused(error("invalid_prompt", "The request cannot be read", fault.message))
    body = await pack_routes.changed(door, body)
    number, front = _place(door, body)
    if "prompt" not in body:
        return _refused(NO_PROMPT)
    id = str(body["prompt_id"]) if body.get("prompt_id") not in (None, "") else str(uuid.uuid4())
    if not _ID.fullmatch(id):
        message = "prompt_id must be 1 to 64 letters, digits and . : - _"
        return _refused(error("invalid_prompt_id", message, id[:80]))
    targets = body.get("partial_execution_targets")
    if targets is not None and not isinstance(targets, list):
        message = "partial_execution_targets must be a list of node ids"
        return _refused(error("invalid_prompt", message, str(targets)[:80]))
    signatures = await door.signatures()
    chosen = None if targets is None else [str(target) for target in targets]
    verdict = await asyncio.to_thread(validate, body["prompt"], signatures, door.names(), chosen)
    if verdict.error is not None:
        return _refused(verdict.error, verdict.node_errors)
    extra = _extra(body, number, verdict.prompt)
    node_errors = dict(verdict.node_errors)
    try:
        await _submit(door, verdict, extra, node_errors, id=id, front=front)
    except InvalidWorkflow as fault:
        failed = error("prompt_outputs_failed_validation", "Prompt outputs failed validation", fault.message)
        return _refused(failed, node_errors)
    except (BadRequest, Conflict) as fault:
        return _refused(error("invalid_prompt", fault.message, id))
    return answer({"prompt_id": id, "number": number, "node_errors": node_errors})


async def _submit(
    door: Door, verdict: Verdict, extra: Mapping[str, Any], node_errors: dict[str, Any], *, id: str, front: bool
) -> None:
    """A job for the outputs that can run; what the planner, and the nodes themselves, object to in others is noted.

    Raises `InvalidWorkflow` when no output is left.
    """
    read = await asyncio.to_thread(read_prompt, verdict.prompt, await door.signatures())
    outputs: Sequence[str] = verdict.outputs
    while True:
        job = {"targets": outputs, "front": front, "client": extra["client_id"], "extra": extra, "id": id}
        try:
            await door.service.submit(read.workflow, **job)
            return
        except InvalidWorkflow as fault:
            node_errors |= planning_errors(fault.problems, verdict.prompt, outputs)
            failing = [problem.node for problem in fault.problems if problem.node is not None]
            good = independent(verdict.prompt, outputs, failing)
            if not 0 < len(good) < len(outputs):
                raise
            outputs = good


def _refused(fault: Mapping[str, Any], node_errors: Mapping[str, Any] | None = None) -> web.Response:
    return answer({"error": fault, "node_errors": node_errors or {}}, 400)


def _place(door: Door, body: Mapping[str, Any]) -> tuple[float, bool]:
    """The number that a prompt is told it has, and whether it goes before all others that wait.

    A number of the client's own that is lower than any the server would give now comes first.
    """
    own = body.get("number")
    if isinstance(own, int | float) and not isinstance(own, bool):
        return float(own), own < door.counter
    number, door.counter = door.counter, door.counter + 1
    front = body.get("front") is True
    return (-number if front else number), front


def _extra(body: Mapping[str, Any], number: float, prompt: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept with the job: the prompt as it runs, the client, and the texts for its pictures."""
    given = body.get("extra_data")
    extra_data = without_secrets(given if isinstance(given, dict) else {})
    if body.get("client_id") is not None:
        extra_data["client_id"] = str(body["client_id"])
    png = extra_data.get("extra_pnginfo")
    texts = {"prompt": json.dumps(prompt)}
    for key, value in png.items() if isinstance(png, dict) else ():
        if _TEXT_KEY.fullmatch(str(key)) and key not in ("prompt", "graphflow"):
            texts[str(key)] = json.dumps(value)
    client = extra_data.get("client_id")
    client = str(client) if client is not None else None
    return {"client_id": client, "number": number, "prompt": prompt, "extra_data": extra_data, "texts": texts}


# --- queue -----------------------------------------------------------------------------------------------------------


async def get_queue(request: web.Request) -> web.Response:
    """What runs and what waits, the next one first."""
    door = door_of(request)
    signatures, jobs = await door.signatures(), door.service.jobs
    running = await jobs.stored(["running"])
    waiting = {stored.job.id: stored for stored in await jobs.stored(["queued"])}
    order = [waiting[job.id] for job in await jobs.queue() if job.id in waiting]
    return answer(
        {
            "queue_running": [queue_item(stored, signatures) for stored in running],
            "queue_pending": [queue_item(stored, signatures, place) for place, stored in enumerate(order)],
        }
    )


async def post_queue(request: web.Request) -> web.Response:
    """Clears the queue, or takes some jobs out of it; what runs goes on."""
    door = door_of(request)
    body = await read_object(request)
    if body.get("clear"):
        await door.service.clear()
    for id in _ids(body):
        try:
            if (await door.service.jobs.get(id)).job.status == "queued":
                await door.service.cancel(id)
        except NotFound:
            continue
    return web.Response()


def _ids(body: Mapping[str, Any]) -> list[str]:
    listed = body.get("delete")
    return [str(id) for id in listed] if isinstance(listed, list) else []


async def post_interrupt(request: web.Request) -> web.Response:
    """Ends what runs now, or only the job that is named, if it runs."""
    door = door_of(request)
    try:
        body = await read_json(request, empty={})
    except GraphflowError:
        body = {}
    wanted = body.get("prompt_id") if isinstance(body, dict) else None
    for job in await door.service.jobs.history(["running"], limit=1000):
        if wanted is None or job.id == str(wanted):
            await door.service.cancel(job.id)
    return web.Response()


async def post_free(request: web.Request) -> web.Response:
    """Lets go of models, and of cached results with `free_memory`."""
    body = await read_object(request, empty={})
    memory = body.get("free_memory") is True
    if memory or body.get("unload_models") is True:
        await door_of(request).service.free(models=True, cache=memory)
    return web.Response()


# --- history ---------------------------------------------------------------------------------------------------------


async def get_history(request: web.Request) -> web.Response:
    """Finished jobs, oldest first: all, the last `max_items`, or `max_items` from `offset` on."""
    door = door_of(request)
    most, offset = number_in(request, "max_items"), number_in(request, "offset")
    from_start = offset is not None and offset >= 0
    limit = None if from_start or most is None or most < 0 else most
    found = [] if limit == 0 else await door.service.jobs.stored(FINISHED, limit=limit)
    if from_start:
        assert offset is not None
        found = found[offset:] if most is None or most < 0 else found[offset : offset + most]
    return answer(await _entries(door, found))


async def get_history_of(request: web.Request) -> web.Response:
    """One finished job; an empty object when there is none of that id."""
    door = door_of(request)
    try:
        stored = await door.service.jobs.get(request.match_info["id"])
    except NotFound:
        return answer({})
    return answer(await _entries(door, [stored] if stored.job.status in FINISHED else []))


async def _entries(door: Door, found: Sequence[Stored]) -> dict[str, Any]:
    signatures = await door.signatures()
    entries = {}
    for stored in found:
        entries[stored.job.id] = await _entry(door, stored, signatures, with_events=len(found) <= MANY)
    return entries


async def _entry(door: Door, stored: Stored, signatures: Signatures, *, with_events: bool) -> dict[str, Any]:
    events = await door.service.jobs.events(stored.job.id) if with_events else []
    texts = {
        output.asset: await door.text(output.asset)
        for output in stored.job.outputs
        if output.media_type.startswith("text/")
    }
    return history_entry(stored, signatures, events, texts)


async def post_history(request: web.Request) -> web.Response:
    """Forgets finished jobs: all, or those named."""
    jobs = door_of(request).service.jobs
    body = await read_object(request)
    if body.get("clear"):
        await jobs.forget([stored.job.id for stored in await jobs.stored(FINISHED)])
    if ids := _ids(body):
        await jobs.forget(ids)
    return web.Response()
