"""What is counted for `/metrics`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from graphflow.events import BaseEvent, JobDone, NodeCached, NodeDone


@dataclass
class Metrics:
    """Counts since the start."""

    events: Counter[str] = field(default_factory=Counter)
    """By type."""
    job_seconds: float = 0.0
    node_seconds: float = 0.0

    @property
    def finished(self) -> int:
        """Jobs that came to an end."""
        return sum(self.events[name] for name in ("job.done", "job.failed", "job.cancelled"))

    @property
    def cached(self) -> int:
        """Nodes whose result was there already."""
        return self.events[NodeCached.model_fields["type"].default]

    def event(self, event: BaseEvent) -> None:
        """Counts one."""
        self.events[str(getattr(event, "type", ""))] += 1
        if isinstance(event, JobDone):
            self.job_seconds += event.seconds
        elif isinstance(event, NodeDone):
            self.node_seconds += event.seconds
