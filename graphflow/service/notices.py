"""What a live listener hears beside the events of jobs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from graphflow.assets import Asset
from graphflow.jobs import Job
from graphflow.worker.protocol import State


class _Notice(BaseModel):
    model_config = ConfigDict(frozen=True)


class WorkerStatus(_Notice):
    """Where jobs run, and how it is there."""

    name: str
    state: State
    device: str = ""
    message: str = ""
    """Why it is dead, or what it waits for."""


class NodeStatus(_Notice):
    """How far one node of a running job is."""

    state: Literal["running", "cached", "done", "failed", "skipped"]
    value: float | None = None
    total: float | None = None
    text: str = ""
    """What it is at, or why it was skipped or failed."""
    seconds: float | None = None
    memory: int = 0
    """Bytes of its results."""
    peak: int = 0
    """Most memory in use while it ran, bytes."""
    reason: str = ""
    """Where a cached result was."""
    made: float | None = None
    """When a cached result was first computed."""


class LiveJob(Job):
    """A job that waits or runs, with its nodes."""

    nodes: dict[str, NodeStatus] = {}
    planned: int = 0
    """How many nodes its plan has, once it started."""


class Hello(_Notice):
    """The first message: all that is going on."""

    type: Literal["hello"] = "hello"
    build: str
    version: str
    paused: bool
    workers: tuple[WorkerStatus, ...]
    jobs: tuple[LiveJob, ...]


class QueueNotice(_Notice):
    """The queue changed: ids of the jobs that wait, the next one first."""

    type: Literal["queue"] = "queue"
    jobs: tuple[str, ...]
    paused: bool


class WorkerNotice(WorkerStatus):
    """A worker changed."""

    type: Literal["worker"] = "worker"


class NodesNotice(_Notice):
    """The node definitions changed: fetch `/v1/nodes` again."""

    type: Literal["nodes"] = "nodes"


class AssetNotice(_Notice):
    """A file was stored."""

    type: Literal["asset"] = "asset"
    asset: Asset


Notice = QueueNotice | WorkerNotice | NodesNotice | AssetNotice
