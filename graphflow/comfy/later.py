"""Jobs as later versions of ComfyUI list them: waiting, running and finished ones in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from graphflow.comfy.call import Door, answer, door_of, number_in
from graphflow.comfy.history import history_entry, prompt_of, without_secrets
from graphflow.comfy.messages import Run, file_entry, milliseconds
from graphflow.errors import NotFound
from graphflow.events import Output
from graphflow.jobs import FINISHED, STATUSES, Job, Status, Stored

WORDS: Mapping[Status, str] = {
    "queued": "pending",
    "running": "in_progress",
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
MOST = 1000
"""Jobs in one answer."""


async def get_jobs(request: web.Request) -> web.Response:
    """Jobs of the statuses asked for, newest first; `sort_order=asc` turns them round."""
    door = door_of(request)
    asked = [word for word in request.query.get("status", "").split(",") if word]
    chosen = [status for status in STATUSES if not asked or WORDS[status] in asked]
    limit = min(max(number_in(request, "limit") or 200, 1), MOST)
    offset = max(number_in(request, "offset") or 0, 0)
    counts = await door.service.jobs.counts()
    total = sum(counts[status] for status in chosen)
    jobs = await _page(door, chosen, offset, limit, total, newest_first=request.query.get("sort_order") != "asc")
    return answer(
        {
            "jobs": [_listed(job) for job in jobs],
            "pagination": {"offset": offset, "limit": limit, "total": total, "has_more": offset + len(jobs) < total},
        }
    )


async def _page(
    door: Door, statuses: Sequence[Status], offset: int, limit: int, total: int, *, newest_first: bool
) -> list[Job]:
    if not statuses:
        return []
    most = offset + limit if newest_first else total
    jobs = await door.service.jobs.history(statuses, limit=max(most, 1))
    return (jobs if newest_first else jobs[::-1])[offset : offset + limit]


async def get_job(request: web.Request) -> web.Response:
    """One job with its prompt and results."""
    door = door_of(request)
    try:
        stored = await door.service.jobs.get(request.match_info["id"])
    except NotFound:
        return answer({"error": "Job not found"}, 404)
    return answer(await _in_full(door, stored))


async def _in_full(door: Door, stored: Stored) -> dict[str, Any]:
    signatures = await door.signatures()
    entry = history_entry(stored, signatures)
    extra = stored.extra.get("extra_data")
    job = stored.job
    return {
        **_listed(job),
        "workflow": {
            "prompt": prompt_of(stored, signatures),
            "extra_data": without_secrets(extra if isinstance(extra, dict) else {}),
        },
        "outputs": entry["outputs"],
        "update_time": milliseconds(job.finished or job.started or job.created),
        **({"execution_status": entry["status"]} if job.status in FINISHED else {}),
        "execution_meta": entry["meta"],
    }


async def get_job_assets(request: web.Request) -> web.Response:
    """The files that a job made."""
    try:
        job = (await door_of(request).service.jobs.get(request.match_info["id"])).job
    except NotFound:
        return answer({"error": "Job not found"}, 404)
    listed = [
        {"id": output.asset, "name": output.name, "hash": output.asset, "mime_type": output.media_type,
         "node_id": output.node}
        for output in job.outputs
    ]  # fmt: skip
    page = {"offset": 0, "limit": len(listed), "total": len(listed), "has_more": False}
    return answer({"job_id": job.id, "assets": listed, "pagination": page})


async def cancel_job(request: web.Request) -> web.Response:
    """Ends a job that waits or runs."""
    try:
        await door_of(request).service.cancel(request.match_info["id"])
    except NotFound:
        return answer({"error": "Job not found"}, 404)
    return answer({"success": True})


def _listed(job: Job) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "id": job.id,
        "status": WORDS[job.status],
        "create_time": milliseconds(job.created),
        "execution_start_time": milliseconds(job.started) if job.started else None,
        "execution_end_time": milliseconds(job.finished) if job.finished else None,
        "outputs_count": len(job.outputs),
        "preview_output": _preview(job.outputs),
        "workflow_id": None,
    }
    if job.status == "failed" and job.error is not None:
        listed["execution_error"] = Run(job.id).failure(job.error)
    return listed


def _preview(outputs: Sequence[Output]) -> dict[str, Any] | None:
    """The result to show for a job: a picture, or else whatever is first."""
    pictures = [output for output in outputs if output.media_type.startswith("image/")]
    for output in [*pictures, *outputs]:
        kind = "images" if output.media_type.startswith(("image/", "video/")) else "audio"
        return {**file_entry(output), "nodeId": output.node, "mediaType": kind}
    return None
