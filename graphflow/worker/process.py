"""A worker in a process of its own: one for each device. When it dies, the server lives, and another is started.

The parent's side imports no torch. The two sides talk over a pipe: tuples `(word, ...)` down, and events, previews,
artifacts and answers up.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from graphflow import __version__
from graphflow.errors import WorkerDied
from graphflow.worker.protocol import ENDS, Greeting, Item, WorkerSettings
from graphflow.worker.remote import RemoteWorker
from graphflow.worker.window import Window

if TYPE_CHECKING:
    from graphflow.plan import Plan
from graphflow.process import let_threads_sleep

log = logging.getLogger(__name__)

SHORT_LIFE = 10.0
"""Seconds: a worker that dies sooner was never well, and is started again more slowly each time."""
SLOWEST = 60.0


class ProcessWorker(RemoteWorker):
    """The parent's side."""

    def __init__(
        self, settings: WorkerSettings, entry: Callable[[Connection, WorkerSettings], None] | None = None
    ) -> None:
        """`entry` is the child's main function; by default `child`."""
        super().__init__(settings.name, read_greeting(settings.greeting))
        self._settings = settings
        self._entry = entry or child
        self._closing = False
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._runs: dict[str, asyncio.Queue[Item | WorkerDied]] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return self._process.pid if self._process else None

    # --- life ---

    async def _supervise(self) -> None:
        delay = 0.0
        while not self._closing:
            began = time.monotonic()
            reason = await self._live()
            if self._closing:
                return
            delay = min(max(1.0, 2 * delay), SLOWEST) if time.monotonic() - began < SHORT_LIFE else 0.0
            log.error("worker %s died (%s); another one starts in %.0f s", self.name, reason, delay)
            self._set("dead", reason)
            await asyncio.sleep(delay)

    async def _live(self) -> str:
        """One life of the process; returns what it died of."""
        self._set("starting", "")
        loop = asyncio.get_running_loop()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=self._entry, args=(theirs, self._settings), name=f"graphflow worker {self.name}", daemon=True
        )
        self._process.start()
        theirs.close()
        ended = loop.create_future()
        pipe = self._pipe
        reader = threading.Thread(target=_read, args=(pipe, loop, self._hear, ended), name="worker-reader", daemon=True)
        reader.start()
        await ended
        reason = await asyncio.to_thread(_cause, self._process)
        self._up.clear()
        pipe.close()
        self._pipe = None
        died = WorkerDied(f"the worker process {self.name!r} ended in the middle of the job: {reason}")
        for items in self._runs.values():
            items.put_nowait(died)
        for future in self._asked.values():
            if not future.done():
                future.set_exception(died)
        self._asked.clear()
        return reason

    def _hear(self, word: str, key: Any, content: Any) -> None:
        """A message from the child, in the loop's thread."""
        match word:
            case "item":
                if (items := self._runs.get(key)) is not None:
                    items.put_nowait(content)
            case "answer":
                if (future := self._asked.pop(key, None)) is not None and not future.done():
                    future.set_result(content)
            case "hello":
                _write_greeting(self._settings.greeting, content)
                self._send(("watch", self._looking))
                self._greeted(content)

    def _send(self, message: tuple[Any, ...]) -> bool:
        if self._pipe is None:
            return False
        try:
            self._pipe.send(message)
        except (OSError, ValueError):
            return False  # it is dying; whoever waits hears it from the reader
        return True

    async def close(self) -> None:
        """Ends it: asked first, then killed."""
        self._closing = True
        process = self._process
        self._send(("close",))
        if process is not None:
            await asyncio.to_thread(process.join, 5.0)
            if process.is_alive():
                process.kill()
                await asyncio.to_thread(process.join, 5.0)
        if self._supervisor is not None:
            await asyncio.wait([self._supervisor], timeout=5.0)
            self._supervisor.cancel()

    # --- work ---

    async def run(self, plan: Plan) -> AsyncIterator[Item]:
        """Everything that happens to a plan."""
        await self.ready()
        items: asyncio.Queue[Item | WorkerDied] = asyncio.Queue()
        self._runs[plan.job] = items
        ended = False
        self._count(1)
        try:
            if not self._send(("run", plan)):
                raise WorkerDied(f"the worker process {self.name!r} ended before the job began")
            while not ended:
                item = await items.get()
                if isinstance(item, WorkerDied):
                    ended = True
                    raise item
                ended = isinstance(item, ENDS)
                yield item
        finally:
            self._runs.pop(plan.job, None)
            if not ended:
                self.cancel(plan.job)
            self._count(-1)

    def cancel(self, job: str) -> None:
        """Ends a job within a step."""
        self._send(("cancel", job))

    def took(self, job: str) -> None:
        """Says that a chunk is stored."""
        self._send(("took", job))

    def watch(self, looking: bool) -> None:
        """Says whether anybody looks at previews."""
        self._looking = looking
        self._send(("watch", looking))

    async def _ask(self, word: str, *content: Any) -> Any:
        number = next(self._numbers)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        if not self._up.is_set() or not self._send((word, number, *content)):
            self._asked.pop(number).cancel()
            return None
        return await future


