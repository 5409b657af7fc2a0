"""What a listener hears about a job: one pydantic union on `type`, numbered per job.

A worker yields events, previews and artifacts; the service stores the artifacts, numbers the events and passes them
on. `seq` rises by one within a job, so a listener that comes back asks for what came after the last one it saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from graphflow.errors import ErrorBody


class Output(BaseModel):
    """One stored result of an output node."""

    model_config = ConfigDict(frozen=True)

    node: str
    name: str
    """File name that a user would expect, for example `apple_00001_.png`; for a text, its title."""
    asset: str
    """Id of the stored bytes: `/v1/assets/{asset}`."""
    media_type: str
    details: dict[str, Any] = {}
    """Width, height, frame count and the like, and `temporary: true` for previews."""


class BaseEvent(BaseModel):
    """What every event has."""

    model_config = ConfigDict(frozen=True)

    job: str
    seq: int = 0
    time: float = 0.0
    """Seconds since the epoch."""


class JobQueued(BaseEvent):
    """The job was accepted and waits for a worker."""

    type: Literal["job.queued"] = "job.queued"


class JobStarted(BaseEvent):
    """A worker took the job. Comes again, with a higher `attempt`, when a worker died and the job runs once more."""

    type: Literal["job.started"] = "job.started"
    worker: str = ""
    nodes: tuple[str, ...] = ()
    """Ids of the nodes that the plan runs or takes from the cache."""
    attempt: int = 1


class NodeStarted(BaseEvent):
    """The node's function was called."""

    type: Literal["node.started"] = "node.started"
    node: str


class NodeProgress(BaseEvent):
    """The node has done `value` of `total` steps."""

    type: Literal["node.progress"] = "node.progress"
    node: str
    value: float
    total: float
    text: str = ""


class NodeCached(BaseEvent):
    """The node did not run: its result was there already."""

    type: Literal["node.cached"] = "node.cached"
    node: str
    reason: Literal["memory", "disk", "shared", "frozen"] = "memory"
    """Where it was: in memory, on disk, being computed by another job at the same time, or kept for a frozen node."""
    made: float | None = None
    """When the result was first computed, seconds since the epoch."""
    key: str = ""
    """What the result is cached under."""


class NodeSkipped(BaseEvent):
    """The node did not run, since what it takes was blocked on purpose."""

    type: Literal["node.skipped"] = "node.skipped"
    node: str
    reason: str = ""


class NodeDone(BaseEvent):
    """The node has its result."""

    type: Literal["node.done"] = "node.done"
    node: str
    seconds: float
    memory: int = 0
    """Bytes of its results."""
    peak: int = 0
    """Most memory in use while it ran, bytes: see `engine/peak.py`."""
    key: str = ""
    """What the result is cached under."""


class NodeOutput(BaseEvent):
    """An output node's results, already stored."""

    type: Literal["node.output"] = "node.output"
    node: str
    outputs: tuple[Output, ...]


class JobDone(BaseEvent):
    """Every output is stored."""

    type: Literal["job.done"] = "job.done"
    outputs: tuple[Output, ...] = ()
    seconds: float = 0.0
    peak: int = 0
    """Most memory in use while it ran, bytes: on a GPU what was allocated there, else what the worker's process held."""


class JobFailed(BaseEvent):
    """The job ended with an error, at a node when there is one."""

    type: Literal["job.failed"] = "job.failed"
    error: ErrorBody


class JobCancelled(BaseEvent):
    """The job was cancelled; what was computed stays in the cache."""

    type: Literal["job.cancelled"] = "job.cancelled"


Event = Annotated[
    JobQueued
    | JobStarted
    | NodeStarted
    | NodeProgress
    | NodeCached
    | NodeSkipped
    | NodeDone
    | NodeOutput
    | JobDone
    | JobFailed
    | JobCancelled,
    Field(discriminator="type"),
]
event_adapter: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads and writes any event: `event_adapter.validate_json(...)`."""


@dataclass(frozen=True)
class Preview:
    """A small picture of what a node is at; sent to whoever looks, right before the progress it shows; never stored."""

    job: str
    node: str
    media_type: str
    data: bytes
    value: float = 0.0
    """Of the progress that it shows."""


class NodeSaid(BaseModel):
    """What a node says in a form of its own (`graphflow.api.Say`); sent to whoever listens, never stored."""

    model_config = ConfigDict(frozen=True)

    type: Literal["node.said"] = "node.said"
    job: str
    node: str
    kind: str
    content: Any


Passing = Preview | NodeSaid
"""What is told as it comes, and then is gone."""


@dataclass(frozen=True)
class Made:
    """An artifact's bytes on their way from a worker to the asset store, where they become an `Output`."""

    job: str
    node: str
    index: int
    media_type: str
    name: str
    data: bytes
    """The file; of one that came in chunks, nothing."""
    details: dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """The next piece of a large artifact, ahead of its `Made`."""

    job: str
    node: str
    index: int
    media_type: str
    data: bytes
