"""Who listens: every listener has a queue of its own, so that a slow one holds nobody up.

Events wait for a slow listener, up to a limit at which it is given up. A preview comes right before the progress that it
shows: previews overtake events, which are stored first, so a few of each node wait for theirs, and the others are lost.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from graphflow.events import BaseEvent, JobCancelled, JobDone, JobFailed, NodeProgress, NodeSaid, Preview
from graphflow.service.notices import Notice

Message = BaseEvent | Preview | NodeSaid | Notice
HELD = 16
"""Previews of one node that wait for their progress."""
NODES = 64
"""Nodes whose previews wait."""


class Hopeless(Exception):
    """The listener is so slow that it is given up; it may come back and ask for all again."""


class Listener:
    """One subscription: iterate over it."""

    def __init__(self, job: str | None, previews: bool, limit: int) -> None:
        self.job = job
        self.previews = previews
        self._limit = limit
        self._waiting: deque[Message] = deque()
        self._pictures: OrderedDict[tuple[str, str], deque[Preview]] = OrderedDict()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, message: Message) -> None:
        """Hands a message in; never waits."""
        if isinstance(message, Preview):
            if self.previews:
                self._hold(message)
            return
        if len(self._waiting) >= self._limit:
            self._closed = True
        else:
            self._waiting.append(message)
        self._arrived.set()

    def _hold(self, preview: Preview) -> None:
        held = self._pictures.setdefault((preview.job, preview.node), deque(maxlen=HELD))
        if held and held[-1].value >= preview.value:
            held.clear()  # the node began anew, and what is held will have no progress any more
        held.append(preview)
        if len(self._pictures) > NODES:
            self._pictures.popitem(last=False)

    async def get(self) -> Message:
        """The next message. Raises `Hopeless` when too many had to wait."""
        while True:
            if self._closed:
                raise Hopeless
            if self._waiting:
                return self._picture_before(self._waiting[0]) or self._waiting.popleft()
            self._arrived.clear()
            await self._arrived.wait()

    def _picture_before(self, message: Message) -> Preview | None:
        """The newest preview that this message is the progress of, or that is older."""
        newest = None
        match message:
            case NodeProgress(job=job, node=node, value=value):
                held = self._pictures.get((job, node), deque())
                while held and held[0].value <= value:
                    newest = held.popleft()
            case JobDone(job=job) | JobFailed(job=job) | JobCancelled(job=job):
                for key in [key for key in self._pictures if key[0] == job]:
                    del self._pictures[key]
        return newest

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
