"""A typed client of a GraphFlow server.

    async with Client("http://127.0.0.1:8188") as client:
        job = await client.run(workflow, {"prompt.text": "a red fox"})
        for output in job.outputs:
            Path(output.name).write_bytes(await client.fetch(output.asset))

`run_workflow` does the same for programs that are not asynchronous.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import aiohttp
from pydantic import TypeAdapter, ValidationError

from graphflow import errors
from graphflow.assets import Asset
from graphflow.errors import ErrorBody, GraphflowError, InvalidWorkflow
from graphflow.events import Event, JobCancelled, JobDone, JobFailed, event_adapter
from graphflow.jobs import Job
from graphflow.node import NodeDef
from graphflow.registry import Definitions

LOCAL = "http://127.0.0.1:8188"
RETRIES = 5
"""Times that a lost connection is made again, in a row."""

_definitions: TypeAdapter[list[NodeDef]] = TypeAdapter(list[NodeDef])


class JobError(GraphflowError):
    """The job that was waited for failed, or was cancelled; `job` says how."""

    code = "job_failed"

    def __init__(self, job: Job) -> None:
        error = job.error or ErrorBody(code=job.status, message=f"the job was {job.status}")
        super().__init__(error.message, error.problems)
        self.job = job


class Client:
    """A connection to a server; use it with `async with`. What the server refuses is raised as it raised it there."""

    def __init__(self, address: str = LOCAL, token: str = "") -> None:
        self._address = address.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._open: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._open = aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=None, connect=30))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._open is not None:
            await self._open.close()

    # --- jobs

    async def run(self, workflow: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, **options: Any) -> Job:
        """Submits and waits; returns the finished job. Raises `InvalidWorkflow` or `JobError`."""
        job = await self.submit(workflow, overrides, **options)
        return await self.wait(job.id)

    async def submit(
        self,
        workflow: Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        *,
        targets: Sequence[str] | None = None,
        priority: int = 0,
        front: bool = False,
        key: str | None = None,
    ) -> Job:
        """Queues a workflow, in any format that the server reads, with some inputs set: `{"sample.steps": 30}`.

        A lost answer does not make a second job: the request carries a key, by which the server knows it again.
        """
        body = {"workflow": workflow, "overrides": overrides or {}, "priority": priority, "front": front}
        body |= {} if targets is None else {"targets": list(targets)}
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        for attempt in range(RETRIES):
            try:
                return Job.model_validate(await self._json("POST", "/v1/jobs", json=body, headers=headers))
            except aiohttp.ClientConnectionError:
                if attempt == RETRIES - 1:
                    raise
                await asyncio.sleep(2**attempt / 4)
        raise AssertionError("the loop above returns or raises")

    async def job(self, id: str) -> Job:
        """A job as it is now. Raises `NotFound`."""
        return Job.model_validate(await self._json("GET", f"/v1/jobs/{id}"))

    async def jobs(self, status: Sequence[str] = (), limit: int = 100) -> list[Job]:
        """Jobs of these statuses, or of all, newest first."""
        query = {"limit": str(limit)} | ({"status": ",".join(status)} if status else {})
        answer = await self._json("GET", "/v1/jobs", params=query)
        return [Job.model_validate(job) for job in answer["jobs"]]

    async def cancel(self, id: str) -> Job:
        """Cancels a job; a finished one stays as it is."""
        return Job.model_validate(await self._json("DELETE", f"/v1/jobs/{id}"))

    async def wait(self, id: str) -> Job:
        """The job when it is done. Raises `JobError` when it failed or was cancelled."""
        async for _ in self.events(id):
            pass
        job = await self.job(id)
        if job.status != "done":
            raise JobError(job)
        return job

    async def events(self, id: str, after: int = 0) -> AsyncIterator[Event]:
        """A job's events as they happen, to its end; a lost connection is made again, and nothing is missed."""
        losses = 0
        while losses < RETRIES:
            try:
                async for event in self._events(id, after):
                    losses, after = 0, event.seq
                    yield event
                    if isinstance(event, JobDone | JobFailed | JobCancelled):
                        return
                if (await self.job(id)).status in ("done", "failed", "cancelled"):
                    return
            except aiohttp.ClientConnectionError:
                losses += 1
                await asyncio.sleep(2**losses / 4)
        raise ConnectionError(f"the server at {self._address} cannot be reached any more")

    async def _events(self, id: str, after: int) -> AsyncIterator[Event]:
        headers = {"Last-Event-ID": str(after)}
        async with self._session.get(f"{self._address}/v1/jobs/{id}/events", headers=headers) as response:
            await _check(response)
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield event_adapter.validate_json(line[6:])

    async def plan(
        self, workflow: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
    ) -> list[tuple[str, str, Literal["memory", "disk"] | None]]:
        """Node, type, and where its result is cached, for each node that would run. Raises `InvalidWorkflow`."""
        body = {"workflow": workflow, "overrides": overrides or {}}
        answer = await self._json("POST", "/v1/plans", json=body)
        return [(task["node"], task["type"], task["cached"]) for task in answer["tasks"]]

    # --- what there is

    async def nodes(self) -> Definitions:
        """The node types by name."""
        found = _definitions.validate_python((await self._json("GET", "/v1/nodes"))["nodes"])
        return Definitions({definition.type: definition for definition in found})

    async def models(self) -> dict[str, list[str]]:
        """Names of the models in each folder."""
        folders = (await self._json("GET", "/v1/models"))["folders"]
        return {folder: [model["name"] for model in models] for folder, models in folders.items()}

    # --- files

    async def upload(self, file: Path | bytes, name: str = "") -> Asset:
        """Stores a file for workflows to use; its `name` is what `LoadImage` takes."""
        data = file if isinstance(file, bytes) else await asyncio.to_thread(file.read_bytes)
        name = name or (file.name if isinstance(file, Path) else "upload.bin")
        answer = await self._json("POST", "/v1/assets", params={"name": name}, data=data)
        return Asset.model_validate(answer)

    async def fetch(self, asset: str) -> bytes:
        """The bytes of a result, or of any other file, by its id. Raises `NotFound`."""
        async with self._session.get(f"{self._address}/v1/assets/{asset}") as response:
            await _check(response)
            return await response.read()

    # --- inside

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._open is None:
            raise RuntimeError("use the client with 'async with Client(...) as client'")
        return self._open

    async def _json(self, method: str, path: str, **request: Any) -> Any:
        async with self._session.request(method, self._address + path, **request) as response:
            await _check(response)
            return await response.json()


