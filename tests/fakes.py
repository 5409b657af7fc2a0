"""A worker that computes nothing: its nodes do what their type says, at once or when the test lets them."""

from __future__ import annotations

import asyncio
import io
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import PIL.Image
from sqlalchemy import create_engine, make_url, text

from graphflow.assets import Assets
from graphflow.database import Database
from graphflow.errors import NodeFailed, Problem, WorkerDied
from graphflow.events import (
    Chunk,
    Event,
    JobCancelled,
    JobDone,
    JobFailed,
    JobStarted,
    Made,
    NodeCached,
    NodeDone,
    NodeProgress,
    NodeSaid,
    NodeStarted,
    Preview,
)
from graphflow.files import ModelFiles
from graphflow.jobs import Jobs
from graphflow.node import NodeDef, OutputPort, Port
from graphflow.plan import Plan, Task
from graphflow.registry import Definitions
from graphflow.service import Service
from graphflow.worker.protocol import Greeting, Item, State, Status
from graphflow.workflows import Workflows


def png(color: str = "red", size: tuple[int, int] = (4, 4)) -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def database_url(folder: Path, name: str = "db") -> str:
    """A new database: SQLite in the folder, or one more on the server that GRAPHFLOW_TEST_DATABASE names.

    That is the URL of a PostgreSQL database whose user may create others.
    """
    server = os.environ.get("GRAPHFLOW_TEST_DATABASE")
    if server is None:
        return f"sqlite:///{folder / f'{name}.sqlite'}"
    url = make_url(server)
    made = url.set(database=f"graphflow_{uuid.uuid5(uuid.NAMESPACE_URL, f'{folder}/{name}').hex}")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if (
            connection.execute(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": made.database}).first()
            is None
        ):
            connection.execute(text(f"CREATE DATABASE {made.database}"))
    engine.dispose()
    return made.render_as_string(hide_password=False)


def definitions() -> Definitions:
    """`Color` gives an image, `Picky` too unless it is `bad`; `Show` saves it.

    `Wait` passes it on when let; `Say` speaks; `Fail` raises; `Die` kills the worker; `Big` gives half a file, and the rest when let.
    """
    text = Port(name="color", type="STRING", default="red", field={"type": "string", "default": "red"})
    prefix = Port(name="prefix", type="STRING", default="x", field={"type": "string", "default": "x"})
    image = Port(name="image", type="IMAGE")
    file = Port(name="file", type="COMBO", field={"type": "string", "folder": "input"})
    out = (OutputPort(name="IMAGE", type="IMAGE"),)
    return Definitions(
        {
            "Color": NodeDef(type="Color", title="Color", category="test", inputs=(text,), outputs=out),
            "Picky": NodeDef(type="Picky", title="Picky", category="test", inputs=(text,), outputs=out, checks=True),
            "Load": NodeDef(type="Load", title="Load", category="test", inputs=(file,), outputs=out),
            "Wait": NodeDef(type="Wait", title="Wait", category="test", inputs=(image,), outputs=out),
            "Say": NodeDef(type="Say", title="Say", category="test", inputs=(image,), outputs=out),
            "Fail": NodeDef(type="Fail", title="Fail", category="test", inputs=(image,), outputs=out),
            "Die": NodeDef(type="Die", title="Die", category="test", inputs=(image,), outputs=out),
            "Big": NodeDef(type="Big", title="Big", category="test", inputs=(image,), output_node=True),
            "Show": NodeDef(type="Show", title="Show", category="test", inputs=(image, prefix), output_node=True),
        }
    )


def workflow(*middle: str, color: str = "red", **more: Any) -> dict[str, Any]:
    """Color -> each of the middle types -> Show."""
    nodes: dict[str, Any] = {"color": {"type": "Color", "inputs": {"color": color}}}
    last = "color"
    for type in middle:
        nodes[type.lower()] = {"type": type, "inputs": {"image": {"from": f"{last}.IMAGE"}}}
        last = type.lower()
    nodes["show"] = {"type": "Show", "inputs": {"image": {"from": f"{last}.IMAGE"}}}
    return {"graphflow": 1, "nodes": nodes, **more}


@dataclass
class FakeWorker:
    """Implements `graphflow.worker.protocol.Worker`; after a death it lives again at once."""

    name: str = "fake"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Opens every `Wait`."""
    watched: bool = False
    freed: list[tuple[bool, bool]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    taken: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    """Ids of jobs, one for each chunk that was stored."""
    ran: list[str] = field(default_factory=list)
    """Ids of the jobs that began, in order."""
    lives: int = 0
    state: State = "starting"
    definitions: Definitions = field(default_factory=lambda: Definitions({}))
    _done: set[str] = field(default_factory=set)
    _cancelled: dict[str, asyncio.Event] = field(default_factory=dict)
    _died: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: Callable[[Status], None] = lambda _: None

    @property
    def status(self) -> Status:
        return Status(self.name, self.state, "fake, float32")

    @property
    def greeting(self) -> Greeting | None:
        return Greeting(version="1", definitions=self.definitions, realm="fake") if self.lives else None

    async def start(self, changed: Callable[[Status], None] = lambda _: None) -> None:
        self._changed = changed
        asyncio.get_running_loop().call_soon(self._live)

    def _live(self) -> None:
        self.lives += 1
        self.definitions = definitions()
        self._died = asyncio.Event()
        self._become("ready")

    def _become(self, state: State) -> None:
        self.state = state
        self._changed(self.status)

    async def ready(self) -> None:
        return None

    async def run(self, plan: Plan) -> AsyncIterator[Item]:
        job = plan.job
        self._cancelled[job] = asyncio.Event()
        self.ran.append(job)
        yield JobStarted(job=job, worker="fake", nodes=tuple(task.id for task in plan.tasks))
        try:
            for task in plan.tasks:
                async for message in self._task(job, task):
                    yield message
            yield JobDone(job=job, seconds=0.5, peak=2 * 10**9)
        except NodeFailed as error:
            yield JobFailed(job=job, error=error.body())
        except TimeoutError:
            yield JobCancelled(job=job)

    async def _task(self, job: str, task: Task) -> AsyncIterator[Item]:
        if task.key in self._done and task.type != "Show":
            yield NodeCached(job=job, node=task.id, key=task.key)
            return
        yield NodeStarted(job=job, node=task.id)
        inputs = dict(task.inputs)
        if task.type == "Wait":
            for i in range(3):
                if self.watched:
                    yield Preview(job, task.id, "image/jpeg", b"preview %d" % i, i + 1)
                yield NodeProgress(job=job, node=task.id, value=i + 1, total=3)
            await self._wait(job)
        elif task.type == "Say":
            yield NodeSaid(job=job, node=task.id, kind="weather", content={"rain": True})
        elif task.type == "Fail":
            raise NodeFailed(task.id, "it always fails", type="Fail", inputs={"image": "an image"})
        elif task.type == "Die":
            self.die()
            raise WorkerDied("the worker was killed")
        elif task.type == "Big":
            yield Chunk(job, task.id, 0, "text/plain", b"half ")
            await self._wait(job)
            yield Chunk(job, task.id, 0, "text/plain", b"and half")
            yield Made(job, task.id, 0, "text/plain", "poured", b"", {})
        self._done.add(task.key)
        yield NodeDone(job=job, node=task.id, seconds=0.25, peak=10**9, key=task.key)
        if task.type == "Show":
            yield Made(job, task.id, 0, "image/png", str(inputs["prefix"]), png(), {"width": 4, "height": 4})

    async def _wait(self, job: str) -> None:
        """Until the gate opens; raises `TimeoutError` when cancelled, `WorkerDied` when dead."""
        died = self._died
        waits = {asyncio.create_task(event.wait()): event for event in (self.gate, self._cancelled[job], died)}
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        events = [waits[task] for task in done]
        if died in events:
            raise WorkerDied("the worker was killed")
        if self._cancelled[job] in events:
            raise TimeoutError

    def die(self) -> None:
        """Dies, as if killed; all that runs here ends."""
        self._died.set()
        self._become("dead")
        asyncio.get_running_loop().call_soon(self._live)

    def cancel(self, job: str) -> None:
        if job in self._cancelled:
            self._cancelled[job].set()

    def took(self, job: str) -> None:
        self.taken.put_nowait(job)

    def watch(self, looking: bool) -> None:
        self.watched = looking

    async def free(self, *, models: bool = True, cache: bool = False) -> None:
        self.freed.append((models, cache))

    async def stats(self) -> Mapping[str, Any]:
        return {"device": "fake"}

    async def check(self, plan: Plan) -> Sequence[Problem]:
        """Of nodes whose type says `Picky`: they take no `bad`; `slow` takes forever."""
        written = [(task, dict(task.inputs)) for task in plan.tasks if task.type == "Picky"]
        if any(inputs["color"] == "slow" for _, inputs in written):
            await asyncio.Event().wait()
        return [
            Problem(node=task.id, input="color", message="is bad", code="refused_value")
            for task, inputs in written
            if inputs["color"] == "bad"
        ]

    async def ask(self, desk: int, question: Any) -> Any:
        return None

    async def keep(self, key: str) -> bool:
        if found := key in self._done:
            self.kept.append(key)
        return found

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Literal["memory", "disk"]]:
        return {key: "memory" for key in keys if key in self._done}

    async def close(self) -> None:
        self._died.set()


@dataclass
class World:
    """A service on a folder, with its workers."""

    service: Service
    workers: list[FakeWorker]
    database: Database

    @property
    def worker(self) -> FakeWorker:
        """The only one."""
        [worker] = self.workers
        return worker

    async def until(self, job: str, *statuses: str) -> str:
        """Waits until the job has one of the statuses; returns it."""
        wanted = statuses or ("done", "failed", "cancelled")
        with self.service.hub.listen() as listener:
            while (status := (await self.service.jobs.get(job)).job.status) not in wanted:
                await asyncio.wait_for(listener.get(), 10)
        return status

    async def until_life(self, count: int) -> None:
        """Waits until the worker lives for the `count`th time."""
        with self.service.hub.listen() as listener:
            while self.worker.lives < count:
                await asyncio.wait_for(listener.get(), 10)

    async def until_event(self, job: str, type: str) -> Event:
        """Waits for the job's first event of a type."""
        async for event in self.service.follow(job):
            if event.type == type:  # type: ignore[attr-defined]
                return event  # type: ignore[return-value]
        raise AssertionError(f"job {job} ended without {type}")


@asynccontextmanager
async def world(folder: Path, *, start: bool = True, slots: int = 1, **options: Any) -> AsyncIterator[World]:
    """A service on the folder, stopped in peace at the end."""
    database = Database(database_url(folder))
    database.migrate()
    workers = [FakeWorker(f"fake{i}") for i in range(slots)]
    service = Service(
        jobs=Jobs(database),
        assets=Assets(database, folder),
        workflows=Workflows(database),
        models=ModelFiles([folder / "models"]),
        workers=workers,
        version="1",
        build="b",
        **options,
    )
    if start:
        await service.start()
    try:
        yield World(service, workers, database)
    finally:
        if start:
            await service.stop()
        database.close()
