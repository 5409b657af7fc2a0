"""What was computed once: key -> outputs, a memory tier over a disk tier, each with a budget in bytes.

What is let go first is what was cheapest to compute for the room it takes (GreedyDual-Size: Cao and Irani, 1997); what
is used rises again. The disk tier survives a restart: each file is an exact encoding with its checksum, written to a
temporary name and renamed; a damaged file is a miss. What a frozen node gives is kept beside both tiers, with a budget
of its own as large as the disk's, so that nothing that is merely computed pushes it out.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import queue
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graphflow.errors import UnsupportedFile
from graphflow.node import Artifact
from graphflow.values import dumps, loads, nbytes

Outputs = tuple[tuple[Any, ...], ...]
"""For each output of a node, its values: one, or as many as the list it gives."""
Tier = Literal["memory", "disk"]

OVERHEAD = 512
"""Bytes that an entry takes beside its tensors, about."""
WORTH_KEEPING = 0.05
"""Seconds: what is computed faster is not written to disk."""
LEFT_FREE = 0.05, 2**30
"""The part of its disk that the cache leaves free for results and the queue, and how many bytes of it at most."""


@dataclass(frozen=True)
class Entry:
    """A node's result, with what it cost."""

    outputs: Outputs
    seconds: float
    made: float
    """When, in seconds since the epoch."""
    size: int

    @staticmethod
    def of(outputs: Outputs, seconds: float) -> Entry:
        """An entry made now."""
        return Entry(outputs, seconds, time.time(), nbytes(outputs) + OVERHEAD)


class Cache:
    """Both tiers. Safe to use from several threads."""

    def __init__(self, memory_bytes: int, disk: Path | None = None, disk_bytes: int = 0) -> None:
        """`disk` is a folder of its own, or None to forget everything at the end."""
        self.memory = _Memory(memory_bytes)
        on_disk = disk is not None and disk_bytes > 0
        self.disk = _Disk(disk, disk_bytes, LEFT_FREE) if disk is not None and on_disk else None
        self.kept = _Disk(disk / "kept", disk_bytes) if disk is not None and on_disk else _Memory(memory_bytes)

    def get(self, key: str) -> tuple[Entry, Tier] | None:
        """The entry and where it was; what is found on disk moves up into memory."""
        if (entry := self.memory.get(key)) is not None:
            return entry, "memory"
        if self.disk is not None and (entry := self.disk.get(key)) is not None:
            self.memory.put(key, entry)
            return entry, "disk"
        if (entry := self.kept.get(key)) is not None:
            return entry, "memory" if self.disk is None else "disk"
        return None

    def keep(self, key: str) -> bool:
        """Keeps an entry for good, whatever else is put; False when it is not here, too large, or cannot be encoded."""
        found = self.get(key)
        return found is not None and self.kept.keep(key, found[0])

    def peek(self, key: str) -> Tier | None:
        """Where an entry is, without reading it."""
        if key in self.memory:
            return "memory"
        if self.disk is None:
            return "memory" if key in self.kept else None
        return "disk" if key in self.disk or key in self.kept else None

    def put(self, key: str, entry: Entry) -> None:
        """Keeps an entry; to disk only what took a while, in the background."""
        self.memory.put(key, entry)
        if self.disk is not None and (entry.seconds >= WORTH_KEEPING or _holds_artifact(entry)):
            self.disk.put(key, entry)

    def free(self) -> None:
        """Empties memory, for example when the machine runs out of it."""
        self.memory.clear()

    def clear(self) -> None:
        """Forgets everything in both tiers; what is kept stays."""
        self.memory.clear()
        if self.disk is not None:
            self.disk.clear()

    def close(self) -> None:
        """Waits until everything is on disk."""
        if self.disk is not None:
            self.disk.close()

    def stats(self) -> Mapping[str, int]:
        """Bytes and entries of each tier."""
        disk = self.disk
        return {
            "memory_bytes": self.memory.size,
            "memory_entries": len(self.memory),
            "disk_bytes": disk.size if disk else 0,
            "disk_entries": len(disk) if disk else 0,
        }


def _holds_artifact(entry: Entry) -> bool:
    return any(isinstance(value, Artifact) for values in entry.outputs for value in values)


