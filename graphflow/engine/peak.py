"""The most memory in use over a span of time, for several spans at once.

On a GPU that is what was allocated there, by everything in this process; elsewhere, the process's resident memory. Both
are counted by the driver or the kernel as one peak since the last reset. Whenever a span begins or ends, the peak is
read, every open span takes note of it, and it is reset; so spans may overlap, as jobs do, and each is exact.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import psutil
import torch

_RESET_PEAK = b"5"
"""What Linux takes as "begin to count the peak of resident memory anew"."""
_PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(eq=False)
class Span:
    """A span under way, or over."""

    peak: int = 0
    """Bytes."""


class Meter:
    """Measures on one device. Safe to use from several threads."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device if device is not None and device.type == "cuda" else None
        self._open: set[Span] = set()
        self._lock = threading.Lock()

    @contextmanager
    def span(self) -> Iterator[Span]:
        """Measures what happens inside the `with` block."""
        span = Span()
        with self._lock:
            self._note()
            self._open.add(span)
        try:
            yield span
        finally:
            with self._lock:
                self._note()
                self._open.remove(span)

    def _note(self) -> None:
        peak = self._read_and_reset()
        for span in self._open:
            span.peak = max(span.peak, peak)

    def _read_and_reset(self) -> int:
        """Bytes at the peak since the last call."""
        if self._device is not None:
            peak = torch.cuda.max_memory_allocated(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            return peak
        try:
            status, clear = _counters(os.getpid())
            found = _PEAK.search(os.pread(status, 4096, 0))
            os.pwrite(clear, _RESET_PEAK, 0)
            if found:
                return int(found[1]) * 1024
        except OSError:
            pass  # not Linux, or not allowed: what is in use now, at the beginnings and ends of spans
        return int(psutil.Process().memory_info().rss)


@cache
def _counters(pid: int) -> tuple[int, int]:
    """The kernel's files on this process, kept open: every node reads them twice, and opening costs most of it.

    Raises `OSError` where the system has none.
    """
    return os.open(f"/proc/{pid}/status", os.O_RDONLY), os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY)
