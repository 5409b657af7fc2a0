"""A worker in this process: for the command line, and for tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from graphflow.errors import Problem
from graphflow.plan import Plan
from graphflow.process import let_threads_sleep
from graphflow.registry import Definitions
from graphflow.worker.protocol import ENDS, Greeting, Item, Status, WorkerSettings
from graphflow.worker.window import Window

if TYPE_CHECKING:
    from graphflow.worker.setup import Bench


class LocalWorker:
    """Runs plans on threads of this process."""

    def __init__(self, settings: WorkerSettings, build: Callable[[WorkerSettings], Bench] | None = None) -> None:
        """`build` makes the engine; by default the one with every installed pack."""
        self.name = settings.name
        self._settings = settings
        self._build = build
        self._bench: Bench | None = None
        self._starting: asyncio.Task[None] | None = None
        self._changed: Callable[[Status], None] = lambda _: None
        self._jobs = 0
        self._windows: dict[str, Window] = {}

    @property
    def status(self) -> Status:
        """How it is now."""
        if self._bench is None:
            return Status(self.name, "starting")
        return Status(self.name, "busy" if self._jobs else "ready", self._bench.greeting.device)

    @property
    def greeting(self) -> Greeting | None:
        """What it said; None until it is up."""
        return self._bench.greeting if self._bench else None

    @property
    def definitions(self) -> Definitions:
        """Its nodes."""
        return self._bench.engine.shop.definitions if self._bench else Definitions({})

    async def start(self, changed: Callable[[Status], None] = lambda _: None) -> None:
        """Begins to start."""
        self._changed = changed
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        self._changed(self.status)
        self._bench = await asyncio.to_thread(self._make)
        self._changed(self.status)

    def _make(self) -> Bench:
        if self._build is not None:
            return self._build(self._settings)
        let_threads_sleep()
        from graphflow.worker.setup import build  # torch is imported when it is wanted

        return build(self._settings)

    async def ready(self) -> None:
        """Returns when plans can run."""
        if self._starting is None:
            await self.start()
        assert self._starting is not None
        await asyncio.shield(self._starting)

    async def run(self, plan: Plan) -> AsyncIterator[Item]:
        """Everything that happens to a plan."""
        await self.ready()
        assert self._bench is not None
        engine, loop = self._bench.engine, asyncio.get_running_loop()
        items: asyncio.Queue[Item] = asyncio.Queue()

        def emit(item: Item) -> None:
            loop.call_soon_threadsafe(items.put_nowait, item)

        window = self._windows[plan.job] = Window(emit)
        self._count(1)
        thread = threading.Thread(target=engine.run, args=(plan, window.send), name=f"job {plan.job}", daemon=True)
        thread.start()
        try:
            while True:
                item = await items.get()
                yield item
                if isinstance(item, ENDS):
                    return
        finally:
            self.cancel(plan.job)
            del self._windows[plan.job]
            self._count(-1)

    def _count(self, change: int) -> None:
        self._jobs += change
        self._changed(self.status)

    def cancel(self, job: str) -> None:
        """Ends a job within a step."""
        if self._bench is not None:
            self._bench.engine.cancel(job)
        if (window := self._windows.get(job)) is not None:
            window.open()

    def took(self, job: str) -> None:
        """Says that a chunk is stored."""
        if (window := self._windows.get(job)) is not None:
            window.took()

    def watch(self, looking: bool) -> None:
        """Says whether anybody looks at previews."""
        if self._bench is not None:
            self._bench.looking = looking

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Literal["memory", "disk"]]:
        """For each of the keys that is cached, where."""
        await self.ready()
        assert self._bench is not None
        return self._bench.engine.peek(keys)

    async def check(self, plan: Plan) -> Sequence[Problem]:
        """What the plan's nodes themselves object to in their inputs."""
        return await asyncio.to_thread(self._bench.engine.check, plan) if self._bench else ()

    async def ask(self, desk: int, question: Any) -> Any:
        """What a desk of its packs answers; None while it is not up."""
        return await asyncio.to_thread(self._bench.ask, desk, question) if self._bench else None

    async def keep(self, key: str) -> bool:
        """Keeps a cached result for good; False when it is not here or cannot be kept."""
        return self._bench is not None and await asyncio.to_thread(self._bench.engine.keep, key)

    async def stats(self) -> Mapping[str, Any]:
        """Memory in use, models loaded, bytes cached."""
        return self._bench.stats() if self._bench else {}

    async def free(self, *, models: bool = True, cache: bool = False) -> None:
        """Lets go of idle models, and of what is cached in memory."""
        if self._bench is not None:
            await asyncio.to_thread(self._bench.free, models=models, cache=cache)

    async def close(self) -> None:
        """Ends it."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._bench is not None:
            await asyncio.to_thread(self._bench.close)
