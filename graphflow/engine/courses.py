"""Work that goes on by turns on one thread: while some of it waits, the rest goes on.

A **course** is a generator that yields the futures it waits for, whenever it cannot go on, and is resumed once one of
them is done. Whoever is at the bottom of a thread waits for what its outermost course yields.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")
Futures = frozenset["Future[Any]"]
Course = Generator[Futures, None, T]
"""Yields what it waits for; returns a `T`."""


class Strand(Generic[T]):
    """A course in a context of its own, as far as it has come."""

    result: T
    """Once `advance` said that it has ended."""

    def __init__(self, course: Course[T]) -> None:
        self._course = course
        self._context = copy_context()
        self.waits_for: Futures = frozenset()

    @property
    def may_go_on(self) -> bool:
        """Whether something that it waits for is done."""
        return any(future.done() for future in self.waits_for)

    def advance(self) -> bool:
        """Goes on until it waits, or has ended; which of these."""
        try:
            self.waits_for = self._context.run(next, self._course)
        except StopIteration as stop:
            self.result = stop.value
            return True
        return False

    def close(self) -> None:
        """Ends it where it stands."""
        self._context.run(self._course.close)


def together(courses: Sequence[Course[T]]) -> Course[list[T]]:
    """What the courses return. Each begins in its turn, when those before it have ended or wait; if one fails, all end."""
    strands = [Strand(course) for course in courses]
    try:
        going = [strand for strand in strands if not strand.advance()]
        while going:
            yield frozenset[Future[Any]]().union(*(strand.waits_for for strand in going))
            going = [strand for strand in going if not strand.may_go_on or not strand.advance()]
        return [strand.result for strand in strands]
    finally:
        for strand in strands:
            strand.close()


@dataclass(frozen=True)
class Landed:
    """What a flight brought."""

    result: Any
    waited: bool
    """Another course was computing it meanwhile."""


class Flights:
    """Single flight: of several courses that want the same key, one computes and the others wait. For any threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._landing: dict[str, Future[None]] = {}

    def run(self, key: str, ready: Callable[[], Any], compute: Callable[[], Course[Any]]) -> Course[Landed]:
        """What `ready` gives once it is not None, or else what `compute` gives, by one course at a time."""
        waited = False
        while True:
            if (found := ready()) is not None:
                return Landed(found, waited)
            with self._lock:
                landing = self._landing.get(key)
                if landing is None:
                    own = self._landing[key] = Future()
                    break
            waited = True
            yield frozenset([landing])
        try:
            found = ready()  # it may have landed between the look and the take-off
            return Landed(found if found is not None else (yield from compute()), waited)
        finally:
            with self._lock:
                del self._landing[key]
            own.set_result(None)


class Loop:
    """An event loop on a thread of its own, which starts with the first coroutine."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine in the caller's context; a cancelled future cancels it."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._main, args=(self._loop,), name="event loop", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(_kept_in(work), self._loop)

    def close(self) -> None:
        """Cancels what still runs. It ends in its own time: nobody waits for it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    @staticmethod
    def _main(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        with torch.no_grad():
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _kept_in(work: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result; what would end the loop, and not only the coroutine, becomes an error of its own."""
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"it wants to end the whole process: {type(error).__name__}") from error
