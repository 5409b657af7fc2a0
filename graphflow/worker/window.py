"""How much of a large file may be on its way from a worker to the store."""

from __future__ import annotations

import threading
from collections.abc import Callable

from graphflow.events import Chunk
from graphflow.worker.protocol import Item

ROOM = 8
"""Chunks that a worker sends before it waits until one of them is stored."""


class Window:
    """Sends a job's items; a chunk waits while `ROOM` others are on their way, so that no side piles them up."""

    def __init__(self, send: Callable[[Item], None]) -> None:
        self._send = send
        self._room = threading.Semaphore(ROOM)
        self._is_open = threading.Event()

    def send(self, item: Item) -> None:
        """Sends it, when there is room."""
        if isinstance(item, Chunk) and not self._is_open.is_set():
            self._room.acquire()
        self._send(item)

    def took(self) -> None:
        """A chunk is stored."""
        self._room.release()

    def open(self) -> None:
        """Nothing waits any more: the job is to end."""
        self._is_open.set()
        self._room.release(ROOM)
