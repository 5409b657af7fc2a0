"""The places where jobs run: a worker each, with what runs there now and what was computed there lately."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphflow.service.notices import WorkerStatus
from graphflow.worker.protocol import Worker

REMEMBERED = 100_000
"""Keys of tasks by which a job finds the worker that holds its values."""


@dataclass
class Slot:
    """One worker's place."""

    worker: Worker
    limit: int = 4
    """Jobs at once."""
    jobs: dict[str, bool] = field(default_factory=dict)
    """Ids of the jobs that run here; True for one that has died before and is to run alone."""
    recent: set[str] = field(default_factory=set)
    """Keys of what was computed here."""

    @property
    def status(self) -> WorkerStatus:
        """As clients are told."""
        status = self.worker.status
        state = "busy" if status.state == "ready" and self.jobs else status.state
        return WorkerStatus(name=status.name, state=state, device=status.device, message=status.message)

    @property
    def is_up(self) -> bool:
        """Whether the worker can run plans now."""
        return self.worker.status.state in ("ready", "busy")

    def takes(self, alone: bool) -> bool:
        """Whether another job may start here now."""
        if not self.is_up:
            return False
        return not self.jobs if alone else len(self.jobs) < self.limit and not any(self.jobs.values())

    def remember(self, keys: set[str]) -> None:
        """Takes note of what is computed here."""
        self.recent = keys if len(self.recent) > REMEMBERED else self.recent | keys
