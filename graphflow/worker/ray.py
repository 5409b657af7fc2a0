"""A worker on a Ray cluster: an actor, on a GPU of its own when its device is one. Needs the extra `graphflow[ray]`.

Every machine of the cluster needs GraphFlow and the same folders of models and data at the same paths, for example on a
network drive. Each `cuda:N` among the settings' devices is one more actor with one GPU; Ray chooses which.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # read on import: SIGTERM is no failure of a server
import ray
from ray.exceptions import RayError

from graphflow.errors import GraphflowError, Problem, WorkerDied
from graphflow.worker.local import LocalWorker
from graphflow.worker.protocol import ENDS, Greeting, Item, WorkerSettings
from graphflow.worker.remote import RemoteWorker

if TYPE_CHECKING:
    from graphflow.plan import Plan
    from graphflow.worker.setup import Bench

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds before another actor takes the place of one that died."""
CALLS = 1000
"""Jobs and questions that an actor takes at the same time; its engine keeps them in order."""


class RayWorker(RemoteWorker):
    """The server's side."""

    def __init__(
        self, settings: WorkerSettings, address: str = "auto", build: Callable[[WorkerSettings], Bench] | None = None
    ) -> None:
        """`address` is the cluster's, as `ray.init` takes it; `build` makes the engine, there."""
        super().__init__(settings.name)
        kind = settings.device.partition(":")[0]
        self._settings = replace(settings, device=kind)  # an actor sees its own GPU alone
        self._gpus = int(kind == "cuda")
        self._address = address
        self._build = build or _built
        self._actor: Any = None
        self._telling: asyncio.Task[None] | None = None

    # --- life ---

    async def _supervise(self) -> None:
        while True:
            self._set("starting", "")
            reason = await self._live()
            log.error("worker %s died (%s); another one starts in %.0f s", self.name, reason, PAUSE)
            self._set("dead", reason)
            await asyncio.sleep(PAUSE)

    async def _live(self) -> str:
        """One life of the actor; returns what it died of."""
        try:
            await asyncio.to_thread(_connect, self._address)
            made = ray.remote(Hand).options(num_gpus=self._gpus, max_concurrency=CALLS)
            self._actor = made.remote(self._settings, self._build)
            greeting: Greeting = await self._actor.greeting.remote()
            self._tell("watch", self._looking)
            self._greeted(greeting)
            await self._actor.live.remote()
        except (RayError, GraphflowError) as error:
            return _brief(error)
        finally:
            self._up.clear()
            self._actor = None
        return "it ended"

    async def close(self) -> None:
        """Ends it; running jobs are cancelled."""
        actor = self._actor
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        if actor is not None:
            with contextlib.suppress(RayError):
                ray.kill(actor)

    # --- work ---

    async def run(self, plan: Plan) -> AsyncIterator[Item]:
        """Everything that happens to a plan."""
        await self.ready()
        self._count(1)
        ended = False
        try:
            async for reference in self._actor.run.remote(plan):
                item = await reference
                ended = isinstance(item, ENDS)
                yield item
        except RayError as error:
            ended = True
            raise WorkerDied(f"the worker {self.name!r} ended in the middle of the job: {_brief(error)}") from error
        finally:
            if not ended:
                self.cancel(plan.job)
            self._count(-1)

    def cancel(self, job: str) -> None:
        """Ends a job within a step."""
        self._tell("cancel", job)

    def took(self, job: str) -> None:
        """Says that a chunk is stored."""
        self._tell("took", job)

    def watch(self, looking: bool) -> None:
        """Says whether anybody looks at previews."""
        self._looking = looking
        self._tell("watch", looking)

    def _tell(self, word: str, content: Any) -> None:
        """Says something after all that was said before: calls of an actor may overtake each other."""
        actor, before = self._actor, self._telling

        async def tell() -> None:
            if before is not None:
                await asyncio.wait([before])
            with contextlib.suppress(RayError):
                await getattr(actor, word).remote(content)

        if actor is not None:
            self._telling = asyncio.create_task(tell())

    async def _ask(self, word: str, *content: Any) -> Any:
        if not self._up.is_set():
            return None
        if self._telling is not None:
            await asyncio.wait([self._telling])
        try:
            return await getattr(self._actor, word).remote(*content)
        except RayError as error:
            raise WorkerDied(f"the worker {self.name!r} ended: {_brief(error)}") from error


class Hand:
    """The cluster's side, in the actor's process."""

    def __init__(self, settings: WorkerSettings, build: Callable[[WorkerSettings], Bench]) -> None:
        self._worker = LocalWorker(settings, build)

    async def greeting(self) -> Greeting:
        """What the worker says when it is up."""
        await self._worker.ready()
        assert self._worker.greeting is not None
        return self._worker.greeting

    async def live(self) -> None:
        """Returns never: whoever waits for it hears of the actor's death."""
        await asyncio.Event().wait()

    async def run(self, plan: Plan) -> AsyncIterator[Item]:
        """Everything that happens to a plan."""
        async for item in self._worker.run(plan):
            yield item

    async def cancel(self, job: str) -> None:
        """Ends a job within a step."""
        self._worker.cancel(job)

    async def took(self, job: str) -> None:
        """Says that a chunk is stored."""
        self._worker.took(job)

    async def watch(self, looking: bool) -> None:
        """Says whether anybody looks at previews."""
        self._worker.watch(looking)

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Literal["memory", "disk"]]:
        """For each of the keys that is cached, where."""
        return dict(await self._worker.peek(keys))

    async def check(self, plan: Plan) -> list[Problem]:
        """What the plan's nodes themselves object to in their inputs."""
        return list(await self._worker.check(plan))

    async def ask(self, desk: int, question: Any) -> Any:
        """What a desk of the packs answers."""
        return await self._worker.ask(desk, question)

    async def keep(self, key: str) -> bool:
        """Keeps a cached result for good."""
        return await self._worker.keep(key)

    async def stats(self) -> Mapping[str, Any]:
        """Memory in use, models loaded, bytes cached."""
        return dict(await self._worker.stats())

    async def free(self, models: bool, cache: bool) -> None:
        """Lets go of idle models, and of what is cached in memory."""
        await self._worker.free(models=models, cache=cache)


def _built(settings: WorkerSettings) -> Bench:
    from graphflow.process import let_threads_sleep

    let_threads_sleep()
    from graphflow.worker.setup import build, warm_up

    bench = build(settings)
    warm_up()
    return bench


def _connect(address: str) -> None:
    """Joins the cluster once for all workers. Raises `GraphflowError` when there is none."""
    if ray.is_initialized():
        return
    try:
        ray.init(address=address, namespace="graphflow", log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError) as error:
        raise GraphflowError(f"no Ray cluster answers at {address!r}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    """The first line that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