def run_workflow(
    workflow: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    address: str = LOCAL,
    token: str = "",
    **options: Any,
) -> dict[str, bytes]:
    """Runs a workflow on a server and waits; the files that it made, by name. Raises as `Client.run` does."""

    async def run() -> dict[str, bytes]:
        async with Client(address, token) as client:
            job = await client.run(workflow, overrides, **options)
            return {output.name: await client.fetch(output.asset) for output in job.outputs}

    return asyncio.run(run())


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raises what the server raised."""
    if response.status < 400:
        return
    text = await response.text()
    try:
        body = TypeAdapter(dict[Literal["error"], ErrorBody]).validate_json(text)["error"]
    except (ValidationError, KeyError):
        body = ErrorBody(code="error", message=f"the server answered {response.status}: {text[:200]}")
    if body.code == InvalidWorkflow.code:
        raise InvalidWorkflow(body.problems)
    raise _BY_CODE.get(body.code, GraphflowError)(body.message, body.problems)


_BY_CODE: Mapping[str, type[GraphflowError]] = {
    kind.code: kind
    for kind in (
        errors.BadRequest,
        errors.UnsupportedMedia,
        errors.UnsupportedFile,
        errors.NotFound,
        errors.Unauthorized,
        errors.Forbidden,
        errors.Conflict,
        errors.TooLarge,
        errors.NotReady,
    )
}
