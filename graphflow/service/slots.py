"""The places where jobs run: a worker each, started, watched, and started again when it dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from graphflow.errors import WorkerDied
from graphflow.service.notices import WorkerState, WorkerStatus
from graphflow.worker.protocol import Worker

PATIENCE = (0.0, 1.0, 5.0, 30.0)
"""Seconds before a dead worker is started again, by the number of deaths in a row."""
LONG_LIFE = 60.0
"""A worker that lived so many seconds was healthy: its death begins a new row."""

StartWorker = Callable[[], Awaitable[Worker]]


@dataclass
class Slot:
    """One place. `keep_alive` runs as long as the service does."""

    name: str
    start: StartWorker
    changed: Callable[[Slot], None]
    limit: int = 4
    """Jobs at once."""
    device: str = ""
    worker: Worker | None = None
    state: WorkerState = "starting"
    message: str = "loading"
    jobs: dict[str, bool] = field(default_factory=dict)
    """Ids of the jobs that run here; True for one that has died before and is to run alone."""
    recent: set[str] = field(default_factory=set)
    """Keys of what was computed here."""
    deaths: int = 0

    @property
    def status(self) -> WorkerStatus:
        """As clients are told."""
        state = "busy" if self.state == "ready" and self.jobs else self.state
        return WorkerStatus(name=self.name, state=state, device=self.device, message=self.message)

    def takes(self, alone: bool) -> bool:
        """Whether another job may start here now."""
        if self.worker is None or self.state != "ready":
            return False
        return not self.jobs if alone else len(self.jobs) < self.limit and not any(self.jobs.values())

    async def keep_alive(self) -> None:
        """Starts the worker, waits for its end, and starts another, until cancelled."""
        while True:
            began = time.monotonic()
            reason = await self._live()
            self.deaths = 1 if time.monotonic() - began > LONG_LIFE else self.deaths + 1
            self._become("dead", None, reason)
            await asyncio.sleep(PATIENCE[min(self.deaths - 1, len(PATIENCE) - 1)])
            self._become("starting", None, f"started again: {reason}")

    async def _live(self) -> str:
        """One worker from start to end; returns why it ended."""
        try:
            worker = await self.start()
        except WorkerDied as error:
            return error.message
        try:
            self.device = worker.device
            self.recent.clear()
            self._become("ready", worker, "")
            return await worker.ended()
        finally:
            await worker.close()

    def _become(self, state: WorkerState, worker: Worker | None, message: str) -> None:
        self.state, self.worker, self.message = state, worker, message
        self.changed(self)
