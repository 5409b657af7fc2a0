"""`graphflow run`: a workflow in this process, with its progress, and its results as files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from graphflow import pictures
from graphflow.assets import Incoming, counted, expand_prefix, safe_name, suffix_of
from graphflow.cli.files import LocalFinder, open_file, with_sets
from graphflow.cli.main import FAILED, INTERRUPTED, INVALID
from graphflow.cli.show import err, out, show_problems
from graphflow.config import Config
from graphflow.errors import ErrorBody, InvalidWorkflow
from graphflow.events import (
    BaseEvent,
    Chunk,
    JobCancelled,
    JobDone,
    JobFailed,
    JobStarted,
    Made,
    NodeCached,
    NodeDone,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
)
from graphflow.pairings import check_pairings
from graphflow.plan import Plan, compile
from graphflow.service import worker_settings
from graphflow.worker.local import LocalWorker
from graphflow.worker.protocol import Item
from graphflow.workflow import Workflow, canonical

JOB = "run"


async def run_file(
    config: Config, file: str, sets: Sequence[str], output: Path, *, targets: Sequence[str] | None, as_json: bool
) -> int:
    """Runs the workflow in a file; returns the exit code. Raises `InvalidWorkflow` and `BadRequest`."""
    worker = LocalWorker(worker_settings(config, config.devices[0]))
    with err.status("loading the engine") if err.is_terminal and not as_json else contextlib.nullcontext():
        await worker.ready()
    try:
        workflow = with_sets(open_file(file, worker.definitions).workflow, sets)
        beside = Path(file).parent if file != "-" else Path.cwd()
        realm = worker.greeting.realm if worker.greeting else ""
        finder = LocalFinder(config, beside)
        plan = compile(
            workflow, worker.definitions, finder, targets=targets, realm=realm, job=JOB, checks=[check_pairings]
        )
        result = await _run(worker, plan, workflow, output, quiet=as_json)
    except InvalidWorkflow as error:
        if not as_json:
            raise
        _print(Result("invalid", error=error.body()))
        return INVALID
    finally:
        await worker.close()
    return _tell(result, as_json)


@dataclass
class Result:
    """How it went."""

    status: str = "running"
    seconds: float = 0.0
    error: ErrorBody | None = None
    outputs: list[dict[str, Any]] = field(default_factory=list)


async def _run(worker: LocalWorker, plan: Plan, workflow: Workflow, output: Path, *, quiet: bool) -> Result:
    result, writer = Result(), Writer(output, canonical(workflow))
    titles = {task.id: task.title or task.id for task in plan.tasks}
    with _cancelling(worker), Shown(titles, quiet=quiet) as shown, contextlib.closing(writer):
        async for item in worker.run(plan):
            if isinstance(item, Chunk):
                await asyncio.to_thread(writer.take, item)
                worker.took(JOB)
            elif isinstance(item, Made):
                result.outputs.append(await asyncio.to_thread(writer.write, item))
            _note(result, item)
            if isinstance(item, BaseEvent):
                shown.event(item)
    return result


def _note(result: Result, item: Item) -> None:
    match item:
        case JobDone(seconds=seconds):
            result.status, result.seconds = "done", seconds
        case JobFailed(error=error):
            result.status, result.error = "failed", error
        case JobCancelled():
            result.status = "cancelled"
        case _:
            pass


@contextlib.contextmanager
def _cancelling(worker: LocalWorker) -> Iterator[None]:
    """Ctrl-C ends the job within a step."""
    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []
    for one in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt
            loop.add_signal_handler(one, worker.cancel, JOB)
            handled.append(one)
    try:
        yield
    finally:
        for one in handled:
            loop.remove_signal_handler(one)


def _tell(result: Result, as_json: bool) -> int:
    if as_json:
        _print(result)
    elif result.status == "done":
        for made in result.outputs:
            out.print(made["path"], soft_wrap=True, markup=False)
        err.print(f"done in {result.seconds:.1f} s", style="dim")
    elif result.error is not None:
        show_problems(result.error)
    return {"done": 0, "cancelled": INTERRUPTED}.get(result.status, FAILED)


def _print(result: Result) -> None:
    error = result.error.model_dump(mode="json") if result.error else None
    told = {"status": result.status, "seconds": result.seconds, "outputs": result.outputs, "error": error}
    out.out(json.dumps(told, indent=2, ensure_ascii=False), highlight=False)


class Writer:
    """Writes results as files with counters, the workflow embedded."""

    def __init__(self, folder: Path, workflow: str) -> None:
        self._folder = folder
        self._texts = {"graphflow": workflow}
        self._incoming: dict[tuple[str, int], Incoming] = {}

    def take(self, chunk: Chunk) -> None:
        """A piece of a large result, beside its place."""
        data, place = chunk.data, (chunk.node, chunk.index)
        if place not in self._incoming:
            self._incoming[place] = Incoming(self._folder)
            data = pictures.embed(data, chunk.media_type, self._texts)
        self._incoming[place].write(data)

    def close(self) -> None:
        """No half file stays behind."""
        while self._incoming:
            self._incoming.popitem()[1].discard()

    def write(self, made: Made) -> dict[str, Any]:
        """One result; returns what there is to tell of it. What is only to be looked at goes to `temp`."""
        details = dict(made.details)
        folder = self._folder / "temp" if details.get("temporary") else self._folder
        prefix = made.name.replace("%batch_num%", str(made.index))
        wanted = expand_prefix(prefix, details.get("width"), details.get("height"), time.time())
        parent, _, stem = safe_name(wanted).rpartition("/")
        end = details.pop("suffix", "") or suffix_of(made.media_type)
        incoming = self._incoming.pop((made.node, made.index), None)
        with incoming or contextlib.nullcontext():
            data = incoming or pictures.embed(made.data, made.media_type, self._texts)
            path = folder / parent / counted(folder / parent, stem, end, data)
        return {"node": made.node, "path": str(path), "media_type": made.media_type, "details": details}


class Shown:
    """A line for each node that runs, with a bar for its steps."""

    def __init__(self, titles: dict[str, str], *, quiet: bool) -> None:
        self._titles = titles
        self._rows: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=err,
            disable=quiet or not err.is_terminal,
            transient=True,
        )
        self._all: TaskID | None = None
        self._plain = not quiet and not err.is_terminal

    def __enter__(self) -> Shown:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def event(self, event: BaseEvent) -> None:
        """Shows what happened."""
        match event:
            case JobStarted(nodes=nodes):
                self._all = self._progress.add_task("all", total=len(nodes), state="")
            case NodeStarted(node=node):
                self._row(node, state="", total=None)
            case NodeProgress(node=node, value=value, total=total, text=text):
                self._row(node, completed=value, total=total, state=text or f"{value:g}/{total:g}")
            case NodeDone(node=node, seconds=seconds):
                self._end(node, f"{seconds:.2f} s")
            case NodeCached(node=node, reason=reason):
                self._end(node, f"cached ({reason})")
            case NodeSkipped(node=node):
                self._end(node, "skipped")
            case _:
                pass

    def _row(self, node: str, **changes: Any) -> None:
        if node not in self._rows:
            self._rows[node] = self._progress.add_task(self._titles.get(node, node), total=None, state="")
        self._progress.update(self._rows[node], **changes)

    def _end(self, node: str, state: str) -> None:
        if self._plain:
            err.print(f"{self._titles.get(node, node)}: {state}", markup=False)
        self._row(node, state=state, total=1, completed=1)
        self._progress.update(self._rows[node], visible=len(self._rows) <= 20)
        if self._all is not None:
            self._progress.advance(self._all)