class _Memory:
    """Entries in memory, up to a budget."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.size = 0
        self._entries: dict[str, Entry] = {}
        self._worth: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # holds stale pairs, too; `_worth` tells
        self._clock = 0.0  # the worth of what was let go last: newcomers start from there
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._rate(key, entry)
            return entry

    def put(self, key: str, entry: Entry) -> None:
        with self._lock:
            self._drop(key)
            if entry.size > self.budget:
                return
            self._entries[key] = entry
            self.size += entry.size
            self._rate(key, entry)
            while self.size > self.budget:
                worth, cheapest = heapq.heappop(self._heap)
                if self._worth.get(cheapest) == worth:
                    self._clock = worth
                    self._drop(cheapest)

    def keep(self, key: str, entry: Entry) -> bool:
        """As `put`; whether it is there now."""
        self.put(key, entry)
        return key in self

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._worth.clear()
            self._heap.clear()
            self.size = 0

    def _rate(self, key: str, entry: Entry) -> None:
        worth = self._clock + max(entry.seconds, 1e-6) / entry.size
        if self._worth.get(key) == worth:
            return
        self._worth[key] = worth
        heapq.heappush(self._heap, (worth, key))
        if len(self._heap) > 4 * len(self._entries) + 64:
            self._heap = [(self._worth[k], k) for k in self._entries]
            heapq.heapify(self._heap)

    def _drop(self, key: str) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self.size -= entry.size
            del self._worth[key]


class _Disk:
    """Entries in files, up to a budget; the least recently used go first."""

    def __init__(self, folder: Path, budget: int, left_free: tuple[float, int] | None = None) -> None:
        """`left_free` is the part of the disk that is not touched, and how many bytes of it at most."""
        self.budget = budget
        self._left_free = left_free
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._sizes = _scan(folder)
        self._queue: queue.SimpleQueue[tuple[str, Entry] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def size(self) -> int:
        """Bytes in use."""
        return sum(self._sizes.values())

    def __contains__(self, key: str) -> bool:
        return key in self._sizes or self._path(key).exists()  # another worker may share the folder

    def __len__(self) -> int:
        return len(self._sizes)

    def get(self, key: str) -> Entry | None:
        if key not in self:
            return None
        path = self._path(key)
        try:
            data = path.read_bytes()
            payload = memoryview(data)[32:]
            if hashlib.sha256(payload).digest() != data[:32]:
                raise UnsupportedFile(f"{path.name} is damaged")
            outputs, seconds, made = loads(bytes(payload))
            os.utime(path)
        except (OSError, UnsupportedFile, ValueError, TypeError):
            self._remove(key)  # it can be computed again
            return None
        with self._lock:
            self._sizes[key] = self._sizes.pop(key, len(data))  # the last in order is the most recently used
        return Entry(outputs, seconds, made, nbytes(outputs) + OVERHEAD)

    def put(self, key: str, entry: Entry) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="cache-writer", daemon=True)
                self._thread.start()
        self._queue.put((key, entry))

    def keep(self, key: str, entry: Entry) -> bool:
        """Writes an entry now; whether it is there."""
        try:
            if key not in self:
                self._write(key, entry)
        except (OSError, TypeError, ValueError):
            return False
        return key in self

    def clear(self) -> None:
        for key in list(self._sizes):
            self._remove(key)

    def close(self) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            key, entry = item
            if key in self._sizes:
                continue
            try:
                self._write(key, entry)
            except (OSError, TypeError, ValueError):
                continue  # a full disk or a value without exact encoding: it stays in memory alone

    def _write(self, key: str, entry: Entry) -> None:
        payload = dumps((entry.outputs, entry.seconds, entry.made))
        data = hashlib.sha256(payload).digest() + payload
        if len(data) > self.budget:
            return
        self._make_room(self.size + len(data) - self.budget)
        if self._left_free is not None:
            self._make_room(len(data) - self._spare(*self._left_free))
            if len(data) > self._spare(*self._left_free):
                return  # others fill this disk: what they store matters more
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        with self._lock:
            self._sizes[key] = len(data)

    def _spare(self, part: float, most: int) -> int:
        """Bytes that may still be taken of the disk."""
        disk = shutil.disk_usage(self._folder)
        return disk.free - min(int(disk.total * part), most)

    def _make_room(self, excess: int) -> None:
        """Lets the least recently used go until so many bytes are gone."""
        with self._lock:
            oldest = []
            for old, size in self._sizes.items():
                if excess <= 0:
                    break
                oldest.append(old)
                excess -= size
        for old in oldest:
            self._remove(old)

    def _remove(self, key: str) -> None:
        with self._lock:
            self._sizes.pop(key, None)
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.value"


def _scan(folder: Path) -> dict[str, int]:
    """What lies on disk, the least recently used first; leftovers of a crash are taken away."""
    found: list[tuple[float, str, int]] = []
    for path in folder.glob("??/*"):
        if path.suffix == ".value":
            stat = path.stat()
            found.append((stat.st_mtime, path.stem, stat.st_size))
        elif path.suffix == ".tmp":
            path.unlink(missing_ok=True)
    return {key: size for _, key, size in sorted(found)}