def _read(
    pipe: Connection, loop: asyncio.AbstractEventLoop, hear: Callable[..., None], ended: asyncio.Future[None]
) -> None:
    """Passes messages on to the loop until the pipe closes."""

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    try:
        while True:
            message = pipe.recv()
            loop.call_soon_threadsafe(hear, *message)
    except (EOFError, OSError):
        pass
    with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
        loop.call_soon_threadsafe(end)


def _cause(process: BaseProcess) -> str:
    """What a process died of, for people."""
    process.join(5.0)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join(5.0)
        return "it closed its pipe and did not end"
    if code < 0:
        name = signal.Signals(-code).name
        hint = ": perhaps the machine ran out of memory" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    return f"it ended with exit code {code}"


def read_greeting(file: Path | None) -> Greeting | None:
    """The greeting in a file, when this version wrote it."""
    try:
        greeting = Greeting.model_validate_json(file.read_bytes()) if file else None
    except (OSError, ValidationError):
        return None
    return greeting if greeting is not None and greeting.version == __version__ else None


def _write_greeting(file: Path | None, greeting: Greeting) -> None:
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(greeting.model_dump(mode="json")))
    temporary.replace(file)


# --- the child's side ------------------------------------------------------------------------------------------------


def child(pipe: Connection, settings: WorkerSettings) -> None:
    """The child's main function: builds the engine, greets, and serves until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    let_threads_sleep()
    from graphflow.worker.setup import build, warm_up  # torch belongs to the child alone

    bench = build(settings)
    warm_up()  # before any job: two threads must not import these libraries at the same time
    serve(pipe, bench)


def serve(pipe: Connection, bench: Any) -> None:
    """Serves a parent with a bench (`graphflow.worker.setup.Bench`) until the pipe closes."""
    lock = threading.Lock()
    windows: dict[str, Window] = {}

    def send(word: str, key: Any, content: Any) -> None:
        with lock:
            try:
                pipe.send((word, key, content))
            except (BrokenPipeError, OSError):
                os._exit(0)  # the server is gone, and nothing here is worth keeping

    send("hello", None, bench.greeting)
    try:
        while True:
            word, *content = pipe.recv()
            match word:
                case "run":
                    (plan,) = content
                    windows[plan.job] = Window(partial(send, "item", plan.job))
                    run = partial(_run, bench, plan, windows)
                    threading.Thread(target=run, name=plan.job, daemon=True).start()
                case "cancel":
                    bench.engine.cancel(content[0])
                    if window := windows.get(content[0]):
                        window.open()
                case "took":
                    if window := windows.get(content[0]):
                        window.took()
                case "watch":
                    bench.looking = content[0]
                case "peek":
                    send("answer", content[0], dict(bench.engine.peek(content[1])))
                case "check":
                    _answer_aside(send, content[0], bench.engine.check, content[1])
                case "ask":
                    _answer_aside(send, content[0], bench.ask, *content[1:])
                case "keep":
                    send("answer", content[0], bench.engine.keep(content[1]))
                case "stats":
                    send("answer", content[0], dict(bench.stats()))
                case "free":
                    bench.free(models=content[1], cache=content[2])
                    send("answer", content[0], True)
                case "close":
                    break
    except (EOFError, OSError):
        pass
    bench.close()


def _answer_aside(send: Callable[[str, Any, Any], None], number: int, ask: Callable[..., Any], *content: Any) -> None:
    """Answers on a thread of its own, since nobody knows how long a stranger's code takes."""
    threading.Thread(target=lambda: send("answer", number, ask(*content)), name="answer", daemon=True).start()


def _run(bench: Any, plan: Plan, windows: dict[str, Window]) -> None:
    """One job, to its end."""
    window = windows[plan.job]
    try:
        bench.engine.run(plan, window.send)
    finally:
        if windows.get(plan.job) is window:  # the job may run again already
            del windows[plan.job]
