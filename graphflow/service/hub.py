"""Who listens: every listener has a queue of its own, so that a slow one holds nobody up.

Events wait for a slow listener, up to a limit at which it is given up; previews do not: of each node only the newest
waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from graphflow.events import BaseEvent, NodeSaid, Preview
from graphflow.service.notices import Notice

Message = BaseEvent | Preview | NodeSaid | Notice


class Hopeless(Exception):
    """The listener is so slow that it is given up; it may come back and ask for all again."""


class Listener:
    """One subscription: iterate over it."""

    def __init__(self, job: str | None, previews: bool, limit: int) -> None:
        self.job = job
        self.previews = previews
        self._limit = limit
        self._waiting: deque[Message] = deque()
        self._pictures: dict[tuple[str, str], Preview] = {}
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, message: Message) -> None:
        """Hands a message in; never waits."""
        if isinstance(message, Preview):
            if not self.previews:
                return
            self._pictures[message.job, message.node] = message
        elif len(self._waiting) >= self._limit:
            self._closed = True
        else:
            self._waiting.append(message)
        self._arrived.set()

    async def get(self) -> Message:
        """The next message, events first. Raises `Hopeless` when too many had to wait."""
        while True:
            if self._closed:
                raise Hopeless
            if self._waiting:
                return self._waiting.popleft()
            if self._pictures:
                return self._pictures.pop(next(iter(self._pictures)))
            self._arrived.clear()
            await self._arrived.wait()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            yield await self.get()


class Hub:
    """All listeners."""

    def __init__(self, watched: Callable[[bool], None] = lambda _: None) -> None:
        """`watched` is told whenever the first listener to previews comes, and when the last goes."""
        self._listeners: set[Listener] = set()
        self._watched = watched

    @property
    def is_watched(self) -> bool:
        """Whether anybody looks at previews."""
        return any(listener.previews for listener in self._listeners)

    def __len__(self) -> int:
        return len(self._listeners)

    def publish(self, message: Message) -> None:
        """Tells everyone whom it concerns."""
        job = getattr(message, "job", None)
        for listener in self._listeners:
            if listener.job is None or listener.job == job:
                listener.put(message)

    @contextmanager
    def listen(self, job: str | None = None, *, previews: bool = False, limit: int = 20_000) -> Iterator[Listener]:
        """A subscription to one job's events, or to everything."""
        listener, before = Listener(job, previews, limit), self.is_watched
        self._listeners.add(listener)
        self._tell(before)
        try:
            yield listener
        finally:
            before = self.is_watched
            self._listeners.discard(listener)
            self._tell(before)

    def _tell(self, before: bool) -> None:
        if before != self.is_watched:
            self._watched(self.is_watched)
