"""What the server knows of a worker that lives elsewhere, in another process or on another machine, and asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from graphflow.errors import Problem
from graphflow.registry import Definitions
from graphflow.worker.protocol import Greeting, State, Status

if TYPE_CHECKING:
    from graphflow.plan import Plan


class RemoteWorker:
    """The part of `graphflow.worker.protocol.Worker` that does not depend on the way to the other side.

    A kind of worker brings `_supervise`, which starts the other side and again whenever it dies, and `_ask`.
    """

    def __init__(self, name: str, greeting: Greeting | None = None) -> None:
        """`greeting` is one of an earlier life, so that its nodes are known before it is up."""
        self.name = name
        self._greeting = greeting
        self._definitions = Definitions(greeting.definitions if greeting else {})
        self._state: State = "starting"
        self._message = ""
        self._changed: Callable[[Status], None] = lambda _: None
        self._told: Status | None = None
        self._up = asyncio.Event()
        self._looking = False
        self._jobs = 0
        self._supervisor: asyncio.Task[None] | None = None

    # --- what is known of it ---

    @property
    def status(self) -> Status:
        """How it is now."""
        state: State = "busy" if self._state == "ready" and self._jobs else self._state
        return Status(self.name, state, self._greeting.device if self._greeting else "", self._message)

    @property
    def greeting(self) -> Greeting | None:
        """What it said last, perhaps in an earlier life."""
        return self._greeting

    @property
    def definitions(self) -> Definitions:
        """Its nodes."""
        return self._definitions

    # --- life ---

    async def start(self, changed: Callable[[Status], None] = lambda _: None) -> None:
        """Begins to start, and starts again whenever the other side dies."""
        self._changed = changed
        self._supervisor = asyncio.create_task(self._supervise())

    async def ready(self) -> None:
        """Returns when plans can run."""
        await self._up.wait()

    async def _supervise(self) -> None:
        raise NotImplementedError

    def _greeted(self, greeting: Greeting) -> None:
        """The other side is up."""
        self._greeting = greeting
        self._definitions = Definitions(greeting.definitions)
        self._up.set()
        self._set("ready", "")

    def _set(self, state: State, message: str) -> None:
        self._state, self._message = state, message
        self._announce()

    def _count(self, change: int) -> None:
        """So many more jobs run there."""
        self._jobs += change
        self._announce()

    def _announce(self) -> None:
        """Tells a status that was not told yet."""
        if self.status != self._told:
            self._told = self.status
            self._changed(self.status)

    # --- questions ---

    async def _ask(self, word: str, *content: Any) -> Any:
        """The other side's answer; None while it is not up. Raises `WorkerDied` when it dies meanwhile."""
        raise NotImplementedError

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Literal["memory", "disk"]]:
        """For each of the keys that is cached, where. Nothing while the worker is not up."""
        return await self._ask("peek", list(keys)) or {}

    async def check(self, plan: Plan) -> Sequence[Problem]:
        """What the plan's nodes themselves object to in their inputs; nothing while the worker is not up."""
        return await self._ask("check", plan) or ()

    async def ask(self, desk: int, question: Any) -> Any:
        """What a desk of its packs answers; None while the worker is not up."""
        return await self._ask("ask", desk, question)

    async def keep(self, key: str) -> bool:
        """Keeps a cached result for good; False when it is not here or cannot be kept."""
        return bool(await self._ask("keep", key))

    async def stats(self) -> Mapping[str, Any]:
        """Memory in use, models loaded, bytes cached."""
        return await self._ask("stats") or {}

    async def free(self, *, models: bool = True, cache: bool = False) -> None:
        """Lets go of idle models, and of what is cached in memory."""
        await self._ask("free", models, cache)
