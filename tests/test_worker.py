"""Every kind of worker keeps the same promises; one in a process of its own may die without taking the server along."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from graphflow import __version__
from graphflow.cache import Cache
from graphflow.engine import Engine
from graphflow.errors import WorkerDied
from graphflow.events import Chunk, JobCancelled, JobDone, Made
from graphflow.node import Artifact, Progress, Steps, node, node_of
from graphflow.plan import Plan, compile
from graphflow.registry import Registry
from graphflow.worker.local import LocalWorker
from graphflow.worker.process import ProcessWorker, serve
from graphflow.worker.protocol import Greeting, Item, Worker, WorkerSettings
from graphflow.worker.window import ROOM
from graphflow.workflow import Workflow
from tests.toys import SHELF, TOYS, workflow


@node("Die", category="toys")
def die() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


@node("Linger", category="toys")
def linger(n: int = 10**9) -> Steps[int]:
    stop = threading.Event()
    for i in range(n):
        stop.wait(0.001)
        yield Progress(i, n)
    return n


@node("Pour", category="toys", output_node=True)
def pour(n: int = 40) -> Artifact:
    def pieces() -> Iterator[bytes]:
        for i in range(n):
            yield f"{i};".encode()

    return Artifact("text/plain", pieces, "poured")


REGISTRY = Registry({toy.definition.type: toy for toy in [*TOYS, *map(node_of, (die, linger, pour))]})


@dataclass
class ToyBench:
    """An engine of toys."""

    engine: Engine
    greeting: Greeting
    looking: bool = False
    freed: list[tuple[bool, bool]] = field(default_factory=list)

    def stats(self) -> dict[str, Any]:
        return {"looking": self.looking, "freed": self.freed}

    def free(self, *, models: bool, cache: bool) -> None:
        self.freed.append((models, cache))

    def ask(self, desk: int, question: Any) -> Any:
        return [desk, *question]

    def close(self) -> None:
        self.engine.close()


def build(settings: WorkerSettings) -> Any:
    engine = Engine(REGISTRY, Cache(10**6, settings.cache, settings.disk_cache), SHELF, name=settings.name)
    return ToyBench(engine, Greeting(version=__version__, definitions=dict(engine.shop.definitions), device="toys"))


def child(pipe: Connection, settings: WorkerSettings) -> None:
    serve(pipe, build(settings))


def make(kind: str, settings: WorkerSettings) -> Worker:
    if kind == "ray":
        from graphflow.worker.ray import RayWorker

        return RayWorker(settings, "auto", build)
    return LocalWorker(settings, build) if kind == "local" else ProcessWorker(settings, child)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster of one machine."""
    ray = pytest.importorskip("ray", reason="workers on Ray need the `ray` extra")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    yield
    ray.shutdown()


@pytest.fixture(params=["local", "process", "ray"])
async def worker(request: pytest.FixtureRequest) -> AsyncIterator[Worker]:
    if request.param == "ray":
        request.getfixturevalue("cluster")
    worker = make(request.param, WorkerSettings(name="w"))
    await worker.start()
    await worker.ready()
    yield worker
    await worker.close()


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[ProcessWorker]:
    settings = WorkerSettings(name="w", cache=tmp_path / "cache", disk_cache=10**6, greeting=tmp_path / "greeting.json")
    worker = ProcessWorker(settings, child)
    await worker.start()
    await worker.ready()
    yield worker
    await worker.close()


def plan(document: Workflow, job: str = "j") -> Plan:
    return compile(document, REGISTRY.definitions(), SHELF, job=job)


async def collect(worker: Worker, made: Plan) -> list[Item]:
    return [item async for item in worker.run(made)]


SUM = workflow({"one": ("One", {}), "add": ("Add", {"a": "one.INT", "b": 2}), "show": ("Show", {"value": "add.INT"})})
LINGER = workflow({"l": ("Linger", {}), "show": ("Show", {"value": "l.INT"})})


GATHERED = {"one": ("One", {}), "show": ("Show", {"value": "g.STRING"})}


async def test_packs_are_asked_at_their_desks(worker: Worker) -> None:
    assert await asyncio.gather(*(worker.ask(i, ("x", b"y")) for i in range(3))) == [[i, "x", b"y"] for i in range(3)]


async def test_nodes_are_asked_what_they_object_to(worker: Worker) -> None:
    good = plan(workflow({**GATHERED, "g": ("Gather", {"n": 90, "a": "one.INT", "b": [1, 2]})}))
    assert list(await worker.check(good)) == []
    assert [item.data for item in await collect(worker, good) if isinstance(item, Made)] == [b"90 a=1 b=[1, 2]"]
    bad = plan(workflow({**GATHERED, "s": ("Hear", {}), "g": ("Gather", {"n": 13, "x": 13, "y": "s.AUDIO"})}))
    assert [(p.node, p.input, p.message, p.code) for p in await worker.check(bad)] == [
        ("g", "n", "brings bad luck", "refused_value"),
        ("g", "x", "brings bad luck", "refused_value"),
        ("g", "y", "is too loud", "refused_value"),
    ]


async def test_a_plan_gives_its_events_and_files(worker: Worker) -> None:
    items = await collect(worker, plan(SUM))
    assert [item.data for item in items if isinstance(item, Made)] == [b"3"]
    assert isinstance(items[-1], JobDone)
    assert {"One", "Add"} <= set(worker.definitions)
    assert worker.status.state == "ready"


async def test_a_large_file_comes_in_chunks_as_they_are_stored(worker: Worker) -> None:
    items: list[Item] = []
    async with asyncio.timeout(60):
        async for item in worker.run(plan(workflow({"p": ("Pour", {})}))):
            if isinstance(item, Chunk):
                worker.took("j")
            items.append(item)
    assert b"".join(i.data for i in items if isinstance(i, Chunk)) == b"".join(b"%d;" % i for i in range(40))
    assert [(i.node, i.data) for i in items if isinstance(i, Made)] == [("p", b"")]
    assert isinstance(items[-1], JobDone)


async def test_a_worker_waits_until_chunks_are_stored_or_the_job_is_cancelled(worker: Worker) -> None:
    items: list[Item] = []
    async with asyncio.timeout(60):
        async for item in worker.run(plan(workflow({"p": ("Pour", {"n": 10**9})}))):
            items.append(item)
            if sum(isinstance(one, Chunk) for one in items) == ROOM:
                worker.cancel("j")
    assert ROOM <= sum(isinstance(one, Chunk) for one in items) <= ROOM + 1
    assert isinstance(items[-1], JobCancelled)


async def test_keys_that_are_cached_are_told(worker: Worker) -> None:
    made = plan(SUM)
    await collect(worker, made)
    keys = [task.key for task in made.tasks]
    assert await worker.peek([*keys, "other"]) == dict.fromkeys(keys, "memory")


async def test_a_job_is_cancelled(worker: Worker) -> None:
    items: list[Any] = []
    async for item in worker.run(plan(LINGER)):
        if getattr(item, "type", "") == "node.progress":
            worker.cancel("j")
        items.append(item)
    assert isinstance(items[-1], JobCancelled)


async def test_a_job_that_nobody_listens_to_any_more_ends(worker: Worker) -> None:
    async for item in worker.run(plan(LINGER)):
        if getattr(item, "type", "") == "node.progress":
            break
    assert isinstance((await collect(worker, plan(SUM, "k")))[-1], JobDone)


async def test_what_is_asked_reaches_the_bench(worker: Worker) -> None:
    worker.watch(True)
    await worker.free(models=True, cache=False)
    assert await worker.stats() == {"looking": True, "freed": [(True, False)]}


async def test_a_worker_that_dies_is_replaced_and_says_why(process: ProcessWorker) -> None:
    states: list[str] = []
    process._changed = lambda status: states.append(status.state)
    deadly = workflow({"d": ("Die", {}), "show": ("Show", {"value": "d.INT"})})

    with pytest.raises(WorkerDied, match="SIGKILL"):
        await collect(process, plan(deadly))
    await process.ready()
    items = await collect(process, plan(SUM))

    assert isinstance(items[-1], JobDone)
    assert states == ["busy", "dead", "starting", "ready", "busy", "ready"]


async def test_an_actor_that_dies_is_replaced_and_says_so(cluster: None) -> None:
    worker = make("ray", WorkerSettings(name="w"))
    await worker.start()
    deadly = workflow({"d": ("Die", {}), "show": ("Show", {"value": "d.INT"})})

    with pytest.raises(WorkerDied, match="in the middle of the job"):
        await collect(worker, plan(deadly))
    await worker.ready()

    assert isinstance((await collect(worker, plan(SUM)))[-1], JobDone)
    await worker.close()


async def test_definitions_are_known_before_the_worker_is_up(process: ProcessWorker, tmp_path: Path) -> None:
    early = ProcessWorker(WorkerSettings(name="w", greeting=tmp_path / "greeting.json"), child)
    assert early.definitions == process.definitions
    assert early.status.state == "starting"

    (tmp_path / "greeting.json").write_text('{"version": "0.0.0", "definitions": {}}')
    assert ProcessWorker(WorkerSettings(greeting=tmp_path / "greeting.json"), child).greeting is None
